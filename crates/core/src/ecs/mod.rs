//! ECS's requests as types: `RunTask` for a rule's `target`, and
//! `RegisterTaskDefinition` for the definitions that a project owns.
//!
//! `rules` derives the schema of the rules file from them, so names and spelling
//! are AWS's own. Reading is lenient (what AWS adds one day is ignored), the
//! schema is strict (what a person misspells is a fault). They never stand
//! between a rule and ECS: what is sent is the JSON that the rule says.

mod container_definition;
pub mod fargate;
mod run_task;
mod shapes;
mod task_definition;
mod templated;

pub use self::{
    container_definition::*, run_task::*, shapes::*, task_definition::*, templated::Templated,
};
