//! The queues of SQS, through the SDK.
//!
//! Messages are held and deleted for the engine, and sent for `taskferry send` alone: the engine sends none.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use aws_sdk_sqs::{Client, error::SdkError, types::MessageAttributeValue};
use taskferry_core::reason;
use taskferry_engine::ports;

use crate::Error;

/// The queues of SQS.
#[derive(Debug)]
pub struct Queues {
    client: Client,
    /// The URLs of queues, by ARN: they never change while a queue lives.
    urls: Mutex<HashMap<String, String>>,
}

/// A message to send.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NewMessage {
    /// Its text.
    pub body: String,
    /// Attributes of text.
    pub attributes: Vec<Attribute>,
    /// Whose order it keeps, in a FIFO queue.
    pub group: Option<String>,
    /// What makes a second message the same, in a FIFO queue.
    pub deduplication_id: Option<String>,
}

/// An attribute of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its text.
    pub value: String,
}

impl Queues {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, urls: Mutex::default() }
    }

    /// Sends a message to a queue, which is given by name, ARN or URL; answers with the message's id.
    ///
    /// # Errors
    ///
    /// [`Error`] if SQS did not take it.
    pub async fn send(&self, queue: &str, message: NewMessage) -> Result<String, Error> {
        let url =
            if queue.starts_with("http") { queue.to_owned() } else { self.url(queue).await? };
        let mut send = self
            .client
            .send_message()
            .queue_url(url)
            .message_body(message.body)
            .set_message_group_id(message.group)
            .set_message_deduplication_id(message.deduplication_id);
        for Attribute { name, value } in message.attributes {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value);
            // The one member that it must have is there.
            let value = value.build().map_err(|error| Error::NoAnswer(reason(&error)))?;
            send = send.message_attributes(name, value);
        }
        let answer = send.send().await.map_err(|error| Error::new(&error))?;
        answer
            .message_id()
            .map(str::to_owned)
            .ok_or_else(|| Error::NoAnswer("SendMessage answered with no id".to_owned()))
    }

    /// The URL of a queue, by its name or its ARN.
    async fn url(&self, queue: &str) -> Result<String, Error> {
        let known = self.urls.lock().unwrap_or_else(PoisonError::into_inner).get(queue).cloned();
        if let Some(url) = known {
            return Ok(url);
        }
        // arn:aws:sqs:REGION:ACCOUNT:NAME
        let parts: Vec<&str> = queue.rsplit(':').collect();
        let owner = (parts.len() == 6).then(|| parts[1].to_owned());
        let got = self.client.get_queue_url().queue_name(parts[0]);
        let got = got.set_queue_owner_aws_account_id(owner).send().await;
        let got = got.map_err(|error| Error::new(&error))?;
        let url = got.queue_url().map(str::to_owned);
        let url =
            url.ok_or_else(|| Error::NoAnswer("GetQueueUrl answered with none".to_owned()))?;
        let mut urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        urls.insert(queue.to_owned(), url.clone());
        Ok(url)
    }
}

impl ports::Queues for Queues {
    async fn extend(
        &self,
        queue_arn: &str,
        receipt_handle: &str,
        seconds: u64,
    ) -> Result<(), ports::Error> {
        const WHAT: &str = "ChangeMessageVisibility";
        let url = self.url(queue_arn).await.map_err(|error| error.of_port("GetQueueUrl"))?;
        let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
        let change = self.client.change_message_visibility().queue_url(url);
        let change = change.receipt_handle(receipt_handle).visibility_timeout(seconds);
        change.send().await.map(|_| ()).map_err(|error| Error::new(&error).of_port(WHAT))
    }

    async fn delete(&self, queue_arn: &str, receipt_handle: &str) -> Result<(), ports::Error> {
        let url = match self.url(queue_arn).await {
            Ok(url) => url,
            // With its queue the message went.
            Err(error) if error.is_no_such_queue() => return Ok(()),
            Err(error) => return Err(error.of_port("GetQueueUrl")),
        };
        let delete = self.client.delete_message().queue_url(url).receipt_handle(receipt_handle);
        match delete.send().await.map_err(|error: SdkError<_>| Error::new(&error)) {
            Ok(_) => Ok(()),
            Err(error) if error.is_no_such_queue() => Ok(()),
            Err(error) => Err(error.of_port("DeleteMessage")),
        }
    }
}
