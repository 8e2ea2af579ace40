//! The tasks of ECS, against a listener that answers as it is told: the exact request out, each answer in.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

use std::sync::{Arc, Mutex};

use taskferry_aws::Clients;
use taskferry_core::{
    failure::FailureClass,
    launch::{Answer, Failure},
};
use taskferry_engine::ports::{self, Tasks as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A request in bytes that the SDK would write otherwise: another order, blanks, and a member that it does not know.
const REQUEST: &str =
    r#"{ "startedBy":"a/b/1", "taskDefinition":"t:1",  "ofTomorrow": {"x": 1.10} }"#;

/// What the listener was sent: head and body of each request.
type Heard = Arc<Mutex<Vec<(String, String)>>>;

/// A listener that answers every request so; without an answer it closes the connection.
async fn listener(answer: Option<(u16, &'static str)>) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let heard = Heard::default();
    let ears = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read(&mut stream).await;
            ears.lock().unwrap().push(request);
            if let Some((status, body)) = answer {
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} -\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    (endpoint, heard)
}

async fn read(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse().unwrap() {
                return (head.to_owned(), body.to_owned());
            }
        }
    }
}

/// What `RunTask` means when ECS answers so.
async fn answered(status: u16, body: &'static str) -> Answer {
    let (endpoint, _) = listener(Some((status, body))).await;
    Clients::of_endpoint(&endpoint).await.tasks().run(REQUEST).await
}

#[tokio::test]
async fn the_recorded_bytes_are_sent_and_signed() {
    let (endpoint, heard) = listener(Some((200, r#"{"tasks":[],"failures":[]}"#))).await;
    Clients::of_endpoint(&endpoint).await.tasks().run(REQUEST).await;
    let heard = heard.lock().unwrap();
    let [(lines, body)] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!(body, REQUEST);
    assert!(lines.contains("x-amz-target: AmazonEC2ContainerServiceV20141113.RunTask"), "{lines}");
    assert!(lines.contains("authorization: AWS4-HMAC-SHA256"), "{lines}");
}

#[tokio::test]
async fn tasks_and_failures_are_all_kept() {
    let answer = answered(
        200,
        r#"{"tasks":[{"taskArn":"t1","lastStatus":"PROVISIONING","desiredStatus":"RUNNING","startedBy":"a/b/1","version":1}],
            "failures":[{"arn":"a","reason":"AGENT"},{"reason":"RESOURCE:CPU","detail":"d"}]}"#,
    )
    .await;
    let Answer::Tasks { tasks, failures } = answer else { panic!("{answer:?}") };
    assert_eq!((tasks[0].task_arn.as_str(), tasks[0].version), ("t1", Some(1)));
    let failure = |arn: Option<&str>, reason: &str, detail: Option<&str>| Failure {
        arn: arn.map(str::to_owned),
        reason: Some(reason.to_owned()),
        detail: detail.map(str::to_owned),
    };
    assert_eq!(
        failures,
        [failure(Some("a"), "AGENT", None), failure(None, "RESOURCE:CPU", Some("d"))]
    );
}

#[tokio::test]
async fn a_conflict_names_its_tasks() {
    let answer =
        answered(400, r#"{"__type":"ConflictException","message":"m","resourceIds":["t1","t2"]}"#)
            .await;
    assert_eq!(answer, Answer::Conflict { task_arns: vec!["t1".to_owned(), "t2".to_owned()] });
}

#[tokio::test]
async fn a_throttle_within_an_invalid_parameter_is_one() {
    let answer = answered(
        400,
        r#"{"__type":"InvalidParameterException","message":"Error retrieving subnet information: Rate exceeded"}"#,
    )
    .await;
    assert!(matches!(answer, Answer::NotNow { class: FailureClass::Throttled, .. }), "{answer:?}");
}

#[tokio::test]
async fn a_wrong_request_is_refused_with_the_words_of_ecs() {
    let answer =
        answered(400, r#"{"__type":"ClusterNotFoundException","message":"Cluster not found."}"#)
            .await;
    let message = "ClusterNotFoundException: Cluster not found.".to_owned();
    assert_eq!(answer, Answer::Refused { message });
}

#[tokio::test]
async fn a_connection_that_is_closed_is_a_lost_answer() {
    let (endpoint, heard) = listener(None).await;
    let answer = Clients::of_endpoint(&endpoint).await.tasks().run(REQUEST).await;
    assert!(matches!(answer, Answer::Lost { .. }), "{answer:?}");
    let heard = heard.lock().unwrap();
    assert!(heard.iter().all(|(_, body)| body == REQUEST), "{heard:?}");
}

#[tokio::test]
async fn a_task_definition_is_pinned_with_its_essential_containers() {
    let (endpoint, _) = listener(Some((
        200,
        r#"{"taskDefinition":{"taskDefinitionArn":"t:7","containerDefinitions":
            [{"name":"app"},{"name":"proxy","essential":true},{"name":"log","essential":false}]}}"#,
    )))
    .await;
    let tasks = Clients::of_endpoint(&endpoint).await.tasks();
    let pinned = tasks.describe_task_definition("t").await.unwrap();
    assert_eq!(
        (pinned.arn.as_str(), pinned.essential),
        ("t:7", vec!["app".to_owned(), "proxy".to_owned()])
    );
}

#[tokio::test]
async fn a_task_definition_that_is_not_there_is_refused_for_good() {
    let (endpoint, _) = listener(Some((
        400,
        r#"{"__type":"ClientException","message":"Unable to describe task definition."}"#,
    )))
    .await;
    let refused = Clients::of_endpoint(&endpoint).await.tasks().describe_task_definition("t").await;
    assert!(matches!(refused, Err(ports::Error::Refused { .. })), "{refused:?}");
}
