//! The door: what comes before and after `s3s` on every request.
//!
//! Any credentials will do on this machine, so signatures are taken off here, unread; what else they stand for is kept:
//! a presigned URL ends when it says, and an `aws-chunked` body is decoded. Errors get the text and ids that S3's have.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{
        Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
        header, uri::PathAndQuery,
    },
};
use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;
use s3s::{
    S3Error, S3ErrorCode, S3Result,
    config::{S3Config, StaticConfigProvider},
    host::{S3Host, VirtualHost},
    service::{S3Service, S3ServiceBuilder},
};
use uuid::Uuid;

use super::{
    S3, chunked,
    fault::{Fault, message, refuse, refuse_as, take_details},
    form,
    operations::Operations,
    unread,
};
use crate::identity::{ACCOUNT_ID, REGION};

/// A week: the longest that a presigned URL may be good for.
const EXPIRES_SECONDS_MAX: i64 = 7 * 24 * 60 * 60;

/// The largest file in a browser's form, which `s3s` holds in memory.
const FORM_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The headers that name an `ETag`.
const CONDITIONS: [&str; 4] =
    ["if-match", "if-none-match", "x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match"];

/// Answers S3's requests.
#[derive(Clone, Debug)]
pub struct Service {
    s3s: S3Service,
}

/// S3 over HTTP: path style, and virtual-hosted style below `localhost`.
pub fn service(s3: Arc<S3>) -> Service {
    let mut config = S3Config::default();
    config.post_object_max_file_size = FORM_BYTES_MAX;
    let mut builder = S3ServiceBuilder::new(Operations(s3));
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.set_host(Localhost);
    Service { s3s: builder.build() }
}

impl Service {
    /// Answers a request; failures are answers too.
    pub async fn call(&self, mut request: Request<Body>) -> Response<Body> {
        let id = RequestId::new();
        let asked = Asked::of(&request);
        let without_body = request.method() == Method::HEAD;
        let expects_continue = request.headers().contains_key(header::EXPECT);
        request.extensions_mut().insert(id.clone());
        let (request, unread) = unread::keep(request);
        let mut response = match prepare(request) {
            Ok(request) => {
                let broken = unread::Break::default();
                let request = request.map(|body| s3s::Body::http_body_unsync(broken.watch(body)));
                let response = match self.s3s.call(request).await {
                    Ok(response) => response,
                    Err(error) => refusal(S3Error::with_message(
                        S3ErrorCode::InternalError,
                        s3s::StdError::from(error).to_string(),
                    )),
                };
                // `s3s` takes it for a fault of this side.
                match broken.take().filter(|_| response.status().is_server_error()) {
                    Some(error) => refusal(error),
                    None => response,
                }
            }
            Err(fault) => refusal(fault.into()),
        };
        complete(&mut response, &id, &asked, without_body);
        if !expects_continue {
            unread.drain().await;
        }
        response.map(Body::new)
    }
}

/// The id of a request, in its answer and in the notifications that it leads to.
#[derive(Clone, Debug)]
pub(super) struct RequestId(String);

impl RequestId {
    fn new() -> Self {
        let random = Uuid::now_v7().as_u64_pair().1;
        Self(format!("{random:016X}"))
    }

    /// The id among a request's extensions.
    pub(super) fn of(extensions: &Extensions) -> &str {
        extensions.get::<Self>().map_or("", |id| &id.0)
    }
}

/// What an operation puts beside an answer that has nothing in it: `s3s` takes no status for most.
#[derive(Clone, Copy, Debug)]
pub(super) struct WithoutContent;

/// What an answer tells again of its request.
struct Asked {
    resource: String,
    bucket: String,
    key: String,
    /// Whether it asks for `GetObjectAttributes`.
    attributes: bool,
}

impl Asked {
    fn of(request: &Request<Body>) -> Self {
        let resource = request.uri().path().to_owned();
        let path = percent_decode_str(resource.trim_start_matches('/')).decode_utf8_lossy();
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let (bucket, key) = match host.and_then(bucket_of_host) {
            Some(bucket) => (bucket, &*path),
            None => path.split_once('/').unwrap_or((&path, "")),
        };
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let query = request.uri().query().unwrap_or_default();
        let attributes = query.split('&').any(|it| it.trim_end_matches('=') == "attributes");
        Self { resource, bucket, key, attributes }
    }

