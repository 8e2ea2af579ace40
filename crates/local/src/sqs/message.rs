//! A message as it is sent: what it may say, how long it is, and the digests that clients check.
//!
//! Pure: `send` stores what is valid here.

use std::collections::BTreeMap;

use base64_simd::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use super::refusal::{Code, Refusal};
use crate::hex::hex;

/// How long a message is at most: body and attributes. A queue can have a lower limit.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
pub(super) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// How many attributes a message has at most, and how long their names and types are.
const ATTRIBUTES_MAX: usize = 10;
const NAME_CHARACTERS_MAX: usize = 256;

/// How long a group's or a deduplication id is at most.
const ID_CHARACTERS_MAX: usize = 128;

/// The message attributes, by name.
pub type Attributes = BTreeMap<String, AttributeValue>;

/// The value of a message attribute.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttributeValue {
    /// `String`, `Number` or `Binary`, and perhaps a label: `Number.int`.
    #[serde(default)]
    pub data_type: String,
    /// The value of a text or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// The value of a binary attribute, in Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
}

impl AttributeValue {
    /// A text.
    pub fn string(value: impl Into<String>) -> Self {
        Self {
            data_type: "String".to_owned(),
            string_value: Some(value.into()),
            binary_value: None,
        }
    }
}

/// A message to be sent.
#[derive(Clone, Debug, Default)]
pub struct NewMessage<'a> {
    /// The text.
    pub body: &'a str,
    /// The message attributes.
    pub attributes: Attributes,
    /// The X-Ray trace that it belongs to: the system attribute `AWSTraceHeader`.
    pub trace_header: Option<&'a str>,
    /// The group; a FIFO queue needs one.
    pub group_id: Option<&'a str>,
    /// By which a FIFO queue tells that it was sent before.
    pub deduplication_id: Option<&'a str>,
    /// How long until it can be received, instead of the queue's delay; not in a FIFO queue.
    pub delay_seconds: Option<i64>,
}

/// What a body takes the longest to be told: done before the database is asked, so that nobody waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Examined {
    pub(super) md5: [u8; 16],
    /// The first character that no message may have.
    invalid: Option<char>,
}

impl Examined {
    pub(super) fn of(body: &str) -> Self {
        Self { md5: md5(body), invalid: invalid_character(body) }
    }
}

impl NewMessage<'_> {
    /// Its length by SQS's count: body, and names, types and values of the attributes.
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
    // "The size of a message system attribute doesn't count towards the total size of a message."
    pub(super) fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| {
            let text = value.string_value.as_ref().map_or(0, String::len);
            let binary = value
                .binary_value
                .as_ref()
                .and_then(|it| BASE64.decoded_length(it.as_bytes()).ok())
                .unwrap_or(0);
            name.len() + value.data_type.len() + text + binary
        });
        self.body.len() + attributes.sum::<usize>()
    }

    /// Refuses what no queue takes.
    pub(super) fn check(&self, body: &Examined) -> Result<(), Refusal> {
        if self.body.is_empty() {
            return Err(Refusal::missing("MessageBody"));
        }
        if let Some(bad) = body.invalid {
            let message = format!(
                "Invalid binary character '#x{:X}' was found in the message body, the set of allowed characters is \
                 #x9 | #xA | #xD | [#x20 to #xD7FF] | [#xE000 to #xFFFD] | [#x10000 to #x10FFFF]",
                u32::from(bad)
            );
            return Err(Refusal::new(Code::InvalidMessageContents, message));
        }
        if self.attributes.len() > ATTRIBUTES_MAX {
            let message = format!(
                "Number of message attributes [{}] exceeds the allowed maximum [{ATTRIBUTES_MAX}].",
                self.attributes.len()
            );
            return Err(Refusal::new(Code::InvalidParameterValue, message));
        }
        self.attributes.iter().try_for_each(|(name, value)| check_attribute(name, value))?;
        let ids =
            [("MessageGroupId", self.group_id), ("MessageDeduplicationId", self.deduplication_id)];
        ids.into_iter()
            .filter_map(|(parameter, id)| id.map(|id| (parameter, id)))
            .try_for_each(|(parameter, id)| check_id(parameter, id))
    }
}

/// The first character that XML 1.0, and so SQS, does not allow.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
// "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
fn invalid_character(text: &str) -> Option<char> {
    // Of most texts the bytes tell it: control characters, and what may be U+FFFE or U+FFFF.
    let is_odd = |byte: u8| !matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0xEE | 0xF0..=0xFF);
    // All of them, without a way out: so it is done many bytes at a time.
    if !text.bytes().fold(false, |odd, byte| odd | is_odd(byte)) {
        return None;
    }
    text.chars().find(|c| {
        !matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
    })
}

/// Refuses an id of a group, a deduplication or a receive attempt that is too long or has other characters than printed ASCII.
pub(super) fn check_id(parameter: &str, id: &str) -> Result<(), Refusal> {
    let is_valid = (1..=ID_CHARACTERS_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_graphic());
    if is_valid {
        return Ok(());
    }
    let reason = format!(
        "{parameter} can only include alphanumeric and punctuation characters. 1 to {ID_CHARACTERS_MAX} in length."
    );
    Err(Refusal::value(id, parameter, &reason))
}

