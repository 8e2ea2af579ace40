//! The tags of topics.

use serde_json::{Map, json};

use super::{Answer, SnsApi, members, topic_name};
use crate::sns::{
    form::Part,
    refusal::{Fault, Refusal},
    store::{self, Settings},
};

/// How many tags a topic can have.
// https://docs.aws.amazon.com/sns/latest/dg/sns-tags.html
const TAGS_MAX: usize = 50;

const KEY_CHARACTERS_MAX: usize = 128;
const VALUE_CHARACTERS_MAX: usize = 256;

pub(super) fn read_tags(form: &Part) -> Result<Settings, Refusal> {
    let mut tags = Settings::new();
    for tag in form.list("Tags.member") {
        let key = tag.text("Key").unwrap_or_default();
        let value = tag.text("Value").unwrap_or_default();
        if key.is_empty()
            || key.chars().count() > KEY_CHARACTERS_MAX
            || value.chars().count() > VALUE_CHARACTERS_MAX
        {
            return Err(Refusal::invalid(
                "Tags Reason: a key has 1 to 128 characters, a value up to 256",
            ));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Refusal::invalid("Duplicated keys are not allowed."));
        }
    }
    if tags.len() > TAGS_MAX {
        return Err(Refusal::new(
            "TagLimitExceeded",
            "Could not complete request: tag quota of per resource exceeded",
        ));
    }
    Ok(tags)
}

fn check_topic(tx: &rusqlite::Transaction<'_>, topic: &str) -> Result<(), Fault> {
    if store::topic(tx, topic)?.is_some() {
        return Ok(());
    }
    Err(Refusal { code: "ResourceNotFound", ..Refusal::not_found("Resource") }.into())
}

impl SnsApi {
    pub(super) fn tag_resource(&self, form: &Part) -> Answer {
        let topic = topic_name(form, "ResourceArn")?;
        let tags = read_tags(form)?;
        self.write(|tx| {
            check_topic(tx, &topic)?;
            let mut all = store::tags(tx, &topic)?;
            all.extend(tags.clone());
            if all.len() > TAGS_MAX {
                let message = "Could not complete request: tag quota of per resource exceeded";
                return Err(Refusal::new("TagLimitExceeded", message).into());
            }
            Ok(store::put_tags(tx, &topic, &tags)?)
        })?;
        Ok(Map::new())
    }

    pub(super) fn untag_resource(&self, form: &Part) -> Answer {
        let topic = topic_name(form, "ResourceArn")?;
        let keys = form.texts("TagKeys.member");
        self.write(|tx| {
            check_topic(tx, &topic)?;
            Ok(keys.iter().try_for_each(|key| store::delete_tag(tx, &topic, key))?)
        })?;
        Ok(Map::new())
    }

    pub(super) fn list_tags_for_resource(&self, form: &Part) -> Answer {
        let topic = topic_name(form, "ResourceArn")?;
        let tags = self.write(|tx| {
            check_topic(tx, &topic)?;
            Ok(store::tags(tx, &topic)?)
        })?;
        let tags = tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value }));
        Ok(members([("Tags", json!({ "member": tags.collect::<Vec<_>>() }))]))
    }
}
