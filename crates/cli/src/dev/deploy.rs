//! Deploy: what the rules ask of AWS is made on this machine, as a deployment makes it there.
//!
//! Done at the start and whenever the rules file has changed. Doing it again changes nothing that is so already.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use taskferry_core::{
    event::schedule::MISSED_COUNT,
    rules::{LocalContainer, Rules, bus_name},
    template::is_template,
    wiring::{self, Function, Target},
};
use taskferry_function::{AGAIN, RULES, RUNS};
use taskferry_local::{
    delivery::Destination,
    ecs,
    eventbridge::Subscription,
    identity::{ACCOUNT_ID, REGION},
    lambda,
    protocol::Exception,
    s3, scheduler, sns,
    sqs::{QueueAttributes, Queues, Refusal},
};
use tracing::warn;

use super::platform::Aws;

/// How long a function may take for one event.
const FUNCTION_TIMEOUT: Duration = Duration::from_mins(1);

/// How much memory a function is said to have, in MB.
const FUNCTION_MEMORY_MB: u32 = 256;

/// Makes all that the rules of the file in the folder `project` ask for.
pub(super) fn deploy(aws: &Aws, project: &Path, rules: &Rules) -> anyhow::Result<()> {
    // What can fail comes first, and leaves the rules of before in force.
    task_definitions(aws, rules)?;
    clusters(aws, rules)?;
    buckets(aws, rules)?;
    queues(aws, rules)?;
    topics(aws, rules)?;
    functions(aws, rules)?;
    let containers = rules.local_containers.iter();
    let containers =
        containers.map(|(name, local)| (name.clone(), local_container(project, local)));
    aws.ecs.set_local_containers(containers.collect());
    aws.s3.set_notifications(notifications(rules));
    aws.event_bridge.subscribe(subscriptions(rules));
    aws.scheduler.deploy(&schedules(rules)).context("cannot write the schedules")?;
    // Those that clients made are polled from here on as well.
    aws.mappings.deploy(&mappings(rules)).context("cannot deploy the event source mappings")?;
    Ok(())
}

/// What a container runs on this machine. A task works in a directory of its own, so a word that names a file beside the
/// rules file is made absolute.
fn local_container(project: &Path, container: &LocalContainer) -> ecs::LocalContainer {
    let word = |word: &String| {
        let path = project.join(word);
        match path.is_file().then(|| std::path::absolute(path)) {
            Some(Ok(path)) => path.to_string_lossy().into_owned(),
            Some(Err(_)) | None => word.clone(),
        }
    };
    let words =
        |words: &Option<Vec<String>>| words.as_ref().map(|words| words.iter().map(word).collect());
    let pairs = container.environment.iter();
    ecs::LocalContainer {
        entry_point: words(&container.entry_point),
        command: words(&container.command),
        environment: pairs
            .map(|pair| (pair.name.clone(), pair.value.clone().unwrap_or_default()))
            .collect(),
    }
}

/// The subscriptions that the rules ask for, as the local EventBridge takes them.
pub(super) fn subscriptions(rules: &Rules) -> Vec<Subscription> {
    // The state holds all runs that were ever begun on it, also under another name in the file.
    let wired = wiring::subscriptions(rules, None).into_iter();
    wired
        .map(|wired| Subscription {
            name: format!("{}-{}", rules.name, wired.name),
            event_bus: bus_name(&wired.event_bus).to_owned(),
            event_pattern: wired.event_pattern,
            destination: destination(wired.target),
        })
        .collect()
}

fn destination(target: Target) -> Destination {
    match target {
        Target::Function(function) => Destination::Function(function.as_str().to_owned()),
        Target::Topic(name) => Destination::Topic(name),
        Target::Queue(name) => Destination::Queue(name),
    }
}

/// The schedules that the rules ask for, as the local Scheduler takes them.
fn schedules(rules: &Rules) -> Vec<scheduler::Managed> {
    let wired = wiring::schedules(rules).into_iter();
    wired
        .map(|wired| scheduler::Managed {
            group: wired.group,
            name: wired.name,
            schedule: wired.schedule,
            window_minutes: wired.window_minutes,
            function: Function::EventBridge.as_str().to_owned(),
            input: wired.input,
            missed_input: wired.missed_input,
            count_attribute: MISSED_COUNT.to_owned(),
        })
        .collect()
}