    /// What an error tells of it, in XML.
    fn details(&self, code: &str) -> String {
        let (element, text) = match code {
            "NoSuchBucket" | "NoSuchTagSet" | "BucketNotEmpty" | "BucketAlreadyOwnedByYou" => {
                ("BucketName", &self.bucket)
            }
            "NoSuchKey" => ("Key", &self.key),
            _ => return String::new(),
        };
        if text.chars().any(char::is_control) {
            return String::new();
        }
        format!("<{element}>{}</{element}>", text.replace('&', "&amp;").replace('<', "&lt;"))
    }
}

fn bucket_of_host(host: &str) -> Option<&str> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let bucket = name.strip_suffix(".localhost").filter(|bucket| *bucket != "s3")?;
    Some(bucket.strip_suffix(".s3").unwrap_or(bucket))
}

/// Takes a bucket out of the `Host` header: `BUCKET.localhost`, with or without a port.
struct Localhost;

impl S3Host for Localhost {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        Ok(match bucket_of_host(host) {
            Some(bucket) => VirtualHost::new("localhost").with_bucket(bucket),
            None => VirtualHost::new(host),
        })
    }
}

/// Makes a request one that `s3s` takes without a signature.
fn prepare(request: Request<Body>) -> Result<Request<Body>, Fault> {
    let (mut parts, mut body) = request.into_parts();
    if !is_percent_encoded(parts.uri.path()) {
        return Err(S3ErrorCode::InvalidURI.into());
    }
    let headers = &mut parts.headers;
    headers.remove(header::AUTHORIZATION);
    if let Some(unsigned) = unsign(&parts.uri, headers)? {
        parts.uri = unsigned;
    }
    if headers.contains_key("x-amz-server-side-encryption-customer-algorithm") {
        return Err(S3ErrorCode::NotImplemented.into());
    }
    for name in ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"] {
        if headers.get(name).is_some_and(|owner| owner != ACCOUNT_ID) {
            return Err(S3ErrorCode::AccessDenied.into());
        }
    }
    for name in CONDITIONS {
        unquote_half(headers, name);
    }
    // A range that is none, or several, asks for the whole object.
    let range = headers.get(header::RANGE).map(HeaderValue::to_str);
    if let Some(Ok(range)) = range
        && (range == "bytes=-" || s3s::dto::Range::parse(range).is_err())
    {
        headers.remove(header::RANGE);
    }
    if is_chunked(headers) {
        let (decoded, trailer) = chunked::decode(body);
        body = decoded;
        parts.extensions.insert(trailer);
        let length = headers
            .remove("x-amz-decoded-content-length")
            .ok_or(Fault::from(S3ErrorCode::MissingContentLength))?;
        // Nobody behind this door would miss a length that is none.
        if length.is_empty() || !length.as_bytes().iter().all(u8::is_ascii_digit) {
            return Err(refuse(
                S3ErrorCode::InvalidArgument,
                "x-amz-decoded-content-length is not a length.",
            ));
        }
        headers.insert(header::CONTENT_LENGTH, length);
        headers.remove(header::TRANSFER_ENCODING);
        strip_chunked_encoding(headers);
    }
    if parts.method == Method::POST && is_form(headers) {
        body = form::unsign(body);
    }
    // https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
    // An upload says its length beforehand.
    let endless = headers.contains_key(header::TRANSFER_ENCODING)
        && !headers.contains_key(header::CONTENT_LENGTH);
    if parts.method == Method::PUT && endless {
        return Err(S3ErrorCode::MissingContentLength.into());
    }
    Ok(Request::from_parts(parts, body))
}

/// Whether each `%` of a path has its two digits.
fn is_percent_encoded(path: &str) -> bool {
    let mut pieces = path.split('%').skip(1).map(str::as_bytes);
    pieces.all(|it| it.len() >= 2 && it[..2].iter().all(u8::is_ascii_hexdigit))
}

