//! What a rule on a schedule says: when, with which input, and what is done about times that were missed.
//!
//! What an expression means is `crate::schedule`'s to say; the event of a firing is made in `event::schedule`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    file::{self, FlexibleTimeWindowMode},
    input::Input,
    on,
};
use crate::schedule::{Schedule, ZONE_DEFAULT, in_aws_form};

/// A rule's schedule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OnSchedule {
    /// When it fires.
    pub schedule: Schedule,
    /// The expression as the rule has it: perhaps a short form of what `schedule` has.
    pub written: String,
    /// Within how many minutes of its time AWS may choose when it fires, if the rule lets it.
    pub window_minutes: Option<u32>,
    /// What its events carry as `detail.input`.
    pub input: Option<Input>,
    /// What becomes of the times that came while nothing ran.
    pub missed: Missed,
}

/// What becomes of the times that came while the local mode was down, or the machine asleep.
///
/// On AWS nothing is missed so.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Missed {
    /// No task is started for them: one run, skipped, says how many they were.
    #[default]
    Skip,
    /// One task is started, for the last of them.
    Once,
}

impl OnSchedule {
    pub(super) fn compile(written: &str, raw: &file::On) -> Result<Self, on::Error> {
        let zone = raw.timezone.as_deref().unwrap_or(ZONE_DEFAULT);
        let schedule = Schedule::parse(&in_aws_form(written)?, zone)?;
        let window_minutes = match &raw.flexible_time_window {
            None => None,
            Some(window) => match (window.mode, window.maximum_window_in_minutes) {
                (FlexibleTimeWindowMode::Off, None) => None,
                (FlexibleTimeWindowMode::Flexible, Some(minutes @ 1..=1440)) => Some(minutes),
                (FlexibleTimeWindowMode::Off | FlexibleTimeWindowMode::Flexible, _) => {
                    return Err(on::Error::FlexibleWindow);
                }
            },
        };
        let input = raw.input.as_deref().map(Input::compile).transpose();
        Ok(Self {
            schedule: schedule.between(on::time(raw.start.as_ref())?, on::time(raw.end.as_ref())?),
            written: written.to_owned(),
            window_minutes,
            input: input.map_err(|error| on::Error::Input(error.into()))?,
            missed: raw.missed.unwrap_or_default(),
        })
    }
}
