//! What the services themselves have to say: their warnings and errors, one line each, on standard error.
//!
//! Set up once, by `dev`, before anything starts. The steps of the functions are told by `steps`.

use std::{fmt, io};

use jiff::Zoned;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt::{format::Writer, time::FormatTime},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// The time as the steps have it.
struct LocalTime;

impl FormatTime for LocalTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", Zoned::now().strftime("%H:%M:%S%.3f"))
    }
}

/// Tells warnings and errors from here on.
pub(super) fn tell() {
    let lines = tracing_subscriber::fmt::layer()
        .with_timer(LocalTime)
        .with_target(false)
        .with_ansi(false)
        .with_writer(io::stderr)
        // It would panic where the reader of standard error has gone.
        .log_internal_errors(false);
    // Those of this program's own crates: others warn of what is dealt with.
    let own = Targets::new().with_target("taskferry", LevelFilter::WARN);
    tracing_subscriber::registry().with(lines.with_filter(own)).init();
}
