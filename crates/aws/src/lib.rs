//! Taskferry's ports on AWS: the only crate that names `aws-sdk-*`.
//!
//! The same code talks to AWS and, where `AWS_ENDPOINT_URL` says so, to the endpoints on this machine. Built by the functions
//! and the program from one [`Clients`]; SDK types do not leave this crate.

mod classify;
mod clients;
mod clock;
mod environment;
mod error;
mod events;
mod objects;
mod ports;
mod queues;
pub mod runs;
mod tasks;

pub use self::{
    clients::Clients,
    clock::SystemClock,
    error::Error,
    events::{Events, NewEvent},
    objects::Objects,
    ports::AwsPorts,
    queues::{Attribute, NewMessage, Queues},
    runs::DynamoRuns,
    tasks::EcsTasks,
};
