//! Tags: what they may be, and the operations on them.

use rusqlite::{Connection, Transaction};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::protocol::Exception;

use super::{
    Ecs, Fault,
    arn::{self, Taggable, TaskDefinitionReference},
    clusters, exists, invalid, task, task_definitions,
};

const TAGS_MAX: usize = 50;
const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;

/// A tag as requests have it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub(super) struct Tag {
    #[serde(default)]
    pub key: String,
    pub value: Option<String>,
}

/// Checks the tags of a request.
pub(super) fn check(tags: &[Tag]) -> Result<(), Exception> {
    if tags.len() > TAGS_MAX {
        return Err(invalid(format!("The maximum number of tags is {TAGS_MAX}.")));
    }
    for (index, Tag { key, value }) in tags.iter().enumerate() {
        check_key(key)?;
        if tags[..index].iter().any(|other| other.key == *key) {
            return Err(invalid(format!("Duplicate tag keys found: {key}.")));
        }
        let value = value.as_deref().unwrap_or_default();
        if value.chars().count() > VALUE_CHARS_MAX {
            return Err(invalid(format!(
                "The value of tag {key} has more than {VALUE_CHARS_MAX} characters."
            )));
        }
        if !value.chars().all(is_allowed) || is_reserved(value) {
            return Err(invalid(format!("The value of tag {key} is not valid.")));
        }
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), Exception> {
    if key.is_empty() {
        return Err(invalid("Tag key can not be blank."));
    }
    if key.chars().count() > KEY_CHARS_MAX {
        return Err(invalid(format!("A tag key has more than {KEY_CHARS_MAX} characters.")));
    }
    if is_reserved(key) {
        return Err(invalid(format!("The tag key {key} has the reserved prefix aws:.")));
    }
    if key.chars().all(is_allowed) {
        Ok(())
    } else {
        Err(invalid(format!("The tag key {key} has characters that are not allowed.")))
    }
}

fn is_reserved(text: &str) -> bool {
    text.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
}

fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c)
}

/// Tags a resource. The tags are checked already, or ECS's own.
pub(super) fn put(tx: &Transaction<'_>, resource_arn: &str, tags: &[Tag]) -> rusqlite::Result<()> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO ecs_tags (resource_arn, key, value) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    for Tag { key, value } in tags {
        insert.execute((resource_arn, key, value))?;
    }
    Ok(())
}

/// Takes all tags off a resource.
pub(super) fn clear(tx: &Transaction<'_>, resource_arn: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM ecs_tags WHERE resource_arn = ?1")?.execute([resource_arn])?;
    Ok(())
}

/// The tags of a resource, by key.
pub(super) fn of(connection: &Connection, resource_arn: &str) -> rusqlite::Result<Vec<Tag>> {
    connection
        .prepare_cached("SELECT key, value FROM ecs_tags WHERE resource_arn = ?1 ORDER BY key")?
        .query_map([resource_arn], |row| Ok(Tag { key: row.get(0)?, value: row.get(1)? }))?
        .collect()
}

/// The tags of a resource as answers have them.
pub(super) fn answer(connection: &Connection, resource_arn: &str) -> rusqlite::Result<Value> {
    Ok(to_json(&of(connection, resource_arn)?))
}

pub(super) fn to_json(tags: &[Tag]) -> Value {
    let tags = tags.iter().map(|Tag { key, value }| match value {
        Some(value) => json!({ "key": key, "value": value }),
        None => json!({ "key": key }),
    });
    tags.collect()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TagResource {
    resource_arn: String,
    tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UntagResource {
    resource_arn: String,
    tag_keys: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListTagsForResource {
    resource_arn: String,
}

impl Ecs {
    pub(super) fn tag_resource(&self, request: &TagResource) -> Result<Value, Fault> {
        check(&request.tags)?;
        self.db.write(|tx| {
            let arn = resolve(tx, &request.resource_arn, "ResourceNotFoundException")?;
            put(tx, &arn, &request.tags)?;
            let own = of(tx, &arn)?.iter().filter(|tag| !is_reserved(&tag.key)).count();
            if own > TAGS_MAX {
                let message = format!("The resource would have more than {TAGS_MAX} tags.");
                return Err(Exception::client("LimitExceededException", message).into());
            }
            Ok(json!({}))
        })
    }

    pub(super) fn untag_resource(&self, request: &UntagResource) -> Result<Value, Fault> {
        for key in &request.tag_keys {
            check_key(key)?;
        }
        self.db.write(|tx| {
            let arn = resolve(tx, &request.resource_arn, "ResourceNotFoundException")?;
            let mut delete =
                tx.prepare_cached("DELETE FROM ecs_tags WHERE resource_arn = ?1 AND key = ?2")?;
            for key in &request.tag_keys {
                delete.execute((&arn, key))?;
            }
            Ok(json!({}))
        })
    }

    pub(super) fn list_tags_for_resource(
        &self,
        request: &ListTagsForResource,
    ) -> Result<Value, Fault> {
        self.db.read(|connection| {
            let arn = resolve(connection, &request.resource_arn, "InvalidParameterException")?;
            Ok(json!({ "tags": answer(connection, &arn)? }))
        })
    }
}

/// The ARN, as this ECS writes it, of a resource that is there and may carry tags.
fn resolve(
    connection: &Connection,
    resource_arn: &str,
    not_found: &'static str,
) -> Result<String, Fault> {
    match Taggable::parse(resource_arn)? {
        Taggable::Cluster(name) => {
            clusters::require_active(connection, name)?;
            Ok(arn::cluster(name))
        }
        Taggable::TaskDefinition(TaskDefinitionReference { family, revision }) => {
            let revision = revision.unwrap_or_default();
            match task_definitions::status(connection, family, revision)?.as_deref() {
                Some("ACTIVE") => Ok(arn::task_definition(family, revision)),
                Some(_) => Err(invalid(
                    "The specified task definition is inactive. Specify an active task definition \
                     and try again.",
                )
                .into()),
                None => Err(missing(not_found, "task definition")),
            }
        }
        Taggable::Task { cluster, id } => {
            if !exists(
                connection,
                "SELECT 1 FROM ecs_tasks WHERE id = ?1 AND cluster = ?2",
                (id, cluster),
            )? {
                return Err(missing(not_found, "task"));
            }
            let stopping = task::find(connection, id)?.is_none_or(|task| task.is_stopping());
            if stopping {
                return Err(invalid(
                    "The specified task is stopped. Specify a running task and try again.",
                )
                .into());
            }
            Ok(arn::task(cluster, id))
        }
    }
}

fn missing(name: &'static str, kind: &str) -> Fault {
    let message =
        format!("The specified {kind} was not found. Specify a valid {kind} and try again.");
    Exception::client(name, message).into()
}
