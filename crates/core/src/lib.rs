//! stub

pub mod ecs;
pub mod rules;
pub mod template;