/// Takes the one quote of an `ETag` off that has lost the other: S3 looks for what is in quotes, and asks for none.
fn unquote_half(headers: &mut HeaderMap, name: &'static str) {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(value) = value
        && value.matches('"').count() == 1
        && let Ok(bare) = HeaderValue::from_str(&value.replace('"', ""))
    {
        headers.insert(name, bare);
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|it| it.to_ascii_lowercase().starts_with(b"multipart/form-data"))
}

fn is_chunked(headers: &HeaderMap) -> bool {
    let has = |name: &str, accept: fn(&str) -> bool| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(accept)
    };
    has("x-amz-content-sha256", |value| value.starts_with("STREAMING-"))
        || has("content-encoding", |value| {
            value.split(',').any(|coding| coding.trim() == "aws-chunked")
        })
}

/// `aws-chunked` belongs to the request; what other encodings there are belong to the object.
fn strip_chunked_encoding(headers: &mut HeaderMap) {
    let Some(Ok(encoding)) = headers.get(header::CONTENT_ENCODING).map(HeaderValue::to_str) else {
        return;
    };
    let rest: Vec<&str> =
        encoding.split(',').map(str::trim).filter(|coding| *coding != "aws-chunked").collect();
    match HeaderValue::from_str(&rest.join(",")) {
        Ok(rest) if !rest.is_empty() => headers.insert(header::CONTENT_ENCODING, rest),
        _ => headers.remove(header::CONTENT_ENCODING),
    };
}

