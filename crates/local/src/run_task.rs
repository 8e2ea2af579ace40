//! ECS clusters as targets: the call of `RunTask` that a rule of EventBridge's or a schedule leads to, and what it came to.
//!
//! Both services record such a call before they make it, and repeat it under the same client token. Pure but for
//! [`RunTask`], which they are given.

use serde_json::{Map, Value, json};

use crate::protocol::{Answer, Exception};

/// What starts a task: ECS's `RunTask`. It must be called on a Tokio runtime: tasks are started from there.
pub type RunTask = Box<dyn Fn(Value) -> Answer + Send + Sync>;

/// A call of `RunTask`, of which both services spell the parameters alike.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_EcsParameters.html
// https://docs.aws.amazon.com/scheduler/latest/APIReference/API_EcsParameters.html
#[derive(Clone, Debug)]
pub(crate) struct Launch<'a> {
    /// The cluster's ARN.
    pub(crate) cluster: &'a str,
    /// `EcsParameters`.
    pub(crate) parameters: &'a Map<String, Value>,
    /// What a task is to have otherwise than its definition, if anything.
    pub(crate) overrides: Option<Value>,
    /// Who asks: a task's `startedBy`, once what may not be in one is replaced.
    pub(crate) started_by: &'a str,
    /// Under which the call can be repeated.
    pub(crate) client_token: &'a str,
}

/// Why no task was started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failed {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// Whether another call may have better luck.
    pub(crate) may_pass: bool,
}

impl Launch<'_> {
    /// The request.
    pub(crate) fn request(self) -> Value {
        let Self { cluster, parameters, overrides, started_by, client_token } = self;
        let mut request = Map::new();
        request.insert("cluster".to_owned(), json!(cluster));
        for (ours, theirs) in [
            ("TaskDefinitionArn", "taskDefinition"),
            ("TaskCount", "count"),
            ("LaunchType", "launchType"),
            ("PlatformVersion", "platformVersion"),
            ("Group", "group"),
            ("CapacityProviderStrategy", "capacityProviderStrategy"),
            ("EnableECSManagedTags", "enableECSManagedTags"),
            ("EnableExecuteCommand", "enableExecuteCommand"),
            ("PlacementConstraints", "placementConstraints"),
            ("PlacementStrategy", "placementStrategy"),
            ("PropagateTags", "propagateTags"),
            ("ReferenceId", "referenceId"),
        ] {
            if let Some(value) = parameters.get(ours) {
                request.insert(theirs.to_owned(), value.clone());
            }
        }
        let network = parameters.get("NetworkConfiguration");
        let vpc = network.and_then(|it| it.get("awsvpcConfiguration"));
        if let Some(vpc) = vpc.and_then(Value::as_object) {
            let vpc: Map<String, Value> =
                vpc.iter().map(|(key, value)| (lower_first(key), value.clone())).collect();
            request
                .insert("networkConfiguration".to_owned(), json!({ "awsvpcConfiguration": vpc }));
        }
        if let Some(tags) = parameters.get("Tags").and_then(Value::as_array) {
            request.insert("tags".to_owned(), tags.iter().map(tag).collect());
        }
        if let Some(overrides) = overrides {
            request.insert("overrides".to_owned(), overrides);
        }
        let right = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
        let started_by = started_by.replace(|c| !right(c), "_");
        request.insert("startedBy".to_owned(), json!(started_by));
        request.insert("clientToken".to_owned(), json!(client_token));
        Value::Object(request)
    }
}

/// What ECS's answer means.
pub(crate) fn launched(answer: Answer) -> Result<(), Failed> {
    match answer {
        Ok(answer) => match (answer["tasks"].get(0), answer["failures"].get(0)) {
            (None, Some(failure)) => {
                let text = |member: &str| failure[member].as_str().unwrap_or_default().to_owned();
                let message = format!("{} {}", text("reason"), text("detail")).trim().to_owned();
                Err(Failed { code: "ECS.RunTaskFailure", message, may_pass: true })
            }
            _ => Ok(()),
        },
        Err(Exception { status, name, message, .. }) => {
            let may_pass = status.is_server_error() || name == "ThrottlingException";
            Err(Failed { code: name, message, may_pass })
        }
    }
}

/// A tag in ECS's spelling.
fn tag(tag: &Value) -> Value {
    let members = tag.as_object().into_iter().flatten();
    Value::Object(members.map(|(key, value)| (lower_first(key), value.clone())).collect())
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
