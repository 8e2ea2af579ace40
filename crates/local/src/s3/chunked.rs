//! `aws-chunked`: the encoding in which SDKs send a body with signatures or a checksum behind it.
//!
//! `door` decodes every such body, signed or not: signatures are skipped, as any credentials will do here, and the
//! trailer is handed to whoever checks the checksum in it.

use std::sync::{Arc, OnceLock};

use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, HeaderName, HeaderValue},
};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use s3s::S3ErrorCode;

use super::fault::{Fault, refuse};

/// The longest line, be it a chunk's head or a trailer: a signature takes under 200.
const LINE_BYTES_MAX: usize = 4096;

/// The most lines of a trailer.
const TRAILER_LINES_MAX: usize = 32;

/// The trailer of a body, there once the body has been read to its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Trailer(Arc<OnceLock<HeaderMap>>);

impl Trailer {
    /// A field of the trailer.
    pub(super) fn get(&self, name: &HeaderName) -> Option<&str> {
        self.0.get()?.get(name)?.to_str().ok()
    }
}

/// Why a body is not `aws-chunked`.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The body ends early.
    #[error("the body ends inside a chunk")]
    Incomplete,
    /// No size where one should be.
    #[error("a chunk does not begin with its size")]
    Size,
    /// More bytes than the size says.
    #[error("a chunk is longer than its size says")]
    End,
    /// A line without an end.
    #[error("a line is longer than {LINE_BYTES_MAX} bytes")]
    LineTooLong,
    /// Not `name:value`.
    #[error("the trailer is malformed")]
    Trailer,
    /// The connection.
    #[error("the body broke off")]
    Body {
        /// The connection's reason.
        source: axum::Error,
    },
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        let code = match error {
            Error::Incomplete | Error::Body { .. } => S3ErrorCode::IncompleteBody,
            Error::Trailer => S3ErrorCode::Custom("MalformedTrailerError".into()),
            Error::Size | Error::End | Error::LineTooLong => S3ErrorCode::InvalidRequest,
        };
        let mut refused = refuse(code, format!("The aws-chunked body cannot be decoded: {error}"));
        if let Fault::Refused(refused) = &mut refused {
            refused.set_status_code(axum::http::StatusCode::BAD_REQUEST);
        }
        refused
    }
}

/// The body inside an `aws-chunked` one, and the trailer behind it.
pub(super) fn decode(body: Body) -> (Body, Trailer) {
    let trailer = Trailer::default();
    let decoder = Decoder {
        input: body.into_data_stream(),
        buffer: BytesMut::new(),
        left: 0,
        begun: false,
        trailer: trailer.clone(),
    };
    let chunks = stream::try_unfold(Some(decoder), async |decoder| {
        let Some(mut decoder) = decoder else { return Ok(None) };
        let bytes = decoder.next().await?;
        Ok::<_, Error>(bytes.map(|bytes| (bytes, Some(decoder))))
    });
    (Body::from_stream(chunks), trailer)
}

struct Decoder {
    input: BodyDataStream,
    buffer: BytesMut,
    /// How much of the chunk at hand is still to come.
    left: u64,
    begun: bool,
    trailer: Trailer,
}

