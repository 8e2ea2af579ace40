//! Receipt handles: which message was received from which queue, and which time it was.

use base64_simd::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use super::refusal::{Code, Refusal};

/// What a receipt handle says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Receipt {
    pub(super) queue: i64,
    pub(super) message: i64,
    /// The message's receives in all queues, with this one.
    pub(super) receives: i64,
}

/// Bytes that tell a handle from any other Base64. They are no secret: nobody is kept from anything here.
const SEAL: usize = 8;

impl Receipt {
    /// The handle, as clients get it.
    pub(super) fn handle(self) -> String {
        let mut bytes = self.plain().to_vec();
        bytes.extend_from_slice(&self.seal());
        BASE64.encode_to_string(bytes)
    }

    /// Reads a handle.
    pub(super) fn parse(handle: &str) -> Option<Self> {
        let bytes = BASE64.decode_to_vec(handle).ok()?;
        let number = |at: usize| Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let receipt = Self { queue: number(0)?, message: number(8)?, receives: number(16)? };
        (bytes.get(24..) == Some(&receipt.seal())).then_some(receipt)
    }

    /// Reads a handle of this queue.
    pub(super) fn of(queue: i64, handle: &str) -> Result<Self, Refusal> {
        if handle.is_empty() {
            return Err(Refusal::missing("ReceiptHandle"));
        }
        Self::parse(handle).filter(|receipt| receipt.queue == queue).ok_or_else(|| {
            Refusal::new(Code::ReceiptHandleIsInvalid, "The input receipt handle is invalid.")
        })
    }

    fn plain(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.queue.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.message.to_be_bytes());
        bytes[16..].copy_from_slice(&self.receives.to_be_bytes());
        bytes
    }

    fn seal(self) -> [u8; SEAL] {
        let digest = Sha256::digest(self.plain());
        let mut seal = [0; SEAL];
        seal.copy_from_slice(&digest[..SEAL]);
        seal
    }
}