/// Takes a presigned URL's signature off, if it has one and is still good.
///
/// Headers that the client moved into the URL are put back.
fn unsign(uri: &Uri, headers: &mut HeaderMap) -> Result<Option<Uri>, Fault> {
    let Some(query) = uri.query() else { return Ok(None) };
    let pairs = || query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let find = |wanted: &str| {
        let found = pairs().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    let v4 = find("X-Amz-Signature").is_some();
    let v2 = find("Signature").is_some() && find("AWSAccessKeyId").is_some();
    if v4 {
        check_expiry(find("X-Amz-Date").as_deref(), find("X-Amz-Expires").as_deref())?;
    } else if v2 {
        let expires = find("Expires").and_then(|seconds| seconds.parse().ok());
        let expires = expires.and_then(|seconds| Timestamp::from_second(seconds).ok());
        if expires.is_none_or(|expires| expires < Timestamp::now()) {
            return Err(expired());
        }
    } else {
        return Ok(None);
    }
    let mut kept = Vec::new();
    for (name, value) in pairs() {
        match name.to_ascii_lowercase().as_str() {
            "x-amz-algorithm"
            | "x-amz-credential"
            | "x-amz-date"
            | "x-amz-expires"
            | "x-amz-signedheaders"
            | "x-amz-signature"
            | "x-amz-security-token"
            | "x-amz-content-sha256" => {}
            "expires" | "signature" | "awsaccesskeyid" if v2 => {}
            // Whoever signed the URL did not have the body: a checksum in it is of none.
            lower if lower.starts_with("x-amz-") && !lower.contains("checksum") => {
                let value = percent_decode_str(value).decode_utf8_lossy();
                if let (Ok(name), Ok(value)) =
                    (lower.parse::<HeaderName>(), HeaderValue::from_str(&value))
                {
                    headers.entry(name).or_insert(value);
                }
            }
            _ if value.is_empty() => kept.push(name.to_owned()),
            _ => kept.push(format!("{name}={value}")),
        }
    }
    let path_and_query = match kept.as_slice() {
        [] => uri.path().to_owned(),
        kept => format!("{}?{}", uri.path(), kept.join("&")),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(
        PathAndQuery::try_from(path_and_query).map_err(|_| Fault::from(S3ErrorCode::InvalidURI))?,
    );
    Uri::from_parts(parts).map(Some).map_err(|_| S3ErrorCode::InvalidURI.into())
}

fn check_expiry(date: Option<&str>, expires: Option<&str>) -> Result<(), Fault> {
    let malformed = || {
        refuse_as(
            "AuthorizationQueryParametersError",
            StatusCode::BAD_REQUEST,
            "X-Amz-Date or X-Amz-Expires of the presigned URL is not as it must be.",
        )
    };
    let date = date
        .and_then(|date| jiff::fmt::strtime::parse("%Y%m%dT%H%M%SZ", date).ok())
        .and_then(|date| date.to_datetime().ok())
        .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .ok_or_else(malformed)?;
    let expires = expires
        .and_then(|seconds| seconds.parse().ok())
        .filter(|seconds| (0..=EXPIRES_SECONDS_MAX).contains(seconds))
        .ok_or_else(malformed)?;
    let age = Timestamp::now().duration_since(date.timestamp());
    if age > SignedDuration::from_secs(expires) { Err(expired()) } else { Ok(()) }
}

fn expired() -> Fault {
    refuse(S3ErrorCode::AccessDenied, "Request has expired")
}

fn refusal(error: S3Error) -> s3s::HttpResponse {
    error.to_http_response().unwrap_or_else(|_| {
        let mut response = Response::new(s3s::Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Adds what S3 tells with every answer, and what its errors say beside their code.
fn complete(
    response: &mut s3s::HttpResponse,
    RequestId(id): &RequestId,
    asked: &Asked,
    without_body: bool,
) {
    let status = response.status();
    let details = take_details(response.headers_mut());
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-amz-request-id", id.clone());
        response.headers_mut().insert("x-amz-id-2", id);
    }
    if status.is_success() {
        // `s3s` takes no status for the head of an object.
        if response.headers().contains_key(header::CONTENT_RANGE) {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        if response.extensions().get::<WithoutContent>().is_some() {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        if without_body && asked.key.is_empty() {
            // Of a bucket there is nothing to have a type, and S3 tells one.
            let xml = HeaderValue::from_static("application/xml");
            response.headers_mut().entry(header::CONTENT_TYPE).or_insert(xml);
        }
        if asked.attributes {
            take_quotes_off(response);
        }
        spell_out_controls(response);
        return;
    }
    response.headers_mut().entry("x-amz-bucket-region").or_insert(HeaderValue::from_static(REGION));
    if without_body || status == StatusCode::NOT_MODIFIED {
        // S3 says nothing of what, and a client must not take the error's length for the object's.
        *response.body_mut() = s3s::Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        return;
    }
    let Some(body) = response.body().bytes() else { return };
    let Ok(text) = std::str::from_utf8(&body) else { return };
    let Some((head, tail)) = text.split_once("</Code>") else { return };
    let Some(tail) = tail.strip_suffix("</Error>") else { return };
    let code = head.rsplit('>').next().unwrap_or_default();
    let details = match &*details {
        "" => asked.details(code),
        _ => details,
    };
    let said = if tail.contains("<Message>") {
        String::new()
    } else {
        format!("<Message>{}</Message>", message(code))
    };
    // A request's path is percent-encoded, but for these.
    let resource = asked.resource.replace('&', "&amp;").replace('<', "&lt;");
    let complete = format!(
        "{head}</Code>{said}{tail}{details}<Resource>{resource}</Resource><RequestId>{id}</RequestId>\
         <HostId>{id}</HostId></Error>"
    );
    *response.body_mut() = s3s::Body::from(complete);
}

/// `GetObjectAttributes` tells the `ETag` without the quotes that it has everywhere else.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html
fn take_quotes_off(response: &mut s3s::HttpResponse) {
    let Some(body) = response.body().bytes() else { return };
    let Ok(text) = std::str::from_utf8(&body) else { return };
    let bare = text.replace("<ETag>&quot;", "<ETag>").replace("&quot;</ETag>", "</ETag>");
    let bare = bare.replace("<ETag>\"", "<ETag>").replace("\"</ETag>", "</ETag>");
    *response.body_mut() = s3s::Body::from(bare);
}

/// Writes control characters in a list's keys as references: a raw carriage return would be read as a line feed.
fn spell_out_controls(response: &mut s3s::HttpResponse) {
    let raw = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n');
    // An object's bytes are a stream, and never there as a whole: this is XML, or nothing.
    let Some(body) = response.body().bytes().filter(|body| body.iter().any(raw)) else { return };
    let mut text = Vec::with_capacity(body.len() + 16);
    for byte in &body {
        if raw(byte) {
            text.extend_from_slice(format!("&#x{byte:X};").as_bytes());
        } else {
            text.push(*byte);
        }
    }
    *response.body_mut() = s3s::Body::from(text);
}
