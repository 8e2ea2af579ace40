//! The names of queues: plain, in ARNs and in URLs.

use crate::identity::{ACCOUNT_ID, REGION};

/// The ARN of a queue.
pub(crate) fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}")
}

/// The name in the ARN of a queue. The Region and the account may be any: nothing is looked up by them.
pub(crate) fn queue_name(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let is_sqs =
        [parts.next(), parts.next(), parts.next()] == [Some("arn"), Some("aws"), Some("sqs")];
    let name = parts.nth(2)?;
    (is_sqs && is_name(name)).then_some(name)
}

/// Whether a queue can have this name.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
// "A queue name can have up to 80 characters. Valid values: alphanumeric characters, hyphens (-), and underscores (_). A FIFO
// queue name must end with the .fifo suffix."
pub(crate) fn is_name(name: &str) -> bool {
    let stem = name.strip_suffix(super::settings::FIFO_SUFFIX).unwrap_or(name);
    name.len() <= 80
        && !stem.is_empty()
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The URL of a queue on the server at `host`, which is a host name or address with its port.
pub(super) fn queue_url(host: &str, name: &str) -> String {
    format!("http://{host}/{ACCOUNT_ID}/{name}")
}

/// The name of the queue in what a client gives as its URL: the last part of the path. A name alone stands for itself.
pub(super) fn name_in_url(url: &str) -> &str {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or(path).trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}
