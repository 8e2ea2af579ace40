//! A call: it goes out, has its effect at once or not at all, and comes back, and each time something may go wrong.
//!
//! Between those the process may die, freeze or lose the answer, and everybody else goes on. `ports` says what effect which
//! call has.

use std::{
    fmt::Debug,
    future::{Future, pending},
    pin::Pin,
    task::{Context, Poll},
};

use jiff::Timestamp;
use taskferry_engine::ports::Error;

use crate::{
    exhaustive::digest,
    faults::{Call, Mishap},
    world::{HOUR, MINUTE, Micros, SECOND, Shared, World, at},
};

/// The world as one process reaches it.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    /// The world.
    pub(crate) shared: Shared,
    /// Which process.
    pub(crate) process: usize,
}

/// What the simulation says where a real port would say what broke.
#[derive(Debug)]
struct Broken(&'static str);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Broken {}

pub(crate) fn unavailable(why: &'static str) -> Error {
    Error::Unavailable { what: "the simulated call", source: Box::new(Broken(why)) }
}

pub(crate) fn refused(why: &'static str) -> Error {
    Error::Refused { what: "the simulated call", source: Box::new(Broken(why)) }
}

/// Time that passes.
pub(crate) struct Pause {
    pub(crate) shared: Shared,
    pub(crate) until: Micros,
    pub(crate) has_begun: bool,
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (shared, until) = (self.shared.clone(), self.until);
        let mut world = shared.world();
        if self.has_begun && world.now >= until {
            return Poll::Ready(());
        }
        if !self.has_begun {
            self.has_begun = true;
            world.wake_at(until, context.waker().clone());
        }
        Poll::Pending
    }
}

/// What will befall a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) mishap: Option<Mishap>,
    goes: Micros,
    comes: Micros,
}

impl World {
    /// What a process was answered is all that tells it from another at the same place.
    pub(crate) fn remember(&mut self, process: usize, call: Call, value: &impl Debug) {
        if self.is_stepwise {
            let seen = &mut self.processes[process].seen;
            *seen = digest(&format!("{seen} {call:?} {value:?}"));
        }
    }

    pub(crate) fn fate(&mut self, process: usize, call: Call) -> Fate {
        self.calls[call as usize] += 1;
        if self.is_stepwise {
            return Fate { mishap: None, goes: 0, comes: 0 };
        }
        let latency = if self.is_calm { 20_000 } else { self.knobs.latency };
        let goes = self.dice.between(1, 8) * latency / 8;
        let comes = self.dice.between(1, 8) * latency / 8;
        let mut fate = Fate { mishap: None, goes, comes };
        if self.script.mishaps.front().is_some_and(|(told, _)| *told == call) {
            fate.mishap = self.script.mishaps.pop_front().map(|(_, mishap)| mishap);
            self.processes[process].failed += 1;
            match fate.mishap {
                Some(Mishap::Frozen) => fate.comes += 5 * MINUTE,
                Some(Mishap::FrozenBefore) => fate.goes += 5 * MINUTE,
                _ => fate.comes += SECOND,
            }
            return fate;
        }
        if self.is_calm {
            return fate;
        }
        let knobs = self.knobs;
        // A day after a run's end most seeds are over, so each of these few calls has to meet more.
        let oftener = if call == Call::DiscardPayload { 8 } else { 1 };
        // What was seen of a limit is to be old by the time somebody acts on it.
        let aged = if call == Call::Limit { 8 } else { 1 };
        fate.mishap = if self.dice.chance(knobs.lost * oftener) {
            Some(self.dice.pick(&[Mishap::RequestLost, Mishap::ResponseLost]))
        } else if self.dice.chance(knobs.crash * oftener) {
            Some(self.dice.pick(&[Mishap::CrashBefore, Mishap::CrashAfter]))
        } else if self.dice.chance(knobs.frozen * oftener.max(aged)) {
            Some(self.dice.pick(&[Mishap::Frozen, Mishap::FrozenBefore]))
        } else if self.dice.chance(knobs.throttled * oftener) {
            Some(Mishap::Throttled)
        } else {
            None
        };
        if let Some(mishap) = fate.mishap {
            self.coverage.befell(call, mishap);
            self.processes[process].failed += 1;
        }
        match fate.mishap {
            Some(Mishap::RequestLost | Mishap::ResponseLost) => fate.comes += 2 * SECOND,
            Some(Mishap::Frozen) => fate.comes += self.freeze(call),
            Some(Mishap::FrozenBefore) => fate.goes += self.freeze(call),
            _ => {}
        }
        fate
    }

