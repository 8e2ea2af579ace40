//! Time that passes when nobody can go on without it.

use std::{
    collections::BTreeMap,
    future::{self, Future},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use jiff::Timestamp;
use taskferry_engine::ports::Clock;

/// The clock of a simulated world; all its clones show the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimulatedTime(Arc<Mutex<Hands>>);

#[derive(Debug, Default)]
struct Hands {
    now: Timestamp,
    sleepers: BTreeMap<Timestamp, Vec<Waker>>,
}

/// Whether whoever is polled can go on at once.
#[derive(Debug, Default)]
struct CanGoOn(AtomicBool);

impl Wake for CanGoOn {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl SimulatedTime {
    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs to the end of `work`. Whenever it waits for time alone, the time that it waits for comes.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let can_go_on = Arc::new(CanGoOn::default());
        let waker = Waker::from(Arc::clone(&can_go_on));
        let mut work = pin!(work);
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
                return done;
            }
            if can_go_on.0.swap(false, Ordering::Relaxed) {
                continue;
            }
            let mut hands = self.hands();
            let (time, sleepers) =
                hands.sleepers.pop_first().expect("whoever cannot go on waits for a time");
            hands.now = hands.now.max(time);
            drop(hands);
            sleepers.into_iter().for_each(Waker::wake);
            can_go_on.0.store(false, Ordering::Relaxed);
        }
    }
}

impl Clock for SimulatedTime {
    fn now(&self) -> Timestamp {
        self.hands().now
    }

    async fn sleep_until(&self, time: Timestamp) {
        future::poll_fn(|context| {
            let mut hands = self.hands();
            if hands.now >= time {
                return Poll::Ready(());
            }
            hands.sleepers.entry(time).or_default().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
