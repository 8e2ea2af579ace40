//! The functions as they are on AWS: their processes, with the records in a DynamoDB that is not ours and ECS on this machine.
//!
//! S3's notification goes in, a task runs, its end goes in, and the program lists the run; each call on the way is counted.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use taskferry_aws::Clients;
use taskferry_core::pace;
use taskferry_tests::{Project, eventually, post, taskferry};

use super::{
    meter::{Consumed, Meter},
    new_table,
};

const RULES: &str = r#"
name: wired
taskDefinitions:
  print:
    containerDefinitions:
      - { name: app, image: none, memory: 64, entryPoint: [printf, "%s"], command: [nothing] }
rules:
  - name: print
    on: { s3: { bucket: uploads } }
    target:
      # A revision is looked up once in a process's life, the newest of a family every five seconds.
      taskDefinition: "print:1"
      overrides: { containerOverrides: [ { name: app, command: ["{{ detail.object.key }}"] } ] }
"#;

/// How long a function may take for an invocation.
const PATIENCE: Duration = Duration::from_mins(1);

/// A process of a function, and the Runtime API that it asks for its invocations.
struct Function {
    process: Child,
    payloads: mpsc::Sender<String>,
    answers: mpsc::Receiver<String>,
}

impl Function {
    fn start(name: &str, environment: &HashMap<&str, String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (payloads, waiting) = mpsc::channel();
        let (answered, answers) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (waiting, answered) = (Arc::clone(&waiting), answered.clone());
                thread::spawn(move || serve(&stream.unwrap(), &waiting, &answered));
            }
        });
        let process = Command::new(taskferry())
            .args(["function", name])
            .envs(environment)
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "g")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "s")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, payloads, answers }
    }

    /// What the function answers: the path of its answer, and the answer.
    fn invoke(&self, payload: &Value) -> String {
        self.payloads.send(payload.to_string()).unwrap();
        self.answers.recv_timeout(PATIENCE).expect("the function answers")
    }

    fn takes(&self, payload: &Value) {
        let answer = self.invoke(payload);
        assert!(answer.contains("/response"), "{answer}");
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // It has ended already, if it could not start.
        let _killed = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// Serves one request of a function: its next invocation, or its answer to one.
fn serve(
    mut stream: &TcpStream,
    waiting: &Mutex<mpsc::Receiver<String>>,
    answered: &mpsc::Sender<String>,
) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
        head.push_str(&line.to_lowercase());
        line.clear();
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let mut answer = "{}".to_owned();
    if head.starts_with("get") {
        // Nobody has more for it: the test is over.
        let Ok(payload) = waiting.lock().unwrap().recv() else { return };
        answer = payload;
    } else {
        let path = head.lines().next().unwrap_or_default();
        // The test may be over.
        let _told = answered.send(format!("{path} {}", String::from_utf8_lossy(&body)));
    }
    let _sent = write!(
        stream,
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\nlambda-runtime-aws-request-id: r\r\n\
         lambda-runtime-deadline-ms: 4102444800000\r\n\
         lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:0:function:f\r\n\r\n{answer}",
        answer.len()
    );
}

/// What S3 tells of a new object.
fn notification(key: &str) -> Value {
    json!({ "Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
        "eventTime": "2026-01-01T00:00:00.000Z", "eventName": "ObjectCreated:Put",
        "userIdentity": { "principalId": "p" }, "requestParameters": { "sourceIPAddress": "127.0.0.1" },
        "responseElements": { "x-amz-request-id": "r", "x-amz-id-2": "i" },
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "c",
            "bucket": { "name": "uploads", "ownerIdentity": { "principalId": "p" }, "arn": "arn:aws:s3:::uploads" },
            "object": { "key": key, "size": 5, "eTag": "b1946ac92492d2347c6235b4d2611184", "sequencer": "0055AED6DCD90281E5" },
        },
    }]})
}

