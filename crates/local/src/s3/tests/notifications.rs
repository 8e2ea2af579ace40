//! Every change is told once, in S3's words, and with the change.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Folder, Machine};
use crate::{
    delivery::Destination,
    s3::{BucketNotification, DestinationNotification, Filter},
};

#[tokio::test]
async fn a_put_is_told_as_s3_tells_it() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    let answer = machine.put("a b/c+d 한.csv", b"hello").await;

    let mut queued = machine.queued();
    let mut record = queued.remove(0)["Records"][0].take();
    let time = record["eventTime"].take();
    let time = time.as_str().unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == 24, "{time}");
    let sequencer = record["s3"]["object"]["sequencer"].take();
    assert!(sequencer.as_str().unwrap().bytes().all(|byte| byte.is_ascii_hexdigit()));
    let id = answer.headers["x-amz-request-id"].to_str().unwrap();
    assert_eq!(
        record,
        json!({
            "eventVersion": "2.5",
            "eventSource": "aws:s3",
            "awsRegion": "us-east-1",
            "eventTime": null,
            "eventName": "ObjectCreated:Put",
            "userIdentity": { "principalId": "AWS:000000000000" },
            "requestParameters": { "sourceIPAddress": "127.0.0.1" },
            "responseElements": { "x-amz-request-id": id, "x-amz-id-2": id },
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "function",
                "bucket": {
                    "name": "bucket",
                    "ownerIdentity": { "principalId": "0".repeat(64) },
                    "arn": "arn:aws:s3:::bucket",
                },
                "object": {
                    "key": "a+b/c%2Bd+%ED%95%9C.csv",
                    "size": 5,
                    "eTag": "5d41402abc4b2a76b9719d911017c592",
                    "sequencer": null,
                },
            },
        })
    );
    assert!(queued.is_empty());
}

#[tokio::test]
async fn each_way_of_change_has_its_name_and_a_later_sequencer() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    machine.put("key", b"one").await;
    let copy = [("x-amz-copy-source", "bucket/key")];
    machine.send("PUT", "/copy", &copy, b"").await.expect(StatusCode::OK);
    let upload = machine.send("POST", "/whole?uploads", &[], b"").await.elements("UploadId");
    let part = format!("/whole?partNumber=1&uploadId={}", upload[0]);
    let etag = machine.send("PUT", &part, &[], b"part").await.headers["etag"].clone();
    let parts = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>\
         </CompleteMultipartUpload>",
        etag.to_str().unwrap()
    );
    let complete = format!("/whole?uploadId={}", upload[0]);
    machine.send("POST", &complete, &[], parts.as_bytes()).await.expect(StatusCode::OK);
    let form = b"--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nform\r\n--x\r\n\
        Content-Disposition: form-data; name=\"x-amz-signature\"\r\n\r\nany\r\n--x\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\ndata\r\n--x--\r\n";
    let content_type = [("content-type", "multipart/form-data; boundary=x")];
    machine.send("POST", "", &content_type, form).await.expect(StatusCode::NO_CONTENT);
    machine.send("DELETE", "/key", &[], b"").await.expect(StatusCode::NO_CONTENT);
    let deletes =
        b"<Delete><Object><Key>copy</Key></Object><Object><Key>none</Key></Object></Delete>";
    machine.send("POST", "/?delete", &[], deletes).await.expect(StatusCode::OK);
    // Nothing changes, nothing is told.
    machine.send("DELETE", "/key", &[], b"").await.expect(StatusCode::NO_CONTENT);

    let queued = machine.queued();
    let field = |pointer: &str| -> Vec<&str> {
        queued.iter().map(|it| it.pointer(pointer).and_then(Value::as_str).unwrap()).collect()
    };
    assert_eq!(
        field("/Records/0/eventName"),
        [
            "ObjectCreated:Put",
            "ObjectCreated:Copy",
            "ObjectCreated:CompleteMultipartUpload",
            "ObjectCreated:Post",
            "ObjectRemoved:Delete",
            "ObjectRemoved:Delete",
        ]
    );
    assert_eq!(field("/Records/0/s3/object/key"), ["key", "copy", "whole", "form", "key", "copy"]);
    assert!(field("/Records/0/s3/object/sequencer").is_sorted_by(|a, b| a < b));
}

