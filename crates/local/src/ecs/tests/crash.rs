//! What is left of tasks, and of their processes, when the program that ran them dies.
//!
//! The test binary plays the program and its reaper too: it starts itself with one of the two tests below that do
//! nothing unless told their part.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{life::is_running, *};

const PART: &str = "TASKFERRY_TEST_PART";
const DIRECTORY: &str = "TASKFERRY_TEST_DIRECTORY";

fn this_binary(test: &str) -> [OsString; 4] {
    let module = module_path!().split_once("::").unwrap().1;
    let program = std::env::current_exe().unwrap().into_os_string();
    [program, "--exact".into(), format!("{module}::{test}").into(), "--nocapture".into()]
}

fn plays(part: &str) -> bool {
    std::env::var(PART).is_ok_and(|playing| playing == part)
}

#[test]
fn plays_the_reaper_if_told_to() {
    if plays("reaper") {
        super::super::reaper::run(std::io::stdin());
    }
}

/// Runs two tasks that do not end, says so, and waits to be killed.
#[tokio::test]
async fn plays_the_program_if_told_to() {
    if !plays("program") && !plays("program without a reaper") {
        return;
    }
    let mut reaper = Vec::new();
    if plays("program") {
        reaper.extend(["/usr/bin/env".into(), format!("{PART}=reaper").into()]);
        reaper.extend(this_binary("plays_the_reaper_if_told_to"));
    }
    let directory = std::env::var_os(DIRECTORY).unwrap();
    let directory = Path::new(&directory);
    let ecs = open(directory, Containers::HostProcesses, reaper);
    let call = |operation: &str, request: Value| ecs.call(operation, request).unwrap();
    call("CreateCluster", json!({ "clusterName": "c" }));
    let write = format!(
        "trap '' TERM; sleep 600 & echo $$ $! > {}/pids.$$; mv {0}/pids.$$ {0}/$$.pids; wait",
        directory.display()
    );
    let container =
        json!({ "name": "app", "image": "i", "memory": 64, "command": ["/bin/sh", "-c", write] });
    call("RegisterTaskDefinition", json!({ "family": "f", "containerDefinitions": [container] }));
    call("RunTask", json!({ "cluster": "c", "taskDefinition": "f", "count": 2 }));
    loop {
        let running = call("DescribeClusters", json!({ "clusters": ["c"] }));
        let files = fs::read_dir(directory).unwrap();
        let written = files.filter(|file| {
            file.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "pids")
        });
        if running["clusters"][0]["runningTasksCount"] == 2 && written.count() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!("ready");
    std::future::pending::<()>().await;
}

/// Starts the program in a part, and waits until its tasks run.
fn start_program(part: &str, directory: &Path) -> Child {
    let [program, arguments @ ..] = this_binary("plays_the_program_if_told_to");
    let mut child = Command::new(program)
        .args(arguments)
        .env(PART, part)
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The test harness writes its own line's beginning before.
    let ready = lines.map_while(Result::ok).any(|line| line.ends_with("ready"));
    assert!(ready, "the program ended");
    child
}

fn pids(directory: &Path) -> Vec<i32> {
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "pids"));
    let pids: Vec<_> = files
        .flat_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            text.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<i32>>()
        })
        .collect();
    assert_eq!(pids.len(), 4);
    pids
}

async fn until_gone(pids: &[i32]) {
    let gone = async {
        while pids.iter().any(|pid| is_running(*pid)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}

fn stopped_steps(directory: &Path) -> Vec<Value> {
    let ecs = open(directory, Containers::HostProcesses, Vec::new());
    let request = json!({ "cluster": "c", "desiredStatus": "STOPPED" });
    let listed = ecs.call("ListTasks", request).unwrap();
    let request = json!({ "cluster": "c", "tasks": listed["taskArns"] });
    let described = ecs.call("DescribeTasks", request).unwrap();
    let last = ecs.db.read(|connection| {
        connection.query_row("SELECT count(*) FROM ecs_processes", [], |row| row.get::<_, i64>(0))
    });
    assert_eq!(last.unwrap(), 0);
    described["tasks"].as_array().unwrap().clone()
}

#[track_caller]
fn check_stopped(tasks: &[Value]) {
    assert_eq!(tasks.len(), 2);
    for task in tasks {
        assert_eq!(task["lastStatus"], "STOPPED");
        assert_eq!(task["stopCode"], "InfrastructureHealth");
        assert_eq!(task["stoppedReason"], "The local ECS stopped while the task ran.");
        assert_eq!(task["containers"][0]["lastStatus"], "STOPPED");
        assert_eq!(task["containers"][0]["exitCode"], Value::Null);
        assert_eq!(task["version"], 4);
    }
}

#[tokio::test]
async fn the_reaper_leaves_no_process_behind_and_the_next_open_stops_the_tasks() {
    let directory = tempfile::tempdir().unwrap();
    let mut program = start_program("program", directory.path());
    let pids = pids(directory.path());
    assert!(pids.iter().all(|pid| is_running(*pid)));
    program.kill().unwrap();
    program.wait().unwrap();
    until_gone(&pids).await;
    check_stopped(&stopped_steps(directory.path()));
}

#[tokio::test]
async fn the_next_open_kills_what_no_reaper_did() {
    let directory = tempfile::tempdir().unwrap();
    let mut program = start_program("program without a reaper", directory.path());
    let pids = pids(directory.path());
    program.kill().unwrap();
    program.wait().unwrap();
    assert!(pids.iter().all(|pid| is_running(*pid)));
    check_stopped(&stopped_steps(directory.path()));
    until_gone(&pids).await;
}

#[tokio::test]
async fn a_process_that_has_the_number_of_an_old_one_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut bystander = Command::new("sleep").arg("600").spawn().unwrap();
    {
        let ecs = open(directory.path(), Containers::HostProcesses, Vec::new());
        let boot = super::super::process::boot().unwrap();
        let row = (bystander.id(), format!("{boot}/1"));
        ecs.db
            .write(|tx| {
                tx.execute(
                    "INSERT INTO ecs_processes (pid, started, task_id) VALUES (?1, ?2, 'x')",
                    row,
                )
            })
            .unwrap();
    }
    drop(open(directory.path(), Containers::HostProcesses, Vec::new()));
    assert_eq!(bystander.try_wait().unwrap(), None);
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn the_reaper_kills_what_is_registered_at_the_end_of_its_input_and_nothing_else() {
    use std::os::unix::process::CommandExt;
    let mut sleepers: Vec<_> = (0..2)
        .map(|_| Command::new("sleep").arg("600").process_group(0).spawn().unwrap())
        .collect();
    let [kept, killed] = [sleepers[0].id(), sleepers[1].id()];
    let input = format!("+{kept}\n+{killed}\n-{kept}\n+0\n+1\n+x\nnonsense\n+");
    super::super::reaper::run(input.as_bytes());
    assert_eq!(sleepers[1].wait().unwrap().code(), None);
    assert_eq!(sleepers[0].try_wait().unwrap(), None);
    sleepers[0].kill().unwrap();
    sleepers[0].wait().unwrap();
}

/// As one that a task started at the moment at which its program was killed.
#[tokio::test]
async fn a_daemon_of_a_task_that_nobody_remembers_ends_with_the_ecs() {
    let fixture = Fixture::new(Containers::HostProcesses);
    let temporary = fixture.ecs.config.tasks_dir.join("forgotten/app.tmp");
    let mut daemon = Command::new("sleep").arg("600").env("TMPDIR", temporary).spawn().unwrap();
    fixture.ecs.shutdown().await;
    assert_eq!(daemon.wait().unwrap().code(), None);
}
