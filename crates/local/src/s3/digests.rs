//! Digests of a body: its `ETag`, the checksum that S3 keeps with it, and whether they are what the client announced.
//!
//! Asked by everything that takes bytes in, before a row names them. An object has one checksum: of the algorithm that
//! the client chose, else CRC-64/NVME, as on S3.

use axum::http::{HeaderMap, HeaderName, StatusCode};
use base64_simd::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use md5::{Digest, Md5};
use s3s::{
    S3ErrorCode,
    crypto::{Checksum as _, Sha1},
    dto,
};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{
    chunked::Trailer,
    fault::{Fault, refuse, refuse_as},
};
use crate::hex::hex;

/// S3's checksum algorithms.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Algorithm {
    /// CRC-32, ISO-HDLC.
    #[serde(rename = "CRC32")]
    Crc32,
    /// CRC-32C, Castagnoli.
    #[serde(rename = "CRC32C")]
    Crc32c,
    /// CRC-64/NVME.
    #[serde(rename = "CRC64NVME")]
    Crc64Nvme,
    /// SHA-1.
    #[serde(rename = "SHA1")]
    Sha1,
    /// SHA-256.
    #[serde(rename = "SHA256")]
    Sha256,
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// S3's name of it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The algorithm of this name.
    pub(super) fn named(name: &str) -> Result<Self, Fault> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                refuse(
                    S3ErrorCode::InvalidRequest,
                    format!("There is no checksum algorithm {name}."),
                )
            })
    }

    /// The header and trailer field that carries such a checksum.
    fn field(self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        })
    }

    fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The CRC, if it is one: of these S3 can tell the checksum of a whole from those of its parts.
    pub(super) fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }
}

/// Whether a checksum is of the bytes, or of the checksums of the parts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Scope {
    /// Of all the bytes.
    FullObject,
    /// Of the parts' checksums.
    Composite,
}

impl Scope {
    /// S3's name of it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FullObject => dto::ChecksumType::FULL_OBJECT,
            Self::Composite => dto::ChecksumType::COMPOSITE,
        }
    }
}

/// The checksum that S3 keeps with an object or part.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checksum {
    /// How it was computed.
    pub(super) algorithm: Algorithm,
    /// The checksum in base64, followed by `-PARTS` if it is a composite one.
    pub(super) value: String,
    /// What it was computed over.
    pub(super) scope: Scope,
}

impl Checksum {
    /// A checksum from its bytes.
    pub(super) fn new(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let value = BASE64.encode_to_string(bytes);
        Self { algorithm, value, scope: Scope::FullObject }
    }

    /// The checksum's bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let value = self.value.split('-').next().unwrap_or_default();
        BASE64.decode_to_vec(value).unwrap_or_default()
    }

    /// The fields in which S3 shows it.
    pub(super) fn shown(self) -> dto::Checksum {
        let mut shown = dto::Checksum {
            checksum_type: Some(dto::ChecksumType::from_static(self.scope.name())),
            ..dto::Checksum::default()
        };
        let field = match self.algorithm {
            Algorithm::Crc32 => &mut shown.checksum_crc32,
            Algorithm::Crc32c => &mut shown.checksum_crc32c,
            Algorithm::Crc64Nvme => &mut shown.checksum_crc64nvme,
            Algorithm::Sha1 => &mut shown.checksum_sha1,
            Algorithm::Sha256 => &mut shown.checksum_sha256,
        };
        *field = Some(self.value);
        shown
    }

    /// The value of this algorithm among the fields in which a client sends one.
    pub(super) fn sent(algorithm: Algorithm, fields: &dto::Checksum) -> Option<&str> {
        match algorithm {
            Algorithm::Crc32 => fields.checksum_crc32.as_deref(),
            Algorithm::Crc32c => fields.checksum_crc32c.as_deref(),
            Algorithm::Crc64Nvme => fields.checksum_crc64nvme.as_deref(),
            Algorithm::Sha1 => fields.checksum_sha1.as_deref(),
            Algorithm::Sha256 => fields.checksum_sha256.as_deref(),
        }
    }
}

