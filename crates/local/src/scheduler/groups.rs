//! Schedule groups: made and deleted with all that is in them.

use serde_json::{Value, json};

use super::{
    DEFAULT_GROUP, Scheduler,
    api::{Outcome, Query, conflict, not_found, shown_group},
    context::group_arn,
    request::{invalid, misshapen, name},
    store,
    tags::{read_tags, write_tags},
};
use crate::protocol::json_text;

impl Scheduler {
    pub(super) fn create_group(&self, group: &str, request: &Value) -> Outcome {
        let group = name(group, "name")?;
        let tags = read_tags(&request["Tags"])?.unwrap_or_default();
        let token = match &request["ClientToken"] {
            Value::Null => None,
            Value::String(token) => Some(token.as_str()),
            _ => return Err(misshapen("ClientToken is not a text").into()),
        };
        let told = format!("create-group {group} {}", json_text(&tags));
        self.once(token, &told, |tx, now| {
            if !store::add_group(tx, group, now)? {
                return Err(conflict(format!("Schedule group {group} already exists.")).into());
            }
            store::set_tags(tx, group, &write_tags(&tags), now)?;
            Ok(json!({ "ScheduleGroupArn": group_arn(group) }))
        })
    }

    pub(super) fn get_group(&self, group: &str) -> Outcome {
        let group = name(group, "name")?;
        let found = self.db.read(|connection| store::get_group(connection, group))?;
        let found =
            found.ok_or_else(|| not_found(format!("Schedule group {group} does not exist.")))?;
        Ok(shown_group(&found))
    }

    pub(super) fn delete_group(&self, group: &str, query: &Query<'_>) -> Outcome {
        let group = name(group, "name")?;
        if group == DEFAULT_GROUP {
            return Err(invalid("The default schedule group cannot be deleted.").into());
        }
        self.once(query.get("clientToken"), &format!("delete-group {group}"), |tx, _| {
            if store::get_group(tx, group)?.is_none() {
                return Err(not_found(format!("Schedule group {group} does not exist.")).into());
            }
            if store::has_managed(tx, group)? {
                let message = format!(
                    "Schedule group {group} is managed by Taskferry's rules file: its rules have schedules in it."
                );
                return Err(conflict(message).into());
            }
            store::delete_group(tx, group)?;
            Ok(json!({}))
        })
    }

    pub(super) fn list_groups(&self, query: &Query<'_>) -> Outcome {
        let (prefix, page) = (query.prefix()?, query.page()?);
        let after = query.get("NextToken").unwrap_or_default();
        let mut groups =
            self.db.read(|connection| store::list_groups(connection, prefix, after, page + 1))?;
        let has_more = groups.len() > page;
        groups.truncate(page);
        let mut answer =
            json!({ "ScheduleGroups": groups.iter().map(shown_group).collect::<Vec<_>>() });
        if let Some(last) = groups.last().filter(|_| has_more) {
            answer["NextToken"] = json!(last.name);
        }
        Ok(answer)
    }
}