#[tokio::test]
async fn a_function_is_invoked_once_if_any_filter_fits() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    let filter = |prefix: &str, suffix: &str| Filter {
        events: vec!["s3:ObjectCreated:*".to_owned()],
        prefix: prefix.to_owned(),
        suffix: suffix.to_owned(),
    };
    machine.s3.set_notifications(vec![BucketNotification {
        bucket: "bucket".to_owned(),
        destinations: vec![DestinationNotification {
            destination: Destination::Function("function".to_owned()),
            filters: vec![filter("in/", ""), filter("", ".csv")],
        }],
    }]);
    for key in ["in/a.csv", "in/b", "c.csv", "out/d"] {
        machine.put(key, b"").await;
    }
    machine.send("DELETE", "/c.csv", &[], b"").await.expect(StatusCode::NO_CONTENT);
    let queued = machine.queued();
    let keys: Vec<&Value> =
        queued.iter().map(|it| &it["Records"][0]["s3"]["object"]["key"]).collect();
    assert_eq!(keys, ["in/a.csv", "in/b", "c.csv"]);
}

#[tokio::test]
async fn a_change_that_nobody_asked_for_is_told_to_whoever_listens() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    let mut unmatched = machine.s3.eventbridge.unmatched();
    machine.put("asked for", b"").await;
    machine.s3.set_notifications(Vec::new());
    machine.put("a b/한.csv", b"").await;
    let told = unmatched.try_recv().unwrap();
    assert_eq!((told.source.as_str(), told.detail_type.as_str()), ("aws.s3", "Object Created"));
    assert_eq!(told.object.as_deref(), Some("s3://bucket/a b/한.csv"));
    assert!(unmatched.try_recv().is_err());
}

#[tokio::test]
async fn a_change_that_leads_nowhere_is_told_of_once_it_stands_and_never_if_it_does_not() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    machine.s3.set_notifications(Vec::new());
    let mut told = machine.s3.eventbridge.unmatched();
    // From now on whatever writes an object's row fails when it is committed, as on a full disk.
    let broken = "CREATE TABLE mended (id INTEGER PRIMARY KEY);
        CREATE TABLE broken (id INTEGER REFERENCES mended DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER put AFTER INSERT ON s3_objects BEGIN INSERT INTO broken VALUES (1); END;
        CREATE TRIGGER gone AFTER DELETE ON s3_objects BEGIN INSERT INTO broken VALUES (1); END;";
    machine.db.write(|tx| tx.execute_batch(broken)).unwrap();
    machine.send("PUT", "/key", &[], b"one").await.expect(StatusCode::INTERNAL_SERVER_ERROR);
    assert!(told.try_recv().is_err());
    assert!(folder.blobs().is_empty());

    machine.db.write(|tx| tx.execute("INSERT INTO mended VALUES (1)", [])).unwrap();
    machine.put("key", b"one").await;
    assert_eq!(told.try_recv().unwrap().detail_type, "Object Created");

    machine.db.write(|tx| tx.execute_batch("DELETE FROM broken; DELETE FROM mended")).unwrap();
    let keys = "<Delete><Object><Key>key</Key></Object></Delete>";
    let delete = || machine.send("POST", "?delete", &[], keys.as_bytes());
    delete().await.expect(StatusCode::INTERNAL_SERVER_ERROR);
    assert!(told.try_recv().is_err());
    machine.db.write(|tx| tx.execute("INSERT INTO mended VALUES (1)", [])).unwrap();
    delete().await.expect(StatusCode::OK);
    assert_eq!(told.try_recv().unwrap().detail_type, "Object Deleted");
    assert!(told.try_recv().is_err());
}

