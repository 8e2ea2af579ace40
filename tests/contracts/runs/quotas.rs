//! Quotas: launches of a window, shared by all who ask.

use std::sync::Arc;

use jiff::SignedDuration;
use taskferry_core::pace::{Bucket, Window};
use taskferry_engine::ports::Runs as _;

use super::{Store, at, crowd};

/// A window in another century: a store may forget those that are past.
fn window(second: i64, tokens: u32) -> Window {
    let begin = at(3_200_000_000 + second);
    Window { bucket: Bucket::Fargate, begin, end: begin + SignedDuration::from_secs(1), tokens }
}

pub(crate) async fn a_window_has_so_many_launches(store: Arc<impl Store>) {
    let (one, other) = (window(0, 2), window(1, 2));
    for window in [one, other] {
        for expected in [true, true, false, false] {
            assert_eq!(store.runs().take_token(&window).await.unwrap(), expected);
        }
    }
}

pub(crate) async fn a_bucket_s_windows_are_its_own(store: Arc<impl Store>) {
    let launches = window(10, 1);
    let reads = Window { bucket: Bucket::Read, ..launches };
    assert!(store.runs().take_token(&launches).await.unwrap());
    store.runs().close_window(&launches).await.unwrap();
    assert!(store.runs().take_token(&reads).await.unwrap());
    assert!(!store.runs().take_token(&reads).await.unwrap());
}

pub(crate) async fn a_closed_window_has_none(store: Arc<impl Store>) {
    let (unused, used) = (window(0, 2), window(1, 2));
    store.runs().take_token(&used).await.unwrap();
    for window in [unused, used] {
        store.runs().close_window(&window).await.unwrap();
        assert!(!store.runs().take_token(&window).await.unwrap());
    }
    assert!(store.runs().take_token(&window(2, 2)).await.unwrap());
}

pub(crate) async fn a_crowd_takes_no_launch_twice(store: Arc<impl Store>) {
    let taken = crowd(&store, 32, |store, _| async move {
        store.runs().take_token(&window(0, 10)).await.unwrap()
    })
    .await;
    assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 10);
}
