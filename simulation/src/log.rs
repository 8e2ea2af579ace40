//! The log of the engine, as an oracle reads it: nothing that is in an event or in a task's environment may stand there.
//!
//! Each line is looked through as it is written, and kept nowhere.

use std::{cell::RefCell, fmt, sync::Once};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::{faults::Coverage, promises::Oracle, scenario::SECRET, world::World};

/// What was read on this thread since a world was last judged.
#[derive(Debug, Default)]
struct Read {
    lines: u64,
    leaked: Option<String>,
    text: String,
}

thread_local! {
    static READ: RefCell<Read> = RefCell::default();
}

/// Reads the log from now on.
pub(crate) fn listen() {
    static LISTENS: Once = Once::new();
    LISTENS.call_once(|| {
        // Where somebody listens already, it is this.
        tracing::subscriber::set_global_default(Reader).unwrap_or_default();
    });
    READ.with_borrow_mut(|read| *read = Read::default());
}

impl World {
    /// What was logged so far tells no secret.
    pub(crate) fn judge_log(&mut self) {
        let (lines, leaked) = READ.with_borrow_mut(|read| (read.lines, read.leaked.take()));
        if lines > 0 {
            Coverage::asked(&mut self.coverage, Oracle::NothingSecretIsLogged);
        }
        if let Some(line) = leaked {
            self.broken(Oracle::NothingSecretIsLogged, || line);
        }
    }
}

struct Reader;

impl Subscriber for Reader {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        READ.with_borrow_mut(|read| {
            read.lines += 1;
            event.record(&mut Look { read });
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Look<'a> {
    read: &'a mut Read,
}

impl Visit for Look<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if value.contains(SECRET) {
            self.read.leaked = Some(format!("the log has `{}={value}`", field.name()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write as _;
        let mut text = std::mem::take(&mut self.read.text);
        text.clear();
        write!(text, "{value:?}").unwrap_or_default();
        self.record_str(field, &text);
        self.read.text = text;
    }

    fn record_u64(&mut self, _: &Field, _: u64) {}

    fn record_i64(&mut self, _: &Field, _: i64) {}

    fn record_bool(&mut self, _: &Field, _: bool) {}
}