/// Registers the task definitions of the file, but for those whose newest revision was made from the same request.
fn task_definitions(aws: &Aws, rules: &Rules) -> anyhow::Result<()> {
    let path = aws.state.path().join("task-definitions.json");
    let mut registered: BTreeMap<String, Value> = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(_) => BTreeMap::new(),
    };
    for (family, request) in &rules.task_definitions {
        // They are gone, too, where the services' database was deleted and this list was not.
        if registered.get(family) != Some(request) || is_missing(aws, family) {
            call(aws, "RegisterTaskDefinition", request)
                .with_context(|| format!("taskDefinitions.{family}"))?;
            registered.insert(family.clone(), request.clone());
            // One by one: if a later one is refused, this one is not registered again.
            replace(&path, &serde_json::to_vec_pretty(&registered)?)?;
        }
    }
    Ok(())
}

/// Writes a file in one step, so that nobody reads half of it.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let fresh = path.with_extension("json.new");
    fs::write(&fresh, bytes)
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// What is to be said of rules whose task definition is not on this machine: each event would fail its run.
pub(super) fn missing_task_definitions(aws: &Aws, rules: &Rules) -> Vec<String> {
    let missing = rules.rules.iter().filter_map(|rule| {
        let name = rule.target.as_json()["taskDefinition"].as_str()?;
        (!is_template(name) && is_missing(aws, name)).then(|| {
            format!(
                "there is no task definition `{name}` here, which rule {} starts: register it, or add it to taskDefinitions",
                rule.name
            )
        })
    });
    missing.collect()
}

fn is_missing(aws: &Aws, task_definition: &str) -> bool {
    call(aws, "DescribeTaskDefinition", &json!({ "taskDefinition": task_definition })).is_err()
}

fn clusters(aws: &Aws, rules: &Rules) -> anyhow::Result<()> {
    let mut clusters: BTreeSet<&str> =
        rules.rules.iter().flat_map(|rule| rule.target.clusters()).collect();
    clusters.insert("default");
    for cluster in clusters {
        let name = cluster.rsplit('/').next().unwrap_or(cluster);
        call(aws, "CreateCluster", &json!({ "clusterName": name }))
            .with_context(|| format!("cluster {cluster}"))?;
    }
    Ok(())
}

fn call(aws: &Aws, operation: &str, request: &Value) -> anyhow::Result<Value> {
    let answer = aws.ecs.call(operation, request.clone());
    answer.map_err(|Exception { name, message, .. }| anyhow!("{name}: {message}"))
}

/// Deploys the functions with the rules: their next processes have them, those that are busy end with the old ones.
fn functions(aws: &Aws, rules: &Rules) -> anyhow::Result<()> {
    let path = aws.state.rules();
    replace(&path, rules.to_json().as_bytes())?;
    let runs = format!("sqlite:{}", absolute(&aws.state.runs())?);
    let environment = vec![(RULES.to_owned(), absolute(&path)?), (RUNS.to_owned(), runs)];
    for function in Function::ALL {
        let name = function.as_str();
        let command: [OsString; 3] = [aws.program.clone().into(), "function".into(), name.into()];
        let function = lambda::Function {
            command: command.to_vec(),
            environment: environment.clone(),
            timeout: FUNCTION_TIMEOUT,
            memory_mb: FUNCTION_MEMORY_MB,
            passing_errors: vec![AGAIN.to_owned()],
        };
        aws.functions.deploy(name, function)?;
    }
    Ok(())
}

fn absolute(path: &Path) -> anyhow::Result<String> {
    let path = std::path::absolute(path)?;
    path.into_os_string()
        .into_string()
        .map_err(|path| anyhow!("the path {} is not UTF-8", path.to_string_lossy()))
}

fn buckets(aws: &Aws, rules: &Rules) -> anyhow::Result<()> {
    for bucket in wiring::buckets(rules).chain(wiring::payload_buckets(rules)) {
        aws.s3.create_bucket(bucket).with_context(|| format!("bucket {bucket}"))?;
    }
    Ok(())
}

/// How often a message is received before the queue gives it up to its dead letters.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>: at least five times.
const RECEIVE_COUNT_MAX: u32 = 5;

