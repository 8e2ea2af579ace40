//! The event buses of EventBridge, through the SDK.

use aws_sdk_eventbridge::{Client, primitives::DateTime, types::PutEventsRequestEntry};
use jiff::Timestamp;

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
        let entry = PutEventsRequestEntry::builder()
            .set_event_bus_name(event.event_bus)
            .source(event.source)
            .detail_type(event.detail_type)
            .set_resources(Some(event.resources))
            .set_time(event.time.map(|time| DateTime::from_secs(time.as_second())))
            .detail(event.detail)
            .build();
        let put = self
            .client
            .put_events()
            .entries(entry)
            .send()
            .await
            .map_err(|error| Error::new(&error))?;
        let entry = put
            .entries()
            .first()
            .ok_or_else(|| Error::NoAnswer("PutEvents answered for no entry".to_owned()))?;
        match (entry.event_id(), entry.error_code()) {
            (Some(id), None) => Ok(id.to_owned()),
            (_, code) => Err(Error::Exception {
                code: code.unwrap_or("no code").to_owned(),
                message: entry.error_message().unwrap_or("without a message").to_owned(),
                status: 200,
            }),
        }
    }
}
