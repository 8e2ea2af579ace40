//! The operations on the policies of event buses. They are kept and shown: on this machine everybody may.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{EventBridgeApi, check_name, constraint, invalid, required};
use crate::{
    delivery::Destination,
    eventbridge::store,
    protocol::{Answer, Exception, json_text},
};

const NAME_CHARACTERS_MAX: usize = 256;
const STATEMENT_CHARACTERS_MAX: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutPermission {
    event_bus_name: Option<String>,
    action: Option<String>,
    principal: Option<String>,
    statement_id: Option<String>,
    condition: Option<Condition>,
    policy: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RemovePermission {
    event_bus_name: Option<String>,
    statement_id: Option<String>,
    remove_all_permissions: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Condition {
    r#type: String,
    key: String,
    value: String,
}

/// What a request puts into a policy.
enum Put {
    /// This is all of it.
    Policy(Map<String, Value>),
    /// A statement, by its `Sid`, whose `Resource` is the bus.
    Statement(String, Map<String, Value>),
}

impl PutPermission {
    // https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutPermission.html
    fn read(self) -> Result<Put, Exception> {
        let Self { action, principal, statement_id, condition, policy, .. } = self;
        if let Some(policy) = policy {
            // "If you include this parameter in the request, you can't use ... Action, StatementId, Principal, or Condition"
            if action.is_some() || principal.is_some() || statement_id.is_some() {
                return Err(invalid(
                    "Policy excludes Action, Principal, StatementId and Condition.",
                ));
            }
            return match serde_json::from_str(&policy) {
                Ok(Value::Object(policy)) => Ok(Put::Policy(policy)),
                Ok(_) | Err(_) => Err(invalid("This policy contains invalid Json")),
            };
        }
        let action = required("action", action)?;
        let principal = required("principal", principal)?;
        let sid = required("statementId", statement_id)?;
        check_name("statementId", &sid, STATEMENT_CHARACTERS_MAX, false)?;
        if action != "events:PutEvents" {
            return Err(invalid("Provided value in parameter 'action' is not supported."));
        }
        let is_account =
            principal.len() == 12 && principal.bytes().all(|byte| byte.is_ascii_digit());
        if !is_account && principal != "*" {
            let rule = r"satisfy regular expression pattern: (\d{12}|\*)";
            return Err(constraint(&principal, "principal", rule));
        }
        let who = if is_account {
            json!({ "AWS": format!("arn:aws:iam::{principal}:root") })
        } else {
            json!(principal)
        };
        let mut statement = Map::from_iter([
            ("Sid".to_owned(), json!(sid)),
            ("Effect".to_owned(), json!("Allow")),
            ("Principal".to_owned(), who),
            ("Action".to_owned(), json!(action)),
        ]);
        if let Some(Condition { r#type, key, value }) = condition {
            if (r#type.as_str(), key.as_str()) != ("StringEquals", "aws:PrincipalOrgID") {
                return Err(invalid("Provided value in parameter 'condition' is not supported."));
            }
            statement.insert("Condition".to_owned(), json!({ r#type: { key: value } }));
        }
        Ok(Put::Statement(sid, statement))
    }
}

impl EventBridgeApi {
    pub(super) fn put_permission(&self, request: PutPermission) -> Answer {
        let bus = request.event_bus_name.clone();
        check_bus(bus.as_deref())?;
        let put = request.read()?;
        self.change_policy(bus.as_deref(), |policy, arn| match put {
            Put::Policy(all) => Ok(Some(all)),
            Put::Statement(sid, mut statement) => {
                statement.insert("Resource".to_owned(), json!(arn));
                let mut policy = policy.unwrap_or_else(|| {
                    Map::from_iter([("Version".to_owned(), json!("2012-10-17"))])
                });
                let mut all = statements(&mut policy);
                all.retain(|other| other["Sid"] != *sid);
                all.push(Value::Object(statement));
                policy.insert("Statement".to_owned(), Value::Array(all));
                Ok(Some(policy))
            }
        })
    }

    pub(super) fn remove_permission(&self, request: &RemovePermission) -> Answer {
        let RemovePermission { event_bus_name: bus, statement_id, remove_all_permissions } =
            request;
        check_bus(bus.as_deref())?;
        let removes_all = *remove_all_permissions == Some(true);
        if !removes_all {
            required("statementId", statement_id.as_deref())?;
        }
        let none = |message: &str| Exception::client("ResourceNotFoundException", message);
        self.change_policy(bus.as_deref(), |policy, _| {
            if removes_all {
                return Ok(None);
            }
            let mut policy = policy.ok_or_else(|| none("EventBus does not have a policy."))?;
            let mut all = statements(&mut policy);
            let before = all.len();
            all.retain(|statement| statement["Sid"].as_str() != statement_id.as_deref());
            if all.len() == before {
                return Err(none("Statement with the provided id does not exist."));
            }
            let is_empty = all.is_empty();
            policy.insert("Statement".to_owned(), Value::Array(all));
            Ok((!is_empty).then_some(policy))
        })
    }

    fn change_policy(
        &self,
        bus: Option<&str>,
        change: impl FnOnce(
            Option<Map<String, Value>>,
            &str,
        ) -> Result<Option<Map<String, Value>>, Exception>,
    ) -> Answer {
        self.change(|tx, rules, catalog| {
            let name = rules.bus(bus)?;
            let entry = catalog.bus_mut(&name, Timestamp::now().as_second());
            let policy = entry.policy.as_deref().and_then(|it| serde_json::from_str(it).ok());
            let arn = Destination::EventBus(name.clone()).arn();
            entry.policy = change(policy, &arn)?.map(|policy| json_text(&policy));
            store::put_bus(tx, &name, entry)?;
            Ok(())
        })?;
        Ok(json!({}))
    }
}

fn check_bus(bus: Option<&str>) -> Result<(), Exception> {
    bus.map_or(Ok(()), |bus| check_name("eventBusName", bus, NAME_CHARACTERS_MAX, false))
}

/// The statements, taken out of a policy, which may have one that is not in a list.
fn statements(policy: &mut Map<String, Value>) -> Vec<Value> {
    match policy.remove("Statement") {
        Some(Value::Array(all)) => all,
        Some(one) => vec![one],
        None => Vec::new(),
    }
}
