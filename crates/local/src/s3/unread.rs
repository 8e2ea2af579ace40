//! What became of a request's body: how it broke, and what a refused one still holds.
//!
//! `door` asks afterwards. What is left is taken in before the answer goes out, within limits: a client that sends its body
//! without waiting loses the answer, and with it the reason, if the connection is closed under it. And `s3s` takes a body of
//! XML that broke off for a fault of its own.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream},
    http::Request,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt as _};
use s3s::S3Error;
use tokio::sync::oneshot;

use super::fault::broken_body;

/// How much is taken in for the sake of an answer.
const DRAIN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a client may take to send it.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// A body that comes back if it is dropped before its end.
struct Kept {
    body: Option<BodyDataStream>,
    back: Option<oneshot::Sender<BodyDataStream>>,
}

/// Where the body comes back.
pub(super) struct Unread(oneshot::Receiver<BodyDataStream>);

/// A request whose body, if it is dropped before its end, can still be drained.
pub(super) fn keep(request: Request<Body>) -> (Request<Body>, Unread) {
    let (back, unread) = oneshot::channel();
    let request = request.map(|body| {
        let body = Some(body.into_data_stream());
        Body::from_stream(Kept { body, back: Some(back) })
    });
    (request, Unread(unread))
}

/// How a body broke, if it did.
#[derive(Clone, Debug, Default)]
pub(super) struct Break(Arc<Mutex<Option<S3Error>>>);

impl Break {
    /// The body; where it breaks it is noted here.
    pub(super) fn watch(&self, body: Body) -> Body {
        let noted = self.clone();
        Body::from_stream(body.into_data_stream().inspect_err(move |error| {
            noted.lock().get_or_insert_with(|| broken_body(error).into());
        }))
    }

    /// What the client is told of it.
    pub(super) fn take(&self) -> Option<S3Error> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<S3Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unread {
    /// Takes in what is left of the body.
    pub(super) async fn drain(mut self) {
        let Ok(mut body) = self.0.try_recv() else { return };
        let drained = async {
            let mut taken = 0;
            while taken < DRAIN_BYTES_MAX
                && let Some(Ok(bytes)) = body.next().await
            {
                taken += bytes.len();
            }
        };
        // A client that is slower than that is not waited for.
        drop(tokio::time::timeout(DRAIN_TIME_MAX, drained).await);
    }
}

impl Stream for Kept {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = body.poll_next_unpin(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // Nobody waits for it any more if the request itself was dropped.
            drop(back.send(body));
        }
    }
}