fn check_attribute(name: &str, value: &AttributeValue) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(Code::InvalidParameterValue, message));
    if name.is_empty() {
        return invalid("The request must contain non-empty message attribute names.".to_owned());
    }
    if name.len() > NAME_CHARACTERS_MAX && name.is_ascii() {
        return invalid(format!(
            "Length of message attribute name must be less than {NAME_CHARACTERS_MAX} bytes."
        ));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !name.chars().all(is_plain) {
        return invalid(format!(
            "The message attribute name '{name}' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore (_), \
             hyphen (-), and period (.) characters."
        ));
    }
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("aws.") || lower.starts_with("amazon.") {
        return invalid(
            "You cannot use message attribute names that start with the reserved prefixes AWS. and Amazon."
                .to_owned(),
        );
    }
    if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        return invalid(format!(
            "The message attribute name '{name}' is invalid. It must not start or end with a period, nor have periods in \
             succession."
        ));
    }
    check_value(name, value)
}

fn check_value(name: &str, value: &AttributeValue) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(Code::InvalidParameterValue, message));
    let data_type = &*value.data_type;
    if data_type.is_empty() {
        return invalid(format!(
            "The message attribute '{name}' must contain a non-empty attribute type."
        ));
    }
    if data_type.len() > NAME_CHARACTERS_MAX {
        return invalid(format!(
            "Length of message attribute type must be less than {NAME_CHARACTERS_MAX} bytes."
        ));
    }
    let kind = data_type.split('.').next().unwrap_or_default();
    let found = match kind {
        "String" | "Number" => value.string_value.as_deref(),
        "Binary" => value.binary_value.as_deref(),
        _ => {
            return invalid(format!(
                "The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes \
                 is Binary, Number, and String."
            ));
        }
    };
    let Some(found) = found.filter(|found| !found.is_empty()) else {
        return invalid(format!(
            "The message attribute '{name}' must contain a non-empty message attribute value for message attribute type \
             '{data_type}'."
        ));
    };
    if value.string_value.is_some() && value.binary_value.is_some() {
        return invalid(format!("The message attribute '{name}' has more than one value."));
    }
    match kind {
        "Binary" if BASE64.check(found.as_bytes()).is_err() => invalid(format!(
            "The message attribute '{name}' has a binary value that is not Base64."
        )),
        // A number is kept as it was written, up to 38 digits.
        // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
        "Number" if !is_number(found) => invalid(format!(
            "Can't cast the value of message (user) attribute '{name}' to a number."
        )),
        _ => match invalid_character(found) {
            Some(bad) => invalid(format!(
                "Invalid binary character '#x{:X}' was found in the message attribute '{name}', the set of allowed \
                 characters is #x9 | #xA | #xD | [#x20 to #xD7FF] | [#xE000 to #xFFFD] | [#x10000 to #x10FFFF]",
                u32::from(bad)
            )),
            None => Ok(()),
        },
    }
}

fn is_number(text: &str) -> bool {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let unsigned = |text: &str| text.strip_prefix(['+', '-']).unwrap_or(text).to_owned();
    let mantissa = unsigned(mantissa);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let exponent = unsigned(exponent);
    digits > 0
        && mantissa.bytes().filter(|byte| *byte == b'.').count() <= 1
        && mantissa.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && !exponent.is_empty()
        && exponent.bytes().all(|byte| byte.is_ascii_digit())
}

/// The MD5 of a text.
fn md5(text: &str) -> [u8; 16] {
    Md5::digest(text.as_bytes()).into()
}

/// The MD5 of message attributes, in hexadecimal digits; none where there are none.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
// "Sort all message attributes by name in ascending order. Encode the individual parts of each attribute (Name, Type, and
// Value) into a buffer. Compute the message digest of the entire buffer."
pub(crate) fn attributes_md5<'a>(
    attributes: impl IntoIterator<Item = (&'a String, &'a AttributeValue)>,
) -> Option<String> {
    let mut digest = Md5::new();
    let mut is_empty = true;
    for (name, value) in attributes {
        is_empty = false;
        let mut add = |bytes: &[u8]| {
            // No value is longer than a message.
            digest.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            digest.update(bytes);
        };
        add(name.as_bytes());
        add(value.data_type.as_bytes());
        match (&value.string_value, &value.binary_value) {
            (Some(text), _) => {
                digest.update([1]);
                let text = text.as_bytes();
                digest.update(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
                digest.update(text);
            }
            (None, Some(binary)) => {
                let binary = BASE64.decode_to_vec(binary).unwrap_or_default();
                digest.update([2]);
                digest.update(u32::try_from(binary.len()).unwrap_or(u32::MAX).to_be_bytes());
                digest.update(binary);
            }
            (None, None) => {}
        }
    }
    (!is_empty).then(|| hex(digest.finalize()))
}
