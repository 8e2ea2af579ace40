//! Requests for AWS's services that are not on this machine: each is told so in the form that its client reads. Of STS there
//! is one word: who the caller is.
//!
//! Asked by the server for what has come by no other way. S3 is where all else ends, and its errors would tell a client
//! of STS or of Lambda's other operations about buckets. A signature is read for the service's name; it is not checked.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header},
};
use uuid::Uuid;

use crate::{
    identity::ACCOUNT_ID,
    protocol::{Exception, read_body, respond},
};

/// The form of requests of services such as STS and IAM, which answer in XML.
const FORM: &str = "application/x-www-form-urlencoded";

/// How long a form may be.
const FORM_BYTES_MAX: usize = 1024 * 1024;

/// The service that a request is signed for, unless it is S3: what is not signed may be S3's.
pub(crate) fn service(headers: &HeaderMap) -> Option<String> {
    // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    // "Credential=AKIAIOSFODNN7EXAMPLE/20220830/us-east-1/ec2/aws4_request"
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    let scope = credential.split(',').next()?.trim_end();
    let service = scope.strip_suffix("/aws4_request")?.rsplit('/').next()?;
    (is_name(service) && service != "s3").then(|| service.to_owned())
}

/// What scripts ask STS before anything else.
const WHO: &str = "GetCallerIdentity";

/// Refuses the request by the name of the service, or says who the caller is.
pub(crate) async fn answer(service: &str, request: Request<Body>) -> Response<Body> {
    let is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(FORM.as_bytes()));
    let what = format!("{} {}", request.method(), request.uri().path());
    // Read all the same: a client that is still writing does not read the answer.
    let body = read_body(request.into_body(), FORM_BYTES_MAX).await;
    if !is_form {
        let message = format!("{service} on this machine has no operation {what}");
        let exception = Exception::client("UnknownOperationException", message);
        return respond(Err(exception), "application/json");
    }
    let body = body.unwrap_or_default();
    let mut members =
        body.split(|byte| *byte == b'&').filter_map(|it| std::str::from_utf8(it).ok());
    let operation = members.find_map(|member| member.strip_prefix("Action="));
    let operation = operation.filter(|name| is_name(name)).unwrap_or("that it asks for");
    if (service, operation) == ("sts", WHO) {
        return caller_identity();
    }
    xml_error(&format!("{service} on this machine has no operation {operation}"))
}

/// Everybody is the account's root: nobody is asked for credentials.
fn caller_identity() -> Response<Body> {
    let id = Uuid::now_v7();
    xml(
        StatusCode::OK,
        format!(
            "<{WHO}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{WHO}Result>\
             <Arn>arn:aws:iam::{ACCOUNT_ID}:root</Arn><UserId>{ACCOUNT_ID}</UserId><Account>{ACCOUNT_ID}</Account>\
             </{WHO}Result><ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{WHO}Response>"
        ),
    )
}

/// The names of services and operations are plain, so they need no escapes.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn xml_error(message: &str) -> Response<Body> {
    let id = Uuid::now_v7();
    let error = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>{message}</Message></Error>\
         <RequestId>{id}</RequestId></ErrorResponse>"
    );
    xml(StatusCode::BAD_REQUEST, error)
}

fn xml(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/xml");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(authorization: &str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        assert_eq!(service(&headers).as_deref(), expected, "{authorization}");
    }

    #[test]
    fn a_signature_names_its_service() {
        let signed = |service: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential=x/20261121/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
            )
        };
        check(&signed("sts"), Some("sts"));
        check(&signed("lambda").replace(", ", ","), Some("lambda"));
        check(&signed("s3"), None);
        check(&signed("<b>"), None);
        check(&signed(""), None);
    }

    #[test]
    fn what_is_not_signed_so_may_be_the_objects_of_s3() {
        assert_eq!(service(&HeaderMap::new()), None);
        check("AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo", None);
        check("Bearer x", None);
        check("AWS4-HMAC-SHA256 Credential=", None);
    }
}