/// What ECS answers.
fn ecs(endpoint: &str, operation: &str, request: &Value) -> Value {
    let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
    let headers = [("x-amz-target", &*target), ("content-type", "application/x-amz-json-1.1")];
    let answer = post(endpoint, "/", &headers, request.to_string().as_bytes());
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{operation}: {answer:?}"))
}

/// The Task State Change by which ECS tells that the task of the run has stopped.
fn stopped(endpoint: &str, run_id: &str) -> Value {
    let started_by = format!("wired/{run_id}/1");
    let task = eventually("a task that has stopped", || {
        let request = json!({ "startedBy": started_by, "desiredStatus": "STOPPED" });
        let listed = ecs(endpoint, "ListTasks", &request);
        let arn = listed["taskArns"].as_array()?.first()?.clone();
        let described = ecs(endpoint, "DescribeTasks", &json!({ "tasks": [arn] }));
        let task = described["tasks"].as_array()?.first()?.clone();
        (task["lastStatus"] == "STOPPED").then_some(task)
    });
    // Times are numbers in an answer and texts in an event.
    let kept = ["taskArn", "startedBy", "lastStatus", "desiredStatus", "stopCode", "stoppedReason"];
    let mut detail: Value = kept.iter().map(|name| (*name, task[name].clone())).collect();
    detail["version"] = task["version"].clone();
    detail["containers"] = task["containers"].clone();
    json!({
        "version": "0", "id": "e", "detail-type": "ECS Task State Change", "source": "aws.ecs",
        "account": "000000000000", "time": "2026-01-01T00:01:00Z", "region": "us-east-1",
        "resources": [], "detail": detail,
    })
}

