//! Whether a call of ECS fits into the account's quotas now.
//!
//! Asked before each `RunTask`, and in a sweep, where they come by the hundred, before calls that read or stop tasks. What
//! is shared by all processes are the windows of `core::pace`, kept by the store; what is kept here is whether this process
//! needs to ask.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use jiff::Timestamp;
use taskferry_core::{
    is_mutated,
    launch::Gate,
    pace::{self, Bucket, Quotas, Window},
};

use crate::{
    Engine, Error,
    advance::Patience,
    ports::{self, Clock as _, Ports, Runs as _},
};

/// What a process knows of its own calls.
#[derive(Debug)]
pub(crate) struct Pacer {
    quotas: Option<Quotas>,
    seen: Mutex<[Seen; Bucket::ALL.len()]>,
    /// Whether a run was told to wait, or throttled, since that was last asked.
    has_held_up: AtomicBool,
}

#[derive(Debug, Default)]
struct Seen {
    /// Its last call.
    called_at: Option<Timestamp>,
    /// Until when it asks before each.
    busy_until: Option<Timestamp>,
    /// Tokens of this window that it took and did not use.
    spare: Option<(Window, u32)>,
}

/// Room for a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Room {
    /// There is; the window that the token is of, if one was taken.
    Free(Option<Window>),
    /// Not before then.
    Full {
        /// When.
        until: Timestamp,
    },
}

impl Room {
    /// What that means for a launch.
    pub(crate) fn gate(&self) -> Gate {
        match *self {
            Self::Free(_) => Gate::Open,
            Self::Full { until } => Gate::Closed { until },
        }
    }
}

impl Pacer {
    pub(crate) fn new(quotas: Quotas) -> Self {
        Self { quotas: Some(quotas), seen: Mutex::default(), has_held_up: AtomicBool::default() }
    }

    pub(crate) fn unpaced() -> Self {
        Self { quotas: None, seen: Mutex::default(), has_held_up: AtomicBool::default() }
    }

    fn seen<T>(&self, bucket: Bucket, look: impl FnOnce(&mut Seen) -> T) -> T {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut seen[bucket as usize])
    }

    /// Whether a call now is one of so few that nobody need be asked; it counts as made.
    fn is_calm(&self, bucket: Bucket, now: Timestamp) -> bool {
        self.seen(bucket, |seen| {
            let rested = seen.called_at.is_none_or(|at| now.duration_since(at) >= pace::CALM);
            seen.called_at = Some(now);
            (rested || is_mutated!(CalmForEver)) && seen.busy_until.is_none_or(|until| until <= now)
        })
    }

    /// Whether a token of this window is left that was taken and not used; it is used now.
    fn uses_spare(&self, window: &Window) -> bool {
        self.seen(window.bucket, |seen| match &mut seen.spare {
            Some((of, count)) if of == window && *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        })
    }

    /// A token that was taken was not used: another was faster. Sweeps at the same time meet at each run, and would use up
    /// several times what they launch.
    pub(crate) fn give_back(&self, window: Window) {
        self.seen(window.bucket, |seen| {
            let count = seen.spare.map_or(0, |(of, count)| if of == window { count } else { 0 });
            seen.spare = Some((window, count + 1));
        });
    }

    /// From now on it asks before each call, for a while.
    fn stay_alert(&self, bucket: Bucket, now: Timestamp) {
        self.has_held_up.store(true, Ordering::Relaxed);
        self.seen(bucket, |seen| seen.busy_until = now.checked_add(pace::BUSY).ok());
    }

    /// Whether a call was held up since this was last asked.
    pub(crate) fn has_held_up(&self) -> bool {
        self.has_held_up.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn window(&self, bucket: Bucket, now: Timestamp) -> Option<Window> {
        self.quotas.as_ref().map(|quotas| pace::window(quotas, bucket, now))
    }
}

impl<P: Ports> Engine<P> {
    /// Whether a call fits into its quota now; if so, it counts as made.
    pub(crate) async fn room(&self, bucket: Bucket) -> Result<Room, Error> {
        if is_mutated!(PacingForgotten) {
            return Ok(Room::Free(None));
        }
        let now = self.ports.clock().now();
        let window = self.pacer.window(bucket, now);
        let Some(window) = window.filter(|_| !self.pacer.is_calm(bucket, now)) else {
            return Ok(Room::Free(None));
        };
        if self.pacer.uses_spare(&window) || self.ports.runs().take_token(&window).await? {
            return Ok(Room::Free(Some(window)));
        }
        self.pacer.stay_alert(bucket, now);
        Ok(Room::Full { until: window.end })
    }

    /// The same, waiting for it as long as there is patience.
    pub(crate) async fn room_in_time(
        &self,
        bucket: Bucket,
        patience: Patience,
    ) -> Result<Room, Error> {
        loop {
            match (self.room(bucket).await?, patience) {
                (Room::Full { until }, Patience::Until(last)) if until <= last => {
                    self.ports.clock().sleep_until(until).await;
                }
                (room, _) => return Ok(room),
            }
        }
    }

    /// Whether a call that reads or stops tasks may be made, waiting for room as long as there is patience.
    ///
    /// Only a sweep has patience, and only there do these calls come by the hundred. Elsewhere each belongs to one event or
    /// one person's word, and there are no more of them than there were launches: they are not asked about, so that
    /// nothing that is told once is put off.
    pub(crate) async fn may_call(&self, bucket: Bucket, patience: Patience) -> Result<bool, Error> {
        match patience {
            Patience::None => Ok(true),
            Patience::Until(_) => {
                Ok(matches!(self.room_in_time(bucket, patience).await?, Room::Free(_)))
            }
        }
    }

    /// What a call that reads or stops tasks came to; if it was throttled, the others are told.
    pub(crate) async fn heard<T>(
        &self,
        bucket: Bucket,
        answer: Result<T, ports::Error>,
    ) -> Result<T, Error> {
        if let Err(ports::Error::Throttled { .. }) = &answer {
            self.throttled(bucket).await?;
        }
        Ok(answer?)
    }

    /// AWS throttled a call: the quota is smaller than was thought, or others use it too. This window is over, and the next
    /// with it.
    pub(crate) async fn throttled(&self, bucket: Bucket) -> Result<(), Error> {
        let now = self.ports.clock().now();
        self.pacer.stay_alert(bucket, now);
        let Some(window) = self.pacer.window(bucket, now) else { return Ok(()) };
        self.ports.runs().close_window(&window).await?;
        if let Some(next) = self.pacer.window(bucket, window.end) {
            self.ports.runs().close_window(&next).await?;
        }
        Ok(())
    }
}