/// What a client puts is told of beside what the file asks for, kept over a restart, and shown with it.
#[tokio::test]
async fn what_clients_put_is_beside_what_the_file_asks_for() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    let put = "<NotificationConfiguration><CloudFunctionConfiguration><Id>own</Id>\
        <CloudFunction>arn:aws:lambda:us-east-1:000000000000:function:other</CloudFunction>\
        <Event>s3:ObjectCreated:*</Event><Filter><S3Key>\
        <FilterRule><Name>prefix</Name><Value>in/</Value></FilterRule>\
        <FilterRule><Name>Suffix</Name><Value>.csv</Value></FilterRule>\
        </S3Key></Filter></CloudFunctionConfiguration>\
        <EventBridgeConfiguration/></NotificationConfiguration>";
    machine.send("PUT", "?notification", &[], put.as_bytes()).await.expect(StatusCode::OK);
    let shown = machine.send("GET", "?notification", &[], b"").await.expect(StatusCode::OK);
    assert_eq!(shown.elements("Id"), ["taskferry-function-1", "own"]);
    assert_eq!(shown.elements("Name"), ["Prefix", "Suffix"]);
    assert!(shown.text().contains("EventBridgeConfiguration"), "{}", shown.text());
    drop(machine);

    let machine = Machine::start(&folder);
    machine.put("in/a.csv", b"").await;
    machine.put("in/a.txt", b"").await;
    let told: Vec<_> = machine
        .queued()
        .iter()
        .map(|it| it["Records"][0]["s3"]["configurationId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, ["function", "own", "function"]);
    // What was shown comes back whole, and the file's part is the file's still.
    let shown = machine.send("GET", "?notification", &[], b"").await;
    let body = shown.text();
    let body = &body[body.find("<NotificationConfiguration").unwrap()..];
    machine.send("PUT", "?notification", &[], body.as_bytes()).await.expect(StatusCode::OK);
    let again = machine.send("GET", "?notification", &[], b"").await;
    assert_eq!(again.text(), shown.text());
    let none = "<NotificationConfiguration/>";
    machine.send("PUT", "?notification", &[], none.as_bytes()).await.expect(StatusCode::OK);
    let shown = machine.send("GET", "?notification", &[], b"").await;
    assert_eq!(shown.elements("Id"), ["taskferry-function-1"]);
}

#[tokio::test]
async fn a_configuration_that_s3_refuses_changes_nothing() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    let function = |id: &str, event: &str, rules: &[(&str, &str)]| {
        let rules: Vec<String> = rules
            .iter()
            .map(|(name, value)| {
                format!("<FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule>")
            })
            .collect();
        let rules = rules.concat();
        format!(
            "<CloudFunctionConfiguration><Id>{id}</Id>\
             <CloudFunction>arn:aws:lambda:us-east-1:000000000000:function:f</CloudFunction>\
             <Event>{event}</Event><Filter><S3Key>{rules}</S3Key></Filter></CloudFunctionConfiguration>"
        )
    };
    let queue = |arn: &str| {
        format!(
            "<QueueConfiguration><Queue>{arn}</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration>"
        )
    };
    let any = "s3:ObjectCreated:*";
    let refused = [
        queue("arn:aws:sqs:us-east-1:000000000000:none"),
        queue("arn:aws:sqs:us-east-1:000000000000:none.fifo"),
        queue("none"),
        queue("arn:aws:sns:us-east-1:000000000000:topic"),
        function("a", "s3:Nothing", &[]),
        function("a", any, &[("middle", "x")]),
        function("a", any, &[("prefix", "x"), ("Prefix", "y")]),
        function("a", any, &[]) + &function("a", "s3:ObjectRemoved:*", &[]),
        function("a", any, &[]) + &function("b", "s3:ObjectCreated:Put", &[]),
        function("a", any, &[("prefix", "in/")]) + &function("b", any, &[("suffix", ".csv")]),
        function("a", any, &[("prefix", "in/")]) + &function("b", any, &[("prefix", "in/a")]),
    ];
    for body in refused {
        let body = format!("<NotificationConfiguration>{body}</NotificationConfiguration>");
        let answer = machine.send("PUT", "?notification", &[], body.as_bytes()).await;
        answer.refused(StatusCode::BAD_REQUEST, "InvalidArgument");
    }
    let shown = machine.send("GET", "?notification", &[], b"").await;
    assert_eq!(shown.elements("Id"), ["taskferry-function-1"]);
    let apart =
        function("a", any, &[("prefix", "in/")]) + &function("b", any, &[("prefix", "out/")]);
    let apart = format!("<NotificationConfiguration>{apart}</NotificationConfiguration>");
    machine.send("PUT", "?notification", &[], apart.as_bytes()).await.expect(StatusCode::OK);
    // A destination that is not there is taken by whoever says so.
    let skip = [("x-amz-skip-destination-validation", "true")];
    let body = queue("arn:aws:sqs:us-east-1:000000000000:none");
    let body = format!("<NotificationConfiguration>{body}</NotificationConfiguration>");
    machine.send("PUT", "?notification", &skip, body.as_bytes()).await.expect(StatusCode::OK);
    machine.put("key", b"").await;
}