/// Sets the checksum fields of an operation's input or output.
macro_rules! show_checksum {
    ($output:expr, $checksum:expr) => {{
        let shown: s3s::dto::Checksum = $checksum.shown();
        $output.checksum_crc32 = shown.checksum_crc32;
        $output.checksum_crc32c = shown.checksum_crc32c;
        $output.checksum_crc64nvme = shown.checksum_crc64nvme;
        $output.checksum_sha1 = shown.checksum_sha1;
        $output.checksum_sha256 = shown.checksum_sha256;
    }};
}
pub(super) use show_checksum;

/// The running digests of a body.
pub(super) struct Hasher {
    md5: Md5,
    sha256: Option<Sha256>,
    kept: (Algorithm, Sum),
    checked: Option<(Algorithm, Sum)>,
}

enum Sum {
    Crc(Box<crc_fast::Digest>),
    Sha1(Box<Sha1>),
    Sha256(Box<Sha256>),
}

/// The digests of a body.
pub(super) struct Digests {
    /// The `ETag` of a body that came in one piece.
    pub(super) md5: [u8; 16],
    sha256: Option<[u8; 32]>,
    /// The checksum that is kept.
    pub(super) checksum: Checksum,
    /// The one that the client announced, if it is of another algorithm.
    checked: Option<Checksum>,
}

impl Sum {
    fn new(algorithm: Algorithm) -> Self {
        match (algorithm.crc(), algorithm) {
            (Some(crc), _) => Self::Crc(Box::new(crc_fast::Digest::new(crc))),
            (None, Algorithm::Sha1) => Self::Sha1(Box::default()),
            (None, _) => Self::Sha256(Box::default()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(crc) => crc.update(bytes),
            Self::Sha1(sha1) => sha1.update(bytes),
            Self::Sha256(sha256) => sha256.update(bytes),
        }
    }

    fn finish(self, algorithm: Algorithm) -> Checksum {
        match self {
            Self::Crc(crc) => crc_checksum(algorithm, crc.finalize()),
            Self::Sha1(sha1) => Checksum::new(algorithm, sha1.finalize().as_ref()),
            Self::Sha256(sha256) => Checksum::new(algorithm, &sha256.finalize()),
        }
    }
}

impl Hasher {
    /// Digests with a checksum of this algorithm.
    pub(super) fn new(kept: Algorithm) -> Self {
        Self { md5: Md5::new(), sha256: None, kept: (kept, Sum::new(kept)), checked: None }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        self.kept.1.update(bytes);
        if let Some((_, checked)) = &mut self.checked {
            checked.update(bytes);
        }
    }