    /// For how long a process is frozen: minutes, and inside `RunTask` for as long as breaks any promise of its.
    fn freeze(&mut self, call: Call) -> Micros {
        let longest = match call {
            Call::RunTask => self.dice.pick(&[5 * MINUTE, 20 * MINUTE, 2 * HOUR, 26 * HOUR]),
            _ => 20 * MINUTE,
        };
        self.dice.between(10 * SECOND, longest)
    }
}

impl Port {
    pub(crate) async fn pause(&self, time: Micros) {
        let until = self.shared.world().now + time;
        Pause { shared: self.shared.clone(), until, has_begun: false }.await;
    }

    async fn crash(&self) {
        self.shared.world().crashed.push(self.process);
        pending::<()>().await;
    }

    /// The call as far as its effect; false if it does not get there.
    pub(crate) async fn go(&self, call: Call, fate: Fate) -> Result<(), Error> {
        self.pause(fate.goes).await;
        match fate.mishap {
            Some(Mishap::CrashBefore) => {
                self.note(call, "dies before it", "");
                self.crash().await;
                Ok(())
            }
            Some(Mishap::RequestLost) => {
                self.note(call, "request lost", "");
                self.pause(fate.comes).await;
                Err(unavailable("the request was lost"))
            }
            Some(Mishap::Throttled) => {
                self.note(call, "throttled", "");
                self.pause(fate.comes).await;
                Err(Error::Throttled {
                    what: "the simulated call",
                    source: Box::new(Broken("throttled")),
                })
            }
            Some(
                Mishap::ResponseLost | Mishap::CrashAfter | Mishap::Frozen | Mishap::FrozenBefore,
            )
            | None => Ok(()),
        }
    }

    pub(crate) async fn come(&self, call: Call, fate: Fate) -> Result<(), Error> {
        // What dies with the answer unread is as what dies before its next call.
        if self.shared.world().is_stepwise {
            return Ok(());
        }
        match fate.mishap {
            Some(Mishap::CrashAfter) => {
                self.note(call, "dies after it", "");
                self.crash().await;
                Ok(())
            }
            Some(Mishap::ResponseLost) => {
                self.pause(fate.comes).await;
                self.note(call, "answer lost", "");
                Err(unavailable("the answer was lost"))
            }
            _ => {
                self.pause(fate.comes).await;
                Ok(())
            }
        }
    }

    /// A call with its effect.
    pub(crate) async fn call<T: Debug>(
        &self,
        call: Call,
        about: impl FnOnce() -> String,
        effect: impl FnOnce(&mut World) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let fate = self.shared.world().fate(self.process, call);
        self.go(call, fate).await?;
        let value = {
            let mut world = self.shared.world();
            let process = self.process;
            world.note(|| format!("process {process}  {call:?} {}", about()));
            let value = effect(&mut world);
            world.remember(process, call, &value);
            value
        };
        self.come(call, fate).await?;
        value
    }

    fn note(&self, call: Call, what: &str, about: &str) {
        let process = self.process;
        self.shared.world().note(|| format!("process {process}  {call:?} {about}: {what}"));
    }

    pub(crate) fn now(&self) -> Timestamp {
        let world = self.shared.world();
        at(world.now + world.processes[self.process].skew)
    }
}
