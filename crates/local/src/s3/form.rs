//! A browser's form: its signature is hidden from `s3s`, which would ask for the secret to check it with.
//!
//! The policy stays in the form, and with it the conditions and the date by which the form is good.

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};

/// The fields of the form come before the file, and this far at most.
const FIELDS_BYTES_MAX: usize = 64 * 1024;

/// What ends the fields.
const FILE: &[u8] = b"name=\"file\"";

/// The names of the signature, and names as long that a policy says nothing about.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
// Fields that begin with `x-ignore-` need no condition.
const HIDDEN: [(&[u8], &[u8]); 3] = [
    (b"name=\"x-amz-signature\"", b"name=\"x-ignore-signat\""),
    (b"name=\"X-Amz-Signature\"", b"name=\"x-ignore-signat\""),
    (b"name=\"signature\"", b"name=\"x-ignore-\""),
];

/// The form without its signature, and as long as before.
pub(super) fn unsign(body: Body) -> Body {
    let body = body.into_data_stream();
    let rest =
        stream::once(fields(body)).flat_map(|(fields, rest)| stream::iter(fields).chain(rest));
    Body::from_stream(rest)
}

/// The fields, and what follows them.
async fn fields(mut body: BodyDataStream) -> (Vec<Result<Bytes, axum::Error>>, BodyDataStream) {
    let mut fields = BytesMut::new();
    while fields.len() < FIELDS_BYTES_MAX && find(&fields, FILE).is_none() {
        match body.next().await {
            Some(Ok(bytes)) => fields.extend_from_slice(&bytes),
            Some(Err(error)) => return (vec![Err(error)], body),
            None => break,
        }
    }
    let end = find(&fields, FILE).unwrap_or(fields.len());
    for (name, other) in HIDDEN {
        if let Some(at) = find(&fields[..end], name) {
            fields[at..at + name.len()].copy_from_slice(other);
        }
    }
    (vec![Ok(fields.freeze())], body)
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
