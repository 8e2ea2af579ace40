//! `taskferry send --sqs`: a message for a queue.

use std::{io::Write, process::ExitCode};

use taskferry_aws::{Attribute, NewMessage};
use taskferry_core::event::sqs::is_fifo;

use crate::{block_on, output::hinted, state::StateDir};

/// What `taskferry send --sqs` takes.
#[derive(Debug, clap::Args)]
pub(super) struct MessageArguments {
    /// Send a message to this queue, by its name, ARN or URL
    #[arg(long, value_name = "QUEUE", requires = "body")]
    pub(super) sqs: Option<String>,
    /// The message's text
    #[arg(long, value_name = "TEXT", requires = "sqs", conflicts_with_all = ["event", "s3", "schedule"])]
    body: Option<String>,
    /// The group whose order it keeps, for a FIFO queue
    #[arg(long, value_name = "ID", requires = "sqs", conflicts_with_all = ["event", "s3", "schedule"])]
    group: Option<String>,
    /// What makes a second message the same within five minutes, for a FIFO queue
    #[arg(long, value_name = "ID", requires = "sqs", conflicts_with_all = ["event", "s3", "schedule"])]
    dedupe: Option<String>,
    /// An attribute of the message; may be given again
    #[arg(long, value_name = "NAME=TEXT", value_parser = attribute, requires = "sqs", conflicts_with_all = ["event", "s3", "schedule"])]
    attribute: Vec<Attribute>,
}

fn attribute(text: &str) -> Result<Attribute, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok(Attribute { name: name.to_owned(), value: value.to_owned() })
        }
        _ => Err("write it as NAME=TEXT".to_owned()),
    }
}

/// Sends the message, and prints the id that SQS gave it.
pub(super) fn send(
    queue: &str,
    arguments: &MessageArguments,
    state: &StateDir,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    // "MessageGroupId is required for FIFO queues."
    if is_fifo(queue) && arguments.group.is_none() {
        let hint =
            "name the group with --group, and what makes a second message the same with --dedupe";
        return Err(hinted(format!("`{queue}` is a FIFO queue: each message has a group"), hint));
    }
    let message = NewMessage {
        body: arguments.body.clone().unwrap_or_default(),
        attributes: arguments.attribute.clone(),
        group: arguments.group.clone(),
        deduplication_id: arguments.dedupe.clone(),
    };
    let sent = block_on(async {
        let endpoint = state.endpoint()?;
        match endpoint.clients().await.queues().send(queue, message).await {
            Ok(id) => Ok(id),
            Err(error @ taskferry_aws::Error::NoAnswer(_)) => Err(endpoint.silent(&error)),
            Err(error) if error.is_no_such_queue() => Err(hinted(
                format!("there is no queue `{queue}` at {endpoint}"),
                "`taskferry dev` makes those that the rules name; `aws sqs create-queue` makes another",
            )),
            Err(error) => {
                let error = anyhow::Error::from(error).context("the message was not taken");
                // Of a queue that makes it of the content none is needed.
                if is_fifo(queue) && arguments.dedupe.is_none() {
                    let hint = "where the queue has no content-based deduplication, say --dedupe";
                    return Err(hinted(format!("{error:#}"), hint));
                }
                Err(error)
            }
        }
    })??;
    writeln!(out, "{sent}")?;
    Ok(ExitCode::SUCCESS)
}
