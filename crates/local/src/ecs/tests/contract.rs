//! The refusals and the replays of the operations.

use super::*;

/// Definitions `quick` (bridge) and `fargate`, on the cluster `c`.
fn fixture() -> Fixture {
    let fixture = Fixture::new(Containers::Stub);
    fixture.register("quick", &["true"]);
    let definition = json!({
        "family": "fargate", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": [{ "name": "app", "image": "i" }],
    });
    fixture.ok("RegisterTaskDefinition", &definition);
    fixture
}

/// A request with the members of both; `null` takes a member away.
fn with(mut request: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

fn quick(more: &Value) -> Value {
    with(json!({ "cluster": "c", "taskDefinition": "quick" }), more)
}

fn fargate(more: &Value) -> Value {
    let network = json!({ "awsvpcConfiguration": { "subnets": ["subnet-1"] } });
    let request = json!({
        "cluster": "c", "taskDefinition": "fargate", "launchType": "FARGATE",
        "networkConfiguration": network,
    });
    with(request, more)
}

/// Each request must be refused with the exception and a message that has the text, and must start nothing.
#[track_caller]
fn check_refused(requests: &[(Value, &str, &str)]) {
    let fixture = fixture();
    for (request, name, text) in requests {
        let refused = fixture.refused("RunTask", request);
        let told = (refused.name, refused.message.contains(text));
        assert_eq!(told, (*name, true), "{request}: {}", refused.message);
    }
    assert_eq!(fixture.ok("ListTasks", &json!({ "cluster": "c" }))["taskArns"], json!([]));
}

const INVALID: &str = "InvalidParameterException";

#[tokio::test]
async fn run_task_refuses_what_is_not_there() {
    let over = |container: Value| json!({ "overrides": { "containerOverrides": [container] } });
    check_refused(&[
        (quick(&json!({ "cluster": "x" })), "ClusterNotFoundException", "Cluster not found."),
        (quick(&json!({ "cluster": null })), "ClusterNotFoundException", "Cluster not found."),
        (quick(&json!({ "taskDefinition": "x" })), "ClientException", "TaskDefinition not found."),
        (quick(&json!({ "taskDefinition": "quick:2" })), "ClientException", "not found."),
        (quick(&json!({ "taskDefinition": null })), INVALID, "TaskDefinition can not be blank."),
        (quick(&over(json!({ "name": "x" }))), INVALID, "named x is not a container"),
        (quick(&over(json!({ "command": ["x"] }))), INVALID, "name of a container"),
    ]);
}

#[tokio::test]
async fn run_task_refuses_values_beyond_their_limits() {
    let tags = |count: usize| {
        let tags = (0..count).map(|n| json!({ "key": format!("k{n}"), "value": "v" }));
        json!({ "tags": tags.collect::<Value>() })
    };
    let tag = |key: &str, value: &str| json!({ "tags": [{ "key": key, "value": value }] });
    check_refused(&[
        (quick(&json!({ "count": 0 })), INVALID, "between 1 and 10"),
        (quick(&json!({ "count": 11 })), INVALID, "between 1 and 10"),
        (quick(&json!({ "clientToken": "a".repeat(65) })), INVALID, "64"),
        (quick(&json!({ "clientToken": "" })), INVALID, "clientToken"),
        (quick(&json!({ "clientToken": "a b" })), INVALID, "33 to 126"),
        (quick(&json!({ "clientToken": "\u{7f}" })), INVALID, "33 to 126"),
        (quick(&json!({ "startedBy": "a".repeat(129) })), INVALID, "128"),
        (quick(&json!({ "startedBy": "a.b" })), INVALID, "startedBy"),
        (quick(&json!({ "group": "service:x" })), INVALID, "group"),
        (quick(&tags(51)), INVALID, "50"),
        (quick(&tag("", "v")), INVALID, "blank"),
        (quick(&tag(&"k".repeat(129), "v")), INVALID, "128"),
        (quick(&tag("k", &"v".repeat(257))), INVALID, "256"),
        (quick(&tag("Aws:k", "v")), INVALID, "aws:"),
        (quick(&tag("a*", "v")), INVALID, "not allowed"),
        (
            quick(
                &json!({ "placementConstraints": vec![json!({ "type": "distinctInstance" }); 11] }),
            ),
            INVALID,
            "10",
        ),
        (
            quick(&json!({ "placementStrategy": vec![json!({ "type": "random" }); 6] })),
            INVALID,
            "5",
        ),
        (
            fargate(&json!({ "overrides": { "ephemeralStorage": { "sizeInGiB": 20 } } })),
            INVALID,
            "21",
        ),
        (
            fargate(&json!({ "overrides": { "ephemeralStorage": { "sizeInGiB": 201 } } })),
            INVALID,
            "200",
        ),
    ]);
}

#[tokio::test]
async fn run_task_refuses_what_does_not_go_together() {
    let strategy = json!({ "capacityProviderStrategy": [{ "capacityProvider": "FARGATE" }] });
    let vpc = |subnets: usize, groups: usize| {
        let names = |count: usize| vec!["x"; count];
        let vpc = json!({ "subnets": names(subnets), "securityGroups": names(groups) });
        json!({ "networkConfiguration": { "awsvpcConfiguration": vpc } })
    };
    check_refused(&[
        (fargate(&strategy), INVALID, "both a launch type and capacity provider strategy"),
        (quick(&json!({ "launchType": "MANAGED_INSTANCES" })), INVALID, "MANAGED_INSTANCES"),
        (
            quick(&json!({ "launchType": "FARGATE" })),
            INVALID,
            "does not support launch_type FARGATE.",
        ),
        (quick(&vpc(1, 0)), INVALID, "Network Configuration is not valid"),
        (fargate(&json!({ "networkConfiguration": null })), INVALID, "must be provided"),
        (fargate(&vpc(0, 0)), INVALID, "subnets can not be empty."),
        (fargate(&vpc(17, 0)), INVALID, "16"),
        (fargate(&vpc(1, 6)), INVALID, "5"),
        (fargate(&json!({ "overrides": { "cpu": "4096" } })), INVALID, "No Fargate configuration"),
        (fargate(&json!({ "overrides": { "cpu": "x" } })), INVALID, "Invalid 'cpu'"),
        (fargate(&json!({ "platformVersion": "9" })), "PlatformUnknownException", "not exist"),
        (quick(&json!({ "platformVersion": "LATEST" })), INVALID, "must be null"),
        (fargate(&json!({ "placementStrategy": [{ "type": "random" }] })), INVALID, "FARGATE"),
        (quick(&json!({ "propagateTags": "SERVICE" })), INVALID, "service"),
        (quick(&json!({ "volumeConfigurations": [{ "name": "v" }] })), INVALID, "no volume v"),
        (
            quick(&json!({ "capacityProviderStrategy": [{ "capacityProvider": "x" }] })),
            INVALID,
            "capacity provider 'x' was not found",
        ),
    ]);
}

#[tokio::test]
async fn overrides_may_have_8192_characters_of_any_width() {
    let fixture = fixture();
    let overrides = |length: usize| {
        let overrides = |value: &str| {
            let environment = json!([{ "name": "A", "value": value }]);
            json!({ "containerOverrides": [{ "name": "app", "environment": environment }] })
        };
        let filled = overrides(&"é".repeat(length - overrides("").to_string().chars().count()));
        quick(&json!({ "overrides": filled }))
    };
    fixture.ok("RunTask", &overrides(8192));
    let refused = fixture.refused("RunTask", &overrides(8193));
    assert_eq!(refused.message, "Container Overrides length must be at most 8192");
}

fn arns(answer: &Value) -> Vec<String> {
    let tasks = answer["tasks"].as_array().unwrap().iter();
    tasks.map(|task| task["taskArn"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_client_token_replays_its_tasks_and_conflicts_with_other_parameters() {
    let fixture = fixture();
    fixture.ok("CreateCluster", &json!({ "clusterName": "d" }));
    let request = quick(&json!({ "clientToken": "t", "count": 2 }));
    let first = arns(&fixture.ok("RunTask", &request));
    fixture.ok("DeregisterTaskDefinition", &json!({ "taskDefinition": "quick:1" }));
    assert_eq!(arns(&fixture.ok("RunTask", &request)), first);
    for arn in &first {
        fixture.until_stopped(arn).await;
    }
    let by_arn = "arn:aws:ecs:us-east-1:000000000000:cluster/c";
    let again = fixture.ok("RunTask", &with(request.clone(), &json!({ "cluster": by_arn })));
    assert_eq!(arns(&again), first);
    assert_eq!(again["tasks"][0]["lastStatus"], "STOPPED");

    let conflict = fixture.refused("RunTask", &with(request.clone(), &json!({ "count": 1 })));
    assert_eq!(conflict.name, "ConflictException");
    assert_eq!(conflict.members["resourceIds"], json!(first));

    let elsewhere = json!({ "clientToken": "t", "cluster": "d" });
    let elsewhere = fixture.ok("RunTask", &fargate(&elsewhere));
    assert_eq!(arns(&elsewhere).len(), 1);
}

#[tokio::test]
async fn a_client_token_is_good_for_a_day_or_an_hour_after_its_last_task() {
    const HOUR: i64 = 60 * 60 * 1000;
    let fixture = fixture();
    let request = quick(&json!({ "clientToken": "t" }));
    let first = arns(&fixture.ok("RunTask", &request));
    fixture.until_stopped(&first[0]).await;
    // Times are moved in the records: all of the state is there.
    let stopped = |ago: i64| {
        let at = (crate::ecs::task::Epoch::now().0 - ago) / 1000;
        fixture.sql(&format!(
            "UPDATE ecs_tasks SET stopped_at = {at} * 1000,
             task = json_set(task, '$.stoppedAt', {at}) WHERE client_token = 't'"
        ));
    };
    stopped(HOUR - 60_000);
    assert_eq!(arns(&fixture.ok("RunTask", &request)), first);
    stopped(HOUR + 1000);
    let shown = fixture.ok("DescribeTasks", &json!({ "cluster": "c", "tasks": first }));
    assert_eq!(shown["tasks"][0]["lastStatus"], "STOPPED", "not told for long enough");
    fixture.ecs.memory.is_told();
    let second = arns(&fixture.ok("RunTask", &request));
    assert_ne!(second, first);
    let described = fixture.ok("DescribeTasks", &json!({ "cluster": "c", "tasks": first }));
    assert_eq!(described["failures"][0]["reason"], "MISSING");

    fixture.until_stopped(&second[0]).await;
    fixture.sql(&format!("UPDATE ecs_launches SET created_at = created_at - {}", 24 * HOUR));
    assert_ne!(arns(&fixture.ok("RunTask", &request)), second);
}

#[tokio::test]
async fn register_task_definition_refuses_what_ecs_refuses() {
    let fixture = fixture();
    let app = |more: Value| with(json!({ "name": "app", "image": "i", "memory": 64 }), &more);
    let on = |name: &str, condition: &str| json!({ "dependsOn": [{ "containerName": name, "condition": condition }] });
    let table = [
        (json!([]), "should not be empty"),
        (json!([app(json!({ "name": null }))]), "Container.name should not be null"),
        (json!([app(json!({ "name": "a b" }))]), "Container.name contains invalid"),
        (json!([app(json!({ "image": "" }))]), "Container.image should not be null"),
        (json!([app(json!({ "memory": null }))]), "At least one of 'memory'"),
        (json!([app(json!({ "memoryReservation": 65 }))]), "memoryReservation"),
        (json!([app(json!({ "essential": false }))]), "essential"),
        (json!([app(json!({})), app(json!({}))]), "unique"),
        (json!([app(on("x", "START"))]), "unknown container 'x'"),
        (json!([app(on("app", "START"))]), "itself"),
        (json!([app(on("b", "SUCCESS")), app(json!({ "name": "b" }))]), "essential container"),
        (json!([app(on("b", "HEALTHY")), app(json!({ "name": "b" }))]), "health check"),
        (
            json!([app(on("b", "START")), app(with(on("app", "START"), &json!({ "name": "b" })))]),
            "cycle",
        ),
    ];
    for (containers, text) in table {
        let request = json!({ "family": "wrong", "containerDefinitions": containers });
        let refused = fixture.refused("RegisterTaskDefinition", &request);
        assert_eq!(refused.name, "ClientException");
        assert!(refused.message.contains(text), "{containers}: {}", refused.message);
    }
    let listed = fixture.ok("ListTaskDefinitions", &json!({ "familyPrefix": "wrong" }));
    assert_eq!(listed["taskDefinitionArns"], json!([]));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let fixture = fixture();
    for _ in 0..3 {
        fixture.register("paged", &["true"]);
    }
    let request = json!({ "familyPrefix": "paged", "maxResults": 2, "sort": "DESC" });
    let first = fixture.ok("ListTaskDefinitions", &request);
    let second = with(request, &json!({ "nextToken": first["nextToken"] }));
    let second = fixture.ok("ListTaskDefinitions", &second);
    let revisions = |answer: &Value| -> Vec<String> {
        let arns = answer["taskDefinitionArns"].as_array().unwrap().iter();
        arns.map(|arn| arn.as_str().unwrap().rsplit(':').next().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (revisions(&first), revisions(&second)),
        (vec!["3".into(), "2".into()], vec!["1".into()])
    );
    assert_eq!(second["nextToken"], Value::Null);
    let refused = fixture.refused("ListTasks", &json!({ "cluster": "c", "nextToken": "x" }));
    assert_eq!(refused.name, INVALID);
}

#[tokio::test]
async fn an_unknown_operation_is_refused() {
    let refused = fixture().refused("CreateService", &json!({}));
    assert_eq!(refused.name, "UnknownOperationException");
}
