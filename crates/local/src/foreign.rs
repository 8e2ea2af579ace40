//! Requests that a web page of somebody else has a browser send: refused, all of them.
//!
//! The server asks nobody for credentials, and a browser on this machine reaches it for every page that it shows: without
//! this, any page could put an object or invoke a function, and so start tasks. Asked by `server` before anything else.

use std::net::IpAddr;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};

/// Endings of names that no public name server answers for, so that no page can have such a name lead here.
// https://www.rfc-editor.org/rfc/rfc6761 has two of them; `.internal` is kept for private use (SAC113 of ICANN).
const NOT_PUBLIC: [&str; 3] = [".localhost", ".internal", ".test"];

/// Whether a request is of a page that is not of this machine.
pub(crate) fn is_foreign(headers: &HeaderMap) -> bool {
    // Browsers send it with whatever changes something, and no page can keep them from it.
    let is_foreign_origin = |origin: &HeaderValue| match origin.to_str() {
        Ok(origin) => origin.split_once("://").is_none_or(|(_, host)| !is_this_machine(name(host))),
        Err(_) => true,
    };
    // A page whose own name is made to lead here is of the same origin, and then reads what it likes.
    let is_foreign_host = |host: &HeaderValue| match host.to_str() {
        Ok(host) => !is_here(name(host)),
        // No browser sends that; whoever did is told so elsewhere.
        Err(_) => false,
    };
    headers.get_all(header::ORIGIN).iter().any(is_foreign_origin)
        || headers.get(header::HOST).is_some_and(is_foreign_host)
}

/// What it is told; in S3's form, as a name of their own is given to servers by those who want S3 to take buckets out of it.
pub(crate) fn refusal() -> Response<Body> {
    let refusal = "<Error><Code>AccessDenied</Code><Message>The host or origin of the request is another site's; only \
                   programs and pages of this machine are answered: use localhost or an address.</Message></Error>";
    let mut response = Response::new(Body::from(refusal));
    *response.status_mut() = StatusCode::FORBIDDEN;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers.insert("x-amzn-errortype", HeaderValue::from_static("AccessDeniedException"));
    response
}

/// A host without its port.
fn name(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_this_machine(name: &str) -> bool {
    match name.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// Whether a name can have led here only by this machine's own doing: an address, a name without a domain, or a private
/// one, such as that by which a container finds its host.
fn is_here(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok()
        || !name.contains('.')
        || NOT_PUBLIC.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: header::HeaderName, value: &str, expected: bool) {
        let value = HeaderValue::from_str(value).unwrap();
        assert_eq!(is_foreign(&HeaderMap::from_iter([(name, value)])), expected);
    }

    #[test]
    fn pages_of_this_machine_are_at_home() {
        for origin in ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443"] {
            check(header::ORIGIN, origin, false);
        }
    }

    #[test]
    fn pages_of_other_sites_are_not() {
        for origin in [
            "https://example.com",
            "http://localhost.example.com",
            "http://192.168.0.7",
            "null",
            "",
        ] {
            check(header::ORIGIN, origin, true);
        }
    }

    #[test]
    fn names_that_only_this_machine_can_lead_here_are_good() {
        for host in [
            "127.0.0.1:4566",
            "localhost",
            "LOCALHOST:4566",
            "[::1]:4566",
            "bucket.s3.localhost:4566",
            "taskferry:4566",
            "host.docker.internal:4566",
            "",
        ] {
            check(header::HOST, host, false);
        }
    }

    #[test]
    fn names_that_a_site_can_have_led_here_are_not() {
        for host in ["example.com:4566", "localhost.example.com", "127.0.0.1.example.com"] {
            check(header::HOST, host, true);
        }
    }
}
