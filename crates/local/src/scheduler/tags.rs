//! Tags of schedule groups; schedules have none.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Scheduler,
    api::{Fault, Outcome, Query, not_found},
    context::group_arn,
    request::{constraint, invalid, misshapen, missing},
    store,
};
use crate::{
    identity::REGION,
    protocol::{Exception, json_text},
};

const TAGS_MAX: usize = 200;

pub(super) type Tags = BTreeMap<String, String>;

/// The tags of a request, if it has any.
pub(super) fn read_tags(tags: &Value) -> Result<Option<Tags>, Exception> {
    let mut read = Tags::new();
    let tags = match tags {
        Value::Null => return Ok(None),
        Value::Array(tags) => tags,
        _ => return Err(misshapen("Tags is not a list")),
    };
    for tag in tags {
        let (Some(key), Some(value)) = (tag["Key"].as_str(), tag["Value"].as_str()) else {
            return Err(constraint("null", "tags.member.key", "not be null"));
        };
        if key.is_empty()
            || key.chars().count() > 128
            || value.is_empty()
            || value.chars().count() > 256
        {
            return Err(invalid(format!(
                "1 validation error detected: the tag {key} is too long: a key has 1 to 128 characters, a value 1 to 256"
            )));
        }
        if key.starts_with("aws:") {
            return Err(invalid(format!("The tag {key} has a prefix that is AWS's own.")));
        }
        read.insert(key.to_owned(), value.to_owned());
    }
    if read.len() > TAGS_MAX {
        return Err(invalid(format!("A schedule group has at most {TAGS_MAX} tags.")));
    }
    Ok(Some(read))
}

pub(super) fn write_tags(tags: &Tags) -> String {
    json_text(tags)
}

/// The name in the ARN of a group.
fn group(arn: &str) -> Result<&str, Exception> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let name = match parts.as_slice() {
        &["arn", _, "scheduler", _, _, resource] => resource.strip_prefix("schedule-group/"),
        _ => None,
    };
    name.filter(|name| !name.is_empty()).ok_or_else(|| {
        let wanted = group_arn("NAME").replace(REGION, "REGION");
        invalid(format!("{arn} is not the ARN of a schedule group, such as {wanted}"))
    })
}

impl Scheduler {
    fn tags_of(&self, group: &str) -> Result<Tags, Fault> {
        let tags = self.db.read(|connection| store::tags(connection, group))?;
        let tags =
            tags.ok_or_else(|| not_found(format!("Schedule group {group} does not exist.")))?;
        Ok(serde_json::from_str(&tags).unwrap_or_default())
    }

    fn change_tags(&self, arn: &str, change: impl FnOnce(&mut Tags)) -> Outcome {
        let group = group(arn)?;
        let mut tags = self.tags_of(group)?;
        change(&mut tags);
        if tags.len() > TAGS_MAX {
            return Err(invalid(format!("A schedule group has at most {TAGS_MAX} tags.")).into());
        }
        let now = self.now();
        self.db.write(|tx| store::set_tags(tx, group, &write_tags(&tags), now))?;
        Ok(json!({}))
    }

    pub(super) fn list_tags(&self, arn: &str) -> Outcome {
        let tags = self.tags_of(group(arn)?)?;
        let tags: Vec<Value> =
            tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        Ok(json!({ "Tags": tags }))
    }

    pub(super) fn tag(&self, arn: &str, request: &Value) -> Outcome {
        let tags = read_tags(&request["Tags"])?.ok_or_else(|| missing("tags"))?;
        self.change_tags(arn, |all| all.extend(tags))
    }

    pub(super) fn untag(&self, arn: &str, query: &Query<'_>) -> Outcome {
        if query.get("TagKeys").is_none() {
            return Err(missing("tagKeys").into());
        }
        self.change_tags(arn, |all| query.all("TagKeys").for_each(|key| drop(all.remove(key))))
    }
}
