//! What AWS's exceptions mean: the one place that reads their names and messages.
//!
//! Asked for each exception of a call. The SDK looks at names alone; AWS hides throttles and full quotas in the messages of
//! exceptions that look final, so those are looked at first.

/// What an exception means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Too many calls: the same will work later.
    Throttled,
    /// No room: the same may work later.
    Capacity,
    /// The client token was used with another request.
    Conflict,
    /// The request is wrong or not allowed, and will be.
    Refused,
    /// AWS failed: whether it acted is not known.
    Unknown,
}

/// A row: the exception's name (empty: any), a part of its message (empty: any), what that means.
type Row = (&'static str, &'static str, Kind);

/// Read from the top; the first that fits decides.
const ROWS: &[Row] = &[
    // RunTask looks up subnets and security groups at EC2, and passes EC2's throttling on under its own name.
    // https://github.com/dagster-io/dagster/issues/33439, https://github.com/reproio/wrapbox/pull/32
    ("InvalidParameterException", "Rate exceeded", Kind::Throttled),
    ("InvalidParameterException", "Throttling", Kind::Throttled),
    ("InvalidParameterException", "Request limit exceeded", Kind::Throttled),
    // https://github.com/reproio/wrapbox/pull/43
    ("InvalidParameterException", "InternalError", Kind::Unknown),
    ("ClientException", "Rate exceeded", Kind::Throttled),
    ("ClientException", "Throttling", Kind::Throttled),
    // The quota of tasks in PROVISIONING a cluster.
    // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
    ("ClientException", "provisioning capacity limit exceeded", Kind::Capacity),
    // https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.md
    ("", "You've reached the limit on the number of", Kind::Capacity),
    ("", "Capacity is unavailable at this time", Kind::Capacity),
    // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html
    ("ThrottlingException", "", Kind::Throttled),
    ("Throttling", "", Kind::Throttled),
    ("TooManyRequestsException", "", Kind::Throttled),
    ("RequestLimitExceeded", "", Kind::Throttled),
    ("LimitExceededException", "", Kind::Throttled),
    // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
    ("ProvisionedThroughputExceededException", "", Kind::Throttled),
    ("TransactionConflictException", "", Kind::Throttled),
    ("TransactionInProgressException", "", Kind::Throttled),
    ("ReplicatedWriteConflictException", "", Kind::Throttled),
    // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
    ("ConflictException", "", Kind::Conflict),
    ("ServerException", "", Kind::Unknown),
    ("ServiceUnavailable", "", Kind::Unknown),
    ("InternalFailure", "", Kind::Unknown),
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
    ("RequestThrottled", "", Kind::Throttled),
    ("KmsThrottled", "", Kind::Throttled),
    // Credentials are renewed, and clocks are set: the function's next instance may have good ones.
    ("ExpiredTokenException", "", Kind::Unknown),
    ("RequestExpired", "", Kind::Unknown),
    // The process was held up after it had signed: five minutes later nothing comes of the request.
    // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
    ("InvalidSignatureException", "Signature expired", Kind::Unknown),
    ("InvalidSignatureException", "Signature not yet current", Kind::Unknown),
];

/// What the exception means. One that no row knows is the request's fault below 500, and AWS's from there.
pub(crate) fn kind(code: &str, message: &str, status: u16) -> Kind {
    let fits = |(row_code, part, _): &&Row| {
        (row_code.is_empty() || *row_code == code) && message.contains(part)
    };
    match ROWS.iter().find(fits) {
        Some((_, _, kind)) => *kind,
        None if (400..500).contains(&status) => Kind::Refused,
        None => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, message: &str, status: u16, expected: Kind) {
        assert_eq!(kind(code, message, status), expected);
    }

    #[test]
    fn a_throttle_in_an_invalid_parameter_is_a_throttle() {
        let message = "Error retrieving subnet information for [subnet-1]: Rate exceeded (ErrorCode: Throttling)";
        check("InvalidParameterException", message, 400, Kind::Throttled);
    }

    #[test]
    fn another_invalid_parameter_is_refused() {
        check("InvalidParameterException", "Invalid revision number.", 400, Kind::Refused);
    }

    #[test]
    fn a_full_cluster_is_a_matter_of_capacity() {
        let message = "The cluster's provisioning capacity limit exceeded.";
        check("ClientException", message, 400, Kind::Capacity);
    }

    #[test]
    fn an_old_signature_is_no_refusal() {
        let message = "Signature expired: 20260101T000000Z is now earlier than 20260101T000100Z (20260101T000600Z - 5 min.)";
        check("InvalidSignatureException", message, 400, Kind::Unknown);
        let message =
            "The request signature we calculated does not match the signature you provided.";
        check("InvalidSignatureException", message, 400, Kind::Refused);
    }

    #[test]
    fn an_exception_of_tomorrow_is_judged_by_its_status() {
        check("TomorrowException", "", 400, Kind::Refused);
        check("TomorrowException", "", 503, Kind::Unknown);
    }
}
