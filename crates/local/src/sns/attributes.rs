//! Message attributes: what a publisher says beside the message.
//!
//! Pure: read and checked by `api`, carried on by `publish`.

use std::collections::BTreeMap;

use base64_simd::STANDARD as BASE64;

use super::{form::Part, refusal::Refusal};

/// The message attributes, by name.
pub(super) type Attributes = BTreeMap<String, Attribute>;

/// A message attribute.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Attribute {
    /// `String`, `String.Array`, `Number` or `Binary`, and perhaps a label.
    pub(super) data_type: String,
    pub(super) string_value: Option<String>,
    /// In Base64.
    pub(super) binary_value: Option<String>,
}

/// How long a name is at most, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Reads the attributes of a message, whose request names them so: `member` is the list's name in errors.
pub(super) fn read(message: &Part, member: &str) -> Result<Attributes, Refusal> {
    let mut attributes = Attributes::new();
    for entry in message.list("MessageAttributes.entry") {
        let name = entry.text("Name").unwrap_or_default();
        check_name(name)?;
        let value = entry.part("Value");
        let Some(data_type) = value.text("DataType").filter(|it| !it.is_empty()) else {
            return Err(Refusal::missing(&format!("{member}.{name}.member.dataType")));
        };
        let attribute = Attribute {
            data_type: data_type.to_owned(),
            string_value: value.text("StringValue").map(str::to_owned),
            binary_value: value.text("BinaryValue").map(str::to_owned),
        };
        attribute.check(name)?;
        attributes.insert(name.to_owned(), attribute);
    }
    Ok(attributes)
}

// https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
fn check_name(name: &str) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new("ParameterValueInvalid", message));
    if name.is_empty() {
        return refuse("The message attribute name must not be empty.".to_owned());
    }
    if name.len() >= NAME_BYTES_MAX {
        return refuse(format!(
            "Length of message attribute name must be less than {NAME_BYTES_MAX} bytes."
        ));
    }
    if let Some(bad) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"_-.".contains(*c)) {
        return refuse(format!(
            "Invalid non-alphanumeric character '#x{:X}' was found in the message attribute name. Can only include alphanumeric characters, hyphens, underscores, or dots.",
            u32::from(bad)
        ));
    }
    if name.starts_with('.') {
        return refuse(
            "Invalid message attribute name starting with character '.' was found.".to_owned(),
        );
    }
    if name.ends_with('.') {
        return refuse(
            "Invalid message attribute name ending with character '.' was found.".to_owned(),
        );
    }
    if name.contains("..") {
        return refuse("Message attribute name can not have successive '.' character.".to_owned());
    }
    Ok(())
}

impl Attribute {
    /// A text.
    pub(super) fn value(&self) -> &str {
        self.string_value.as_deref().or(self.binary_value.as_deref()).unwrap_or_default()
    }

    /// Its part of the message's size.
    pub(super) fn bytes(&self) -> usize {
        let binary = self.binary_value.as_ref();
        let binary = binary.and_then(|it| BASE64.decoded_length(it.as_bytes()).ok()).unwrap_or(0);
        self.data_type.len() + self.string_value.as_ref().map_or(0, String::len) + binary
    }

    fn check(&self, name: &str) -> Result<(), Refusal> {
        let refuse = |message: String| Err(Refusal::new("ParameterValueInvalid", message));
        let kind = self.data_type.split('.').next().unwrap_or_default();
        let (field, value, other) = match kind {
            "String" | "Number" => ("String", &self.string_value, &self.binary_value),
            "Binary" => ("Binary", &self.binary_value, &self.string_value),
            _ => {
                return refuse(format!(
                    "The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."
                ));
            }
        };
        let is_there = |value: &Option<String>| value.as_ref().is_some_and(|it| !it.is_empty());
        if is_there(other) {
            return refuse(format!(
                "The message attribute '{name}' with type '{}' must use field '{field}'.",
                self.data_type
            ));
        }
        if !is_there(value) {
            return refuse(format!(
                "The message attribute '{name}' must contain non-empty message attribute value for message attribute type '{}'.",
                self.data_type
            ));
        }
        if kind == "Number" && self.value().trim().parse::<f64>().is_err() {
            return refuse(format!("Could not cast message attribute '{name}' value to number."));
        }
        if kind == "Binary" && BASE64.decode_to_vec(self.value()).is_err() {
            return refuse(format!("The message attribute '{name}' is not Base64."));
        }
        Ok(())
    }
}
