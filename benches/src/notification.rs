//! The payloads that functions and the core are measured with, as AWS sends them.

use serde_json::json;

/// S3's notification that an object was put; each key makes an event of its own.
pub(crate) fn object_created(bucket: &str, key: &str) -> String {
    let record = json!({
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-21T09:10:11.987Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": { "principalId": "AWS:AIDAEXAMPLE" },
        "requestParameters": { "sourceIPAddress": "127.0.0.1" },
        "responseElements": {
            "x-amz-request-id": "C3D13FE58DE4C810",
            "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD",
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "s3",
            "bucket": {
                "name": bucket,
                "ownerIdentity": { "principalId": "A3NL1KOZZKExample" },
                "arn": format!("arn:aws:s3:::{bucket}"),
            },
            "object": {
                "key": key,
                "size": 1024,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "sequencer": "0055AED6DCD90281E5",
            },
        },
    });
    json!({ "Records": [record] }).to_string()
}

/// An event of an event bus.
pub(crate) fn order(id: usize) -> String {
    json!({
        "version": "0",
        "id": format!("order-{id}"),
        "detail-type": "Order Returned",
        "source": "shop",
        "account": "000000000000",
        "time": "2026-11-21T09:10:11Z",
        "region": "us-east-1",
        "resources": [],
        "detail": { "order": id, "lines": [{ "item": "book", "count": 2 }], "total": 120 },
    })
    .to_string()
}

/// The Task State Change of a task that has stopped well.
pub(crate) fn stopped(started_by: &str, task_arn: &str) -> String {
    json!({
        "version": "0",
        "id": format!("stopped-{started_by}"),
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "account": "000000000000",
        "time": "2026-11-21T09:10:12Z",
        "region": "us-east-1",
        "resources": [task_arn],
        "detail": {
            "taskArn": task_arn,
            "startedBy": started_by,
            "lastStatus": "STOPPED",
            "desiredStatus": "STOPPED",
            "stopCode": "EssentialContainerExited",
            "stoppedReason": "Essential container in task exited",
            "containers": [{ "name": "app", "exitCode": 0, "lastStatus": "STOPPED" }],
            "startedAt": "2026-11-21T09:10:11.000Z",
            "stoppedAt": "2026-11-21T09:10:12.000Z",
            "version": 6,
        },
    })
    .to_string()
}
