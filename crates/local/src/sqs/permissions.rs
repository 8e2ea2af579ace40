//! `AddPermission` and `RemovePermission`: statements of a queue's policy. They are recorded and shown; nobody is kept from
//! anything on this machine.

use serde_json::{Map, Value, json};

use super::{
    queue::Queue,
    refusal::{Code, Refusal},
};

/// How many actions a statement has at most.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_AddPermission.html
// "An Amazon SQS policy can have a maximum of seven actions per statement."
const ACTIONS_MAX: usize = 7;

/// What the owner of a queue alone may do.
const OWNERS: [&str; 7] = [
    "AddPermission",
    "CreateQueue",
    "DeleteQueue",
    "ListQueues",
    "RemovePermission",
    "SetQueueAttributes",
    "TagQueue",
];

/// What a statement can allow.
const ACTIONS: [&str; 9] = [
    "*",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "SendMessage",
];

/// Adds a statement under this label.
pub(super) fn add(
    queue: &mut Queue,
    label: &str,
    accounts: &[String],
    actions: &[String],
) -> Result<(), Refusal> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !(1..=80).contains(&label.len()) || !label.chars().all(is_plain) {
        let reason =
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.";
        return Err(Refusal::value(label, "Label", reason));
    }
    if actions.is_empty() {
        return Err(Refusal::missing("Actions"));
    }
    if actions.len() > ACTIONS_MAX {
        let message =
            format!("{} Actions were found, maximum allowed is {ACTIONS_MAX}.", actions.len());
        return Err(Refusal::new(Code::OverLimit, message));
    }
    for action in actions {
        let value = format!("SQS:{action}");
        if OWNERS.contains(&&**action) {
            let reason = "Only the queue owner is allowed to invoke this action.";
            return Err(Refusal::value(value, "ActionName", reason));
        }
        if !ACTIONS.contains(&&**action) {
            return Err(Refusal::value(
                value,
                "ActionName",
                "Please refer to the appropriate WSDL for a list of valid actions.",
            ));
        }
    }
    let is_account = |it: &String| it.len() == 12 && it.bytes().all(|byte| byte.is_ascii_digit());
    if accounts.is_empty() || !accounts.iter().all(is_account) {
        let found = format!("[{}]", accounts.join(", "));
        return Err(Refusal::value(found, "PrincipalId", "Unable to verify."));
    }
    let arn = queue.arn();
    let mut policy = policy(queue);
    let statements = statements(&mut policy);
    if statements.iter().any(|statement| statement["Sid"] == label) {
        return Err(Refusal::value(label, "Label", "Already exists."));
    }
    let one_or_all = |mut values: Vec<String>| {
        if values.len() == 1 { json!(values.remove(0)) } else { json!(values) }
    };
    let accounts = accounts.iter().map(|account| format!("arn:aws:iam::{account}:root")).collect();
    let actions = actions.iter().map(|action| format!("SQS:{action}")).collect();
    statements.push(json!({
        "Sid": label,
        "Effect": "Allow",
        "Principal": { "AWS": one_or_all(accounts) },
        "Action": one_or_all(actions),
        "Resource": arn,
    }));
    queue.settings.policy = Some(Value::Object(policy).to_string());
    Ok(())
}

/// Removes the statement of this label.
pub(super) fn remove(queue: &mut Queue, label: &str) -> Result<(), Refusal> {
    let mut policy = policy(queue);
    let statements = statements(&mut policy);
    let before = statements.len();
    statements.retain(|statement| statement["Sid"] != label);
    if statements.len() == before {
        return Err(Refusal::value(label, "Label", "can't find label on existing policy."));
    }
    let is_empty = statements.is_empty();
    queue.settings.policy = (!is_empty).then(|| Value::Object(policy).to_string());
    Ok(())
}

/// The queue's policy, or a new one.
fn policy(queue: &Queue) -> Map<String, Value> {
    let there = queue.settings.policy.as_deref().and_then(|it| serde_json::from_str(it).ok());
    there.unwrap_or_else(|| {
        Map::from_iter([
            ("Version".to_owned(), json!("2012-10-17")),
            ("Id".to_owned(), json!(format!("{}/SQSDefaultPolicy", queue.arn()))),
        ])
    })
}

/// The statements of a policy: one alone may stand without a list.
fn statements(policy: &mut Map<String, Value>) -> &mut Vec<Value> {
    let slot = policy.entry("Statement").or_insert_with(|| json!([]));
    if !slot.is_array() {
        *slot = Value::Array(vec![slot.take()]);
    }
    slot.as_array_mut().expect("made a list the line before")
}