impl Decoder {
    /// The next bytes of the body, or `None` at its end.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.left == 0 {
            if self.begun && !self.line().await?.is_empty() {
                return Err(Error::End);
            }
            self.begun = true;
            self.left = chunk_size(&self.line().await?)?;
            if self.left == 0 {
                self.read_trailer().await?;
                return Ok(None);
            }
        }
        while self.buffer.is_empty() {
            if !self.fill().await? {
                return Err(Error::Incomplete);
            }
        }
        let length = usize::try_from(self.left)
            .map_or(self.buffer.len(), |left| left.min(self.buffer.len()));
        self.left -= length as u64;
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    async fn read_trailer(&mut self) -> Result<(), Error> {
        let mut fields = HeaderMap::new();
        for _ in 0..TRAILER_LINES_MAX {
            let line = match self.line().await {
                Ok(line) if !line.is_empty() => line,
                // Some clients leave out the empty line at the end.
                Ok(_) | Err(Error::Incomplete) => break,
                Err(error) => return Err(error),
            };
            let line = std::str::from_utf8(&line).map_err(|_| Error::Trailer)?;
            let (name, value) = line.split_once(':').ok_or(Error::Trailer)?;
            let name: HeaderName = name.trim().parse().map_err(|_| Error::Trailer)?;
            let value: HeaderValue = value.trim().parse().map_err(|_| Error::Trailer)?;
            fields.insert(name, value);
        }
        // Nobody else sets it, and nobody reads it before the body has ended.
        self.trailer.0.get_or_init(|| fields);
        Ok(())
    }

    /// The next line, without its end.
    async fn line(&mut self) -> Result<Bytes, Error> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                // However it arrives.
                if end > LINE_BYTES_MAX {
                    return Err(Error::LineTooLong);
                }
                let mut line = self.buffer.split_to(end).freeze();
                self.buffer.advance(1);
                if line.last() == Some(&b'\r') {
                    line.truncate(line.len() - 1);
                }
                return Ok(line);
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(Error::LineTooLong);
            }
            if !self.fill().await? {
                return Err(Error::Incomplete);
            }
        }
    }

    async fn fill(&mut self) -> Result<bool, Error> {
        match self.input.next().await {
            Some(Ok(bytes)) => {
                self.buffer.extend_from_slice(&bytes);
                Ok(true)
            }
            Some(Err(source)) => Err(Error::Body { source }),
            None => Ok(false),
        }
    }
}

/// The size in a chunk's head, `SIZE[;chunk-signature=...]`, where the size is hexadecimal.
fn chunk_size(head: &[u8]) -> Result<u64, Error> {
    let size = head.split(|&byte| byte == b';').next().unwrap_or_default();
    let size = std::str::from_utf8(size).map_err(|_| Error::Size)?;
    if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::Size);
    }
    u64::from_str_radix(size, 16).map_err(|_| Error::Size)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    use super::*;

    const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-crc32");

    /// Decodes an encoded body that arrives in pieces of this size.
    fn decoded(encoded: &[u8], size: usize) -> Result<(Bytes, Trailer), axum::Error> {
        let pieces: Vec<_> =
            encoded.chunks(size).map(|piece| Ok::<_, Error>(piece.to_vec())).collect();
        let (body, trailer) = decode(Body::from_stream(stream::iter(pieces)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Ok((runtime.block_on(body.collect())?.to_bytes(), trailer))
    }

    fn encoded(chunks: &[Vec<u8>], extension: &str) -> Vec<u8> {
        let mut encoded = Vec::new();
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            encoded.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
            encoded.extend_from_slice(chunk);
            encoded.extend_from_slice(b"\r\n");
        }
        encoded.extend_from_slice(format!("0{extension}\r\n").as_bytes());
        encoded.extend_from_slice(b"x-amz-checksum-crc32: AAAAAA==\r\n\r\n");
        encoded
    }

    proptest! {
        #[test]
        fn a_body_is_the_same_in_whatever_pieces_it_arrives(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            signed in any::<bool>(),
            size in 1_usize..50,
        ) {
            let extension = if signed { ";chunk-signature=0123abcd" } else { "" };
            let (body, trailer) = decoded(&encoded(&chunks, extension), size).unwrap();
            prop_assert_eq!(body, chunks.concat());
            prop_assert_eq!(trailer.get(&CHECKSUM), Some("AAAAAA=="));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), size in 1_usize..50) {
            drop(decoded(&bytes, size));
        }

        #[test]
        fn a_body_that_is_cut_off_within_a_chunk_is_refused(cut in 0_usize..24) {
            let encoded = encoded(&[b"twenty bytes of text".to_vec()], "");
            prop_assert!(decoded(&encoded[..cut], 7).is_err());
        }
    }
}
