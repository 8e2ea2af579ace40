//! The engine's ports on AWS, on whatever store the records are in.

use std::sync::OnceLock;

use taskferry_engine::ports::{Ports, Runs};

use crate::{Clients, EcsTasks, Events, Objects, Queues, SystemClock};

/// The ports of an engine that works on AWS, or on what speaks like it.
#[derive(Debug)]
pub struct AwsPorts<R> {
    runs: R,
    tasks: EcsTasks,
    // Made when they are first needed, which is seldom: a function starts without them.
    events: OnceLock<Events>,
    payloads: OnceLock<Objects>,
    queues: OnceLock<Queues>,
    clients: Clients,
    clock: SystemClock,
}

impl<R> AwsPorts<R> {
    /// Ports on these clients, with the records in `runs`.
    pub fn new(clients: &Clients, runs: R) -> Self {
        Self {
            runs,
            tasks: clients.tasks(),
            events: OnceLock::new(),
            payloads: OnceLock::new(),
            queues: OnceLock::new(),
            clients: clients.clone(),
            clock: SystemClock,
        }
    }
}

impl<R: Runs> Ports for AwsPorts<R> {
    type Runs = R;
    type Tasks = EcsTasks;
    type Events = Events;
    type Payloads = Objects;
    type Queues = Queues;
    type Clock = SystemClock;

    fn runs(&self) -> &R {
        &self.runs
    }

    fn tasks(&self) -> &EcsTasks {
        &self.tasks
    }

    fn events(&self) -> &Events {
        self.events.get_or_init(|| self.clients.events())
    }

    fn payloads(&self) -> &Objects {
        self.payloads.get_or_init(|| self.clients.objects())
    }

    fn queues(&self) -> &Queues {
        self.queues.get_or_init(|| self.clients.queues())
    }

    fn clock(&self) -> &SystemClock {
        &self.clock
    }
}