    pub(super) fn finish(self) -> Digests {
        let (kept, sum) = self.kept;
        Digests {
            md5: self.md5.finalize().into(),
            sha256: self.sha256.map(|sha256| sha256.finalize().into()),
            checksum: sum.finish(kept),
            checked: self.checked.map(|(algorithm, sum)| sum.finish(algorithm)),
        }
    }
}

impl Digests {
    /// The checksum that the client announced, or else the one that is kept.
    pub(super) fn told(&self) -> &Checksum {
        self.checked.as_ref().unwrap_or(&self.checksum)
    }
}

/// A checksum from a CRC's value, which is as wide as its algorithm says.
pub(super) fn crc_checksum(algorithm: Algorithm, value: u64) -> Checksum {
    let bytes = value.to_be_bytes();
    Checksum::new(algorithm, &bytes[bytes.len() - algorithm.length().min(bytes.len())..])
}

/// The digests that a client announced for a body.
#[derive(Debug)]
pub(super) struct Announced {
    md5: Option<Vec<u8>>,
    sha256: Option<String>,
    algorithm: Option<Algorithm>,
    checksum: Option<String>,
    trailer: Option<Trailer>,
}

impl Announced {
    /// Reads the digests out of a request's headers.
    ///
    /// They are refused here if they cannot be digests at all, before the body is read.
    pub(super) fn read(headers: &HeaderMap, trailer: Option<&Trailer>) -> Result<Self, Fault> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let md5 = match text("content-md5") {
            None => None,
            Some(md5) => match BASE64.decode_to_vec(md5) {
                Ok(md5) if md5.len() == 16 => Some(md5),
                _ => return Err(S3ErrorCode::InvalidDigest.into()),
            },
        };
        // The other values are names of encodings and of no digest.
        let sha256 = text("x-amz-content-sha256")
            .filter(|value| value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .map(str::to_ascii_lowercase);
        let mut announced = Self { md5, sha256, algorithm: None, checksum: None, trailer: None };
        for algorithm in Algorithm::ALL {
            let Some(value) = text(algorithm.field().as_str()) else { continue };
            if announced.algorithm.is_some() {
                return Err(refuse(
                    S3ErrorCode::InvalidRequest,
                    "Expecting a single x-amz-checksum- header",
                ));
            }
            check_form(algorithm, value)?;
            announced.algorithm = Some(algorithm);
            announced.checksum = Some(value.to_owned());
        }
        if announced.algorithm.is_none()
            && let Some(trailer) = trailer
            && let Some(fields) = text("x-amz-trailer")
            && let Some(algorithm) = Algorithm::ALL.into_iter().find(|algorithm| {
                fields
                    .split(',')
                    .any(|name| name.trim().eq_ignore_ascii_case(algorithm.field().as_str()))
            })
        {
            announced.algorithm = Some(algorithm);
            announced.trailer = Some(trailer.clone());
        }
        if announced.algorithm.is_none()
            && let Some(name) =
                text("x-amz-sdk-checksum-algorithm").or_else(|| text("x-amz-checksum-algorithm"))
        {
            announced.algorithm = Some(Algorithm::named(name)?);
        }
        Ok(announced)
    }

    /// The algorithm that the client chose, if it chose one.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// Digests that [`Announced::check`] can compare, with a checksum of `kept` to be kept.
    pub(super) fn hasher(&self, kept: Algorithm) -> Hasher {
        let mut hasher = Hasher::new(kept);
        hasher.sha256 = self.sha256.is_some().then(Sha256::new);
        hasher.checked = self
            .algorithm
            .filter(|&algorithm| algorithm != kept)
            .map(|algorithm| (algorithm, Sum::new(algorithm)));
        hasher
    }

    /// Compares the digests of the body with those announced.
    pub(super) fn check(&self, digests: &Digests) -> Result<(), Fault> {
        if self.md5.as_ref().is_some_and(|md5| *md5 != digests.md5) {
            return Err(refuse(
                S3ErrorCode::BadDigest,
                "The Content-MD5 you specified did not match what was received.",
            ));
        }
        let found = digests.sha256.map(hex);
        if found != self.sha256 {
            return Err(refuse_as(
                "XAmzContentSHA256Mismatch",
                StatusCode::BAD_REQUEST,
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            ));
        }
        let Some(algorithm) = self.algorithm else { return Ok(()) };
        let field = algorithm.field();
        let announced = match &self.trailer {
            None => self.checksum.as_deref(),
            Some(trailer) => match trailer.get(&field) {
                Some(value) => {
                    check_form(algorithm, value)?;
                    Some(value)
                }
                None => {
                    return Err(refuse_as(
                        "MalformedTrailerError",
                        StatusCode::BAD_REQUEST,
                        "The trailer lacks the checksum that x-amz-trailer announces.",
                    ));
                }
            },
        };
        match announced {
            Some(value) if value != digests.told().value => Err(mismatch(algorithm)),
            _ => Ok(()),
        }
    }
}

/// The error for a checksum that is not that of the bytes.
pub(super) fn mismatch(algorithm: Algorithm) -> Fault {
    let name = algorithm.name();
    refuse(
        S3ErrorCode::BadDigest,
        format!("The {name} you specified did not match the calculated checksum."),
    )
}

fn check_form(algorithm: Algorithm, value: &str) -> Result<(), Fault> {
    match BASE64.decode_to_vec(value) {
        Ok(bytes) if bytes.len() == algorithm.length() => Ok(()),
        _ => Err(refuse(
            S3ErrorCode::InvalidRequest,
            format!("Value for {} header is invalid.", algorithm.field()),
        )),
    }
}
