//! The tasks of ECS, through the SDK.

use aws_sdk_ecs::{
    Client,
    error::SdkError,
    operation::run_task::{RunTaskError, RunTaskOutput},
    primitives::DateTime,
    types::{self, DesiredStatus},
};
use jiff::{SignedDuration, Timestamp};
use taskferry_core::{
    failure::FailureClass,
    launch::{Answer, Failure, TaskDefinition},
    run::TaskSize,
    track::{Container, TaskState},
};
use taskferry_engine::ports::{self, Clock as _, Tasks};

use crate::{Error, classify::Kind, clock::SystemClock};

/// The tasks of ECS.
#[derive(Clone, Debug)]
pub struct EcsTasks {
    client: Client,
}

impl EcsTasks {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }
}

impl Tasks for EcsTasks {
    async fn run(&self, request: &str) -> Answer {
        // The SDK's input type drops members that it does not know and writes the others in an order of its own. The
        // recorded bytes are sent instead; signing, retries and the answer stay the SDK's.
        let body = request.to_owned();
        let asked_at = SystemClock.now();
        let sent = self
            .client
            .run_task()
            .task_definition("the body is replaced")
            .customize()
            .map_request(move |mut request| {
                in_time(asked_at, SystemClock.now())?;
                request.headers_mut().insert("content-length", body.len().to_string());
                *request.body_mut() = body.clone().into();
                Ok::<_, HeldUp>(request)
            })
            .send()
            .await;
        match sent {
            Ok(output) => answer(&output),
            Err(error) => refusal(&error),
        }
    }

    async fn describe_task_definition(
        &self,
        task_definition: &str,
    ) -> Result<TaskDefinition, ports::Error> {
        let what = "DescribeTaskDefinition";
        let described = self
            .client
            .describe_task_definition()
            .task_definition(task_definition)
            .send()
            .await
            .map_err(|error| Error::new(&error).of_port(what))?;
        let definition = described.task_definition().ok_or_else(|| incomplete(what))?;
        let arn = definition.task_definition_arn().ok_or_else(|| incomplete(what))?.to_owned();
        let essential = definition
            .container_definitions()
            .iter()
            // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
            // "If this parameter is omitted, a container is assumed to be essential."
            .filter(|container| container.essential().unwrap_or(true))
            .filter_map(|container| container.name().map(str::to_owned))
            .collect();
        let size = match (definition.cpu(), definition.memory()) {
            (Some(cpu), Some(memory)) => {
                Some(TaskSize { cpu: cpu.to_owned(), memory: memory.to_owned() })
            }
            _ => None,
        };
        Ok(TaskDefinition { arn, essential, size })
    }

    async fn describe(
        &self,
        cluster: Option<&str>,
        task_arns: &[String],
    ) -> Result<Vec<TaskState>, ports::Error> {
        let described = self
            .client
            .describe_tasks()
            .set_cluster(cluster.map(str::to_owned))
            .set_tasks(Some(task_arns.to_vec()))
            .send()
            .await
            .map_err(|error| Error::new(&error).of_port("DescribeTasks"))?;
        Ok(described.tasks().iter().filter_map(task_state).collect())
    }

    async fn list_started_by(
        &self,
        cluster: Option<&str>,
        started_by: &str,
    ) -> Result<Vec<String>, ports::Error> {
        let mut task_arns = Vec::new();
        // Without a desired status, only tasks that are not to stop are listed.
        for desired_status in [DesiredStatus::Running, DesiredStatus::Stopped] {
            let listed = self
                .client
                .list_tasks()
                .set_cluster(cluster.map(str::to_owned))
                .started_by(started_by)
                .desired_status(desired_status)
                .send()
                .await
                .map_err(|error| Error::new(&error).of_port("ListTasks"))?;
            task_arns.extend(listed.task_arns().iter().cloned());
        }
        Ok(task_arns)
    }

    async fn stop(
        &self,
        cluster: Option<&str>,
        task_arn: &str,
        reason: &str,
    ) -> Result<(), ports::Error> {
        self.client
            .stop_task()
            .set_cluster(cluster.map(str::to_owned))
            .task(task_arn)
            .reason(reason)
            .send()
            .await
            .map_err(|error| Error::new(&error).of_port("StopTask"))?;
        Ok(())
    }
}

/// A `RunTask` is signed and sent so soon after it was asked for, the SDK's own retries included, or not at all.
///
/// `core` gives an attempt up when no request of it can reach ECS any more: this long, and the five minutes for which a
/// signature holds, after it was decided upon.
const SEND_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// Why a request is not sent.
#[derive(Debug, thiserror::Error)]
#[error("the process was held up, and the request is not sent any more")]
struct HeldUp;

/// Asked right before a request is signed.
fn in_time(asked_at: Timestamp, now: Timestamp) -> Result<(), HeldUp> {
    if now.duration_since(asked_at) > SEND_WITHIN { Err(HeldUp) } else { Ok(()) }
}

fn answer(output: &RunTaskOutput) -> Answer {
    let failures = output.failures().iter().map(|failure| Failure {
        arn: failure.arn().map(str::to_owned),
        reason: failure.reason().map(str::to_owned),
        detail: failure.detail().map(str::to_owned),
    });
    Answer::Tasks {
        tasks: output.tasks().iter().filter_map(task_state).collect(),
        failures: failures.collect(),
    }
}

fn refusal(error: &SdkError<RunTaskError>) -> Answer {
    if let Some(RunTaskError::ConflictException(conflict)) = error.as_service_error() {
        return Answer::Conflict { task_arns: conflict.resource_ids().to_vec() };
    }
    let error = Error::new(error);
    let message = error.to_string();
    match error.kind() {
        Kind::Throttled => Answer::NotNow { class: FailureClass::Throttled, message },
        Kind::Capacity => Answer::NotNow { class: FailureClass::Capacity, message },
        Kind::Conflict => Answer::Conflict { task_arns: Vec::new() },
        Kind::Refused => Answer::Refused { message },
        Kind::Unknown => Answer::Lost { message },
    }
}

fn incomplete(what: &'static str) -> ports::Error {
    let source = Error::NoAnswer("the answer lacks the task definition".to_owned());
    ports::Error::Unavailable { what, source: Box::new(source) }
}

/// The task as an event would tell it; `None` if the answer lacks what every task has.
fn task_state(task: &types::Task) -> Option<TaskState> {
    Some(TaskState {
        task_arn: task.task_arn()?.to_owned(),
        started_by: task.started_by().map(str::to_owned),
        last_status: task.last_status()?.to_owned(),
        desired_status: task.desired_status().map(str::to_owned),
        stop_code: task.stop_code().map(|code| code.as_str().to_owned()),
        stopped_reason: task.stopped_reason().map(str::to_owned),
        containers: task.containers().iter().filter_map(container).collect(),
        started_at: task.started_at().and_then(timestamp),
        stopped_at: task.stopped_at().and_then(timestamp),
        version: Some(task.version()),
    })
}

fn container(container: &types::Container) -> Option<Container> {
    Some(Container {
        name: container.name()?.to_owned(),
        exit_code: container.exit_code(),
        reason: container.reason().map(str::to_owned),
    })
}

fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_nanosecond(time.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_held_up_is_not_sent() {
        let asked_at = Timestamp::from_second(1_767_225_600).unwrap();
        let after = |seconds| in_time(asked_at, asked_at + SignedDuration::from_secs(seconds));
        assert!(after(10).is_ok());
        assert!(after(11).is_err());
    }
}
