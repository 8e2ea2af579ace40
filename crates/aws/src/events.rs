//! The event buses of EventBridge, through the SDK.

use aws_sdk_eventbridge::{Client, primitives::DateTime, types::PutEventsRequestEntry};
use jiff::Timestamp;
use taskferry_core::chain::{self, LifecycleEvent};
use taskferry_engine::ports;

use crate::Error;

/// The event buses of EventBridge.
#[derive(Clone, Debug)]
pub struct Events {
    client: Client,
}

/// An event to put; EventBridge adds the rest of the envelope.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewEvent {
    /// The bus; `None` is the account's default.
    pub event_bus: Option<String>,
    /// Who sends it.
    pub source: String,
    /// What happened.
    pub detail_type: String,
    /// The ARNs that it is about.
    pub resources: Vec<String>,
    /// When it happened; `None` is when it is put.
    pub time: Option<Timestamp>,
    /// A JSON object.
    pub detail: String,
}

impl Events {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Puts one event; answers with the id that EventBridge gave it.
    ///
    /// # Errors
    ///
    /// [`Error`] if EventBridge did not take it.
    pub async fn put(&self, event: NewEvent) -> Result<String, Error> {
        let mut ids = self.put_all([event]).await?;
        ids.pop().ok_or_else(|| Error::NoAnswer("PutEvents answered for no entry".to_owned()))
    }

    /// Puts at most ten events, in this order; the ids that EventBridge gave them.
    ///
    /// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>
    async fn put_all(
        &self,
        events: impl IntoIterator<Item = NewEvent>,
    ) -> Result<Vec<String>, Error> {
        let entries = events.into_iter().map(entry).collect();
        let put = self.client.put_events().set_entries(Some(entries)).send().await;
        let put = put.map_err(|error| Error::new(&error))?;
        put.entries()
            .iter()
            .map(|entry| match (entry.event_id(), entry.error_code()) {
                (Some(id), None) => Ok(id.to_owned()),
                (_, code) => Err(Error::Exception {
                    code: code.unwrap_or("no code").to_owned(),
                    message: entry.error_message().unwrap_or("without a message").to_owned(),
                    status: 200,
                }),
            })
            .collect()
    }
}

fn entry(event: NewEvent) -> PutEventsRequestEntry {
    PutEventsRequestEntry::builder()
        .set_event_bus_name(event.event_bus)
        .source(event.source)
        .detail_type(event.detail_type)
        .set_resources(Some(event.resources))
        .set_time(event.time.map(|time| DateTime::from_secs(time.as_second())))
        .detail(event.detail)
        .build()
}

impl ports::Events for Events {
    async fn publish(
        &self,
        events: &[LifecycleEvent],
        detail: &str,
        time: Timestamp,
    ) -> Result<(), ports::Error> {
        let events = events.iter().map(|event| NewEvent {
            event_bus: None,
            source: chain::SOURCE.to_owned(),
            detail_type: event.detail_type().to_owned(),
            resources: Vec::new(),
            time: Some(time),
            detail: detail.to_owned(),
        });
        let put = self.put_all(events).await;
        put.map(|_ids| ()).map_err(|error| error.of_port("PutEvents"))
    }
}
