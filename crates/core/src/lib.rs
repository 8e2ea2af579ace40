//! What Taskferry decides, and nothing of what it does.
//!
//! An event's way, one word a step, the same word in every crate:
//!
//! * **normalise** ([`event`]): a source's payload becomes an [`event::Event`] in EventBridge's shape;
//! * **route** ([`route`]): the event and the rules give the rules that match;
//! * **plan** ([`plan`]): a match becomes one `RunTask` request, fully rendered;
//! * **launch** ([`launch`]): the run is recorded, and what `RunTask` answers moves it on;
//! * **track** ([`track`]): what ECS says of the task moves it to its end.
//!
//! No I/O, no clock, no randomness, no async and no AWS SDK in here: whoever asks brings `now` along, and performs what
//! comes back (`taskferry-engine`). So every decision can be repeated, by a test as by a person with a log.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod chain;
mod digest;
pub mod ecs;
pub mod event;
pub mod failure;
pub mod launch;
pub mod lengths;
pub mod lifecycle;
pub mod limits;
#[doc(hidden)]
pub mod mutations;
pub mod pace;
pub mod plan;
mod reason;
pub mod retry;
pub mod route;
pub mod rules;
pub mod run;
pub mod schedule;
pub mod subject;
pub mod template;
pub mod track;
pub mod wiring;

pub use reason::reason;