/// Makes the queues that the rules name, each with one for its dead letters; one that is there stays as it is.
fn queues(aws: &Aws, rules: &Rules) -> anyhow::Result<()> {
    let db = aws.state_db();
    for wired in wiring::queues(rules) {
        let name = &wired.name;
        let made: Result<(), Refusal> = db
            .write(|tx| {
                if Queues::exists(tx, name)? {
                    return Ok(Ok(()));
                }
                let dead_letters = dead_letters(&wired);
                let fifo = wired.is_fifo().then(|| ("FifoQueue".to_owned(), "true".to_owned()));
                let fifo = QueueAttributes::from_iter(fifo);
                if !Queues::exists(tx, &dead_letters)?
                    && let Err(refusal) = aws.queues.create(tx, &dead_letters, &fifo)?
                {
                    return Ok(Err(refusal));
                }
                let redrive = json!({
                    "deadLetterTargetArn": format!("arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{dead_letters}"),
                    "maxReceiveCount": RECEIVE_COUNT_MAX,
                });
                // Six times what the function may take, so that a message does not come again while it waits for its batch.
                let visibility_seconds = (6 * FUNCTION_TIMEOUT).as_secs();
                let mut attributes = fifo;
                attributes.insert("RedrivePolicy".to_owned(), redrive.to_string());
                attributes.insert("VisibilityTimeout".to_owned(), visibility_seconds.to_string());
                aws.queues.create(tx, name, &attributes)
            })
            .with_context(|| format!("queue {name}"))?;
        made.with_context(|| format!("queue {name}"))?;
        let visibility = db.read(|connection| Queues::visibility_timeout(connection, name))?;
        if let Some(visibility) = visibility.filter(|visibility| *visibility < FUNCTION_TIMEOUT) {
            // A rule must not keep whoever could change that from starting.
            warn!(
                queue = name,
                visibility_timeout = visibility.as_secs(),
                "its visibility timeout is shorter than the {} s that a function may take: messages come again while they are \
                 being taken, and AWS makes no such mapping; set VisibilityTimeout to {}",
                FUNCTION_TIMEOUT.as_secs(),
                (6 * FUNCTION_TIMEOUT).as_secs()
            );
        }
    }
    Ok(())
}

/// What the queue for a queue's dead letters is called: a FIFO queue's is one too, and no name is longer than 80.
fn dead_letters(queue: &wiring::Queue) -> String {
    let base = queue.name.trim_end_matches(".fifo");
    let fifo = if queue.is_fifo() { ".fifo" } else { "" };
    let base = &base[..base.len().min(80 - "-dead-letters.fifo".len())];
    format!("{base}-dead-letters{fifo}")
}

/// Makes the topics that the rules name, and subscribes the function of S3's notifications.
fn topics(aws: &Aws, rules: &Rules) -> anyhow::Result<()> {
    for topic in wiring::topics(rules) {
        let made = aws.state_db().write(|tx| sns::subscribe(tx, topic, Function::S3.as_str()));
        made.with_context(|| format!("topic {topic}"))?;
    }
    Ok(())
}

/// The event source mappings that the rules ask for.
fn mappings(rules: &Rules) -> Vec<lambda::Mapping> {
    let mapping = |wired: wiring::Queue| lambda::Mapping {
        batch_size: wired.batch_size,
        window_seconds: u32::try_from(wired.batching_window.as_secs()).unwrap_or(u32::MAX),
        reports_failures: true,
        concurrency_max: wired.maximum_concurrency,
        ..lambda::Mapping::new(wired.name, Function::Sqs.as_str())
    };
    wiring::queues(rules).into_iter().map(mapping).collect()
}

/// The bucket notifications that the rules ask for: one a bucket, as the local S3 takes them.
fn notifications(rules: &Rules) -> Vec<s3::BucketNotification> {
    let mut by_bucket: BTreeMap<String, BTreeMap<Destination, Vec<s3::Filter>>> = BTreeMap::new();
    for wired in wiring::bucket_notifications(rules) {
        let destinations = by_bucket.entry(wired.bucket).or_default();
        let filters = destinations.entry(destination(wired.target)).or_default();
        filters.push(s3::Filter {
            events: wired.events,
            prefix: wired.prefix,
            suffix: wired.suffix,
        });
    }
    let notification = |(bucket, destinations): (_, BTreeMap<_, _>)| s3::BucketNotification {
        bucket,
        destinations: destinations
            .into_iter()
            .map(|(destination, filters)| s3::DestinationNotification { destination, filters })
            .collect(),
    };
    by_bucket.into_iter().map(notification).collect()
}