/// What a `taskferry` command prints that asks the table.
#[track_caller]
fn asked(project: &Project, environment: &[(&str, &str)], arguments: &[&str]) -> String {
    let output = project.command(arguments).envs(environment.iter().copied()).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "taskferry {arguments:?}: {}\n{err}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "`cargo xtask test` starts ministack"]
async fn an_object_becomes_a_task_and_a_record_in_dynamodb_within_four_calls() {
    let dynamodb = Meter::before(&std::env::var("TASKFERRY_MINISTACK").unwrap()).await;
    let table = new_table();
    Clients::of_endpoint(&dynamodb.endpoint).await.runs(&table).create_table().await.unwrap();
    let project = Project::new(RULES);
    let dev = project.dev();
    let metered_ecs = Meter::before(&dev.endpoint).await;
    let place = format!("dynamodb:{table}");
    let environment = HashMap::from([
        ("TASKFERRY_RULES", project.dir().join(".taskferry/rules.json").display().to_string()),
        ("TASKFERRY_RUNS", place.clone()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.endpoint.clone()),
        ("AWS_ENDPOINT_URL_ECS", metered_ecs.endpoint.clone()),
    ]);
    let (s3, tracker) =
        (Function::start("s3", &environment), Function::start("task-state-change", &environment));
    let runs_in = [("AWS_ENDPOINT_URL", dynamodb.endpoint.as_str())];
    let list = |more: &[&str]| -> Vec<Value> {
        let arguments = [&["runs", "list", "--json", "--runs", &place], more].concat();
        serde_json::from_str(&asked(&project, &runs_in, &arguments)).unwrap()
    };

    // The first event finds a process that knows no task definition yet.
    for (index, key) in ["first.txt", "second.txt"].into_iter().enumerate() {
        if index > 0 {
            // A process that has launched nothing for so long asks nobody whether it may.
            tokio::time::sleep(pace::CALM.unsigned_abs()).await;
        }
        dynamodb.take();
        metered_ecs.take();
        s3.takes(&notification(key));
        let (recorded, launched) = (dynamodb.take(), metered_ecs.take());
        let runs = list(&["--status", "launching"]);
        assert_eq!(runs.len(), 1, "{runs:?}");
        let stopped = stopped(&dev.endpoint, runs[0]["id"].as_str().unwrap());
        dynamodb.take();
        tracker.takes(&stopped);
        let (ended, asked_again) = (dynamodb.take(), metered_ecs.take());
        assert_eq!(asked_again, Consumed::default());
        // `RunTask`, and once for each process `DescribeTaskDefinition`.
        assert_eq!(launched.calls, if index == 0 { 2 } else { 1 });
        let calls = recorded.calls + ended.calls + 1;
        let written = recorded.written + ended.written;
        assert!(calls <= 4, "{calls} calls: {recorded:?}, {ended:?}");
        assert!(written <= 10.0, "{written} write units: {recorded:?}, {ended:?}");

        let runs = list(&["--status", "succeeded"]);
        assert_eq!(runs.len(), index + 1, "{runs:?}");
        let id = runs[0]["id"].as_str().unwrap();
        let shown = asked(&project, &runs_in, &["runs", "show", &id[..12], "--runs", &place]);
        assert!(shown.contains("status      succeeded"), "{shown}");
        // Delivered again, it starts nothing.
        s3.takes(&notification(key));
        assert_eq!(metered_ecs.take().calls, 0);
        assert_eq!(list(&[]).len(), index + 1);
    }

    // What nobody can use is refused; what may pass is to be delivered again, and is taken then.
    let refused = s3.invoke(&json!({ "Records": 5 }));
    assert!(refused.contains("/error") && refused.contains("Taskferry.Refused"), "{refused}");
    dynamodb.break_down(true);
    let again = s3.invoke(&notification("third.txt"));
    assert!(again.contains("/error") && again.contains("Taskferry.Again"), "{again}");
    dynamodb.break_down(false);
    s3.takes(&notification("third.txt"));
    assert_eq!(list(&[]).len(), 3);

    // The variable says the same as the argument.
    let by_variable = [runs_in[0], ("TASKFERRY_RUNS", &place)];
    let listed = asked(&project, &by_variable, &["dead-letters", "list"]);
    assert_eq!(listed, "no dead letters\n");
    let lacking = project
        .command(&["runs", "list", "--runs", "dynamodb:no-such-table"])
        .envs(runs_in)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&lacking.stderr).into_owned();
    assert!(!lacking.status.success() && told.contains("ResourceNotFoundException"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "`cargo xtask test` starts ministack"]
async fn a_run_in_dynamodb_is_done_again_from_the_program() {
    let dynamodb = std::env::var("TASKFERRY_MINISTACK").unwrap();
    let table = new_table();
    Clients::of_endpoint(&dynamodb).await.runs(&table).create_table().await.unwrap();
    let project = Project::new(RULES);
    let dev = project.dev();
    let place = format!("dynamodb:{table}");
    let environment = HashMap::from([
        ("TASKFERRY_RULES", project.dir().join(".taskferry/rules.json").display().to_string()),
        ("TASKFERRY_RUNS", place.clone()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.clone()),
        ("AWS_ENDPOINT_URL_ECS", dev.endpoint.clone()),
    ]);
    let (s3, tracker) =
        (Function::start("s3", &environment), Function::start("task-state-change", &environment));
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    s3.takes(&notification("again.txt"));
    let list = || -> Vec<Value> {
        serde_json::from_str(&asked(&project, &environment, &["runs", "list", "--json"])).unwrap()
    };
    let id = list()[0]["id"].as_str().unwrap().to_owned();
    tracker.takes(&stopped(&dev.endpoint, &id));
    let told = asked(&project, &environment, &["runs", "retry", &id[..8]]);
    assert!(told.starts_with(&format!("run {id}: done again as run ")), "{told}");
    let runs = list();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert!(runs.iter().any(|run| run["redriveOf"] == *id), "{runs:?}");
    let logs = project
        .command(&["runs", "logs", &id[..8]])
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&logs.stderr).into_owned();
    assert!(told.contains("the logs of runs on AWS are not here"), "{told}");
}
