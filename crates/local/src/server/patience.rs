//! How long a client is waited for, once it has begun: with what it sends, and with what it is sent.
//!
//! `server` puts one around each connection and each body. A client that is slow and goes on is never hurried; what it
//! asked for is not timed here either, since a long poll is an answer that waits.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// In which time a client has to send [`BYTES_MIN`] more of a body, or its rest.
const SEND_WAIT: Duration = Duration::from_mins(1);

/// What counts as going on: less, again and again, is no upload but a connection that is being held.
const BYTES_MIN: usize = 1024;

/// In which time a client has to take something of its answer, be it held by a program that works on what it has got.
const TAKE_WAIT: Duration = Duration::from_mins(10);

/// A client that stopped in the middle of a body.
#[derive(Debug, thiserror::Error)]
#[error("nothing more of the body came for {} seconds", SEND_WAIT.as_secs())]
pub(crate) struct Stalled;

/// A wait that begins with the first time that there is nothing, and ends when it is dropped.
#[derive(Debug, Default)]
struct Wait(Option<Pin<Box<Sleep>>>);

impl Wait {
    /// Whether it was too long.
    fn poll(&mut self, most: Duration, context: &mut Context<'_>) -> Poll<()> {
        self.0.get_or_insert_with(|| Box::pin(sleep(most))).as_mut().poll(context)
    }
}

/// A body that ends with an error where it stalls.
#[derive(Debug)]
pub(super) struct PatientBody<B> {
    body: B,
    wait: Wait,
    /// How much came since the wait began.
    came: usize,
}

impl<B> PatientBody<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, wait: Wait::default(), came: 0 }
    }
}

impl<B> Body for PatientBody<B>
where
    B: Body<Data = Bytes, Error: Into<axum::BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            ready!(this.wait.poll(SEND_WAIT, context));
            return Poll::Ready(Some(Err(Stalled.into())));
        };
        if let Some(Ok(frame)) = &frame {
            this.came += frame.data_ref().map_or(0, Bytes::len);
        }
        if this.came >= BYTES_MIN {
            (this.came, this.wait) = (0, Wait::default());
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that breaks where the client takes nothing of what it is sent.
#[derive(Debug)]
pub(super) struct PatientStream<S> {
    stream: S,
    wait: Wait,
}

impl<S> PatientStream<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, wait: Wait::default() }
    }

    fn taken<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.wait = Wait::default();
            return written;
        }
        ready!(self.wait.poll(TAKE_WAIT, context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing more")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PatientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PatientStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.taken(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.taken(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.taken(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::Instant,
    };

    use super::*;

    /// A body of pieces of this length, one every so often; after the last there is nothing, and no end.
    fn pieces(
        count: usize,
        length: usize,
        every: Duration,
    ) -> impl Body<Data = Bytes, Error = io::Error> + Unpin {
        let pieces = stream::unfold(0, move |index| {
            Box::pin(async move {
                if index == count {
                    std::future::pending::<()>().await;
                }
                sleep(every).await;
                Some((Ok(Frame::data(vec![0; length].into())), index + 1))
            })
        });
        StreamBody::new(pieces.boxed())
    }

    /// How much of a body comes before it stalls, and when it has.
    async fn until_stalled(
        body: impl Body<Data = Bytes, Error = io::Error> + Unpin,
    ) -> (usize, Duration) {
        let began = Instant::now();
        let mut body = PatientBody::new(body);
        let mut came = 0;
        loop {
            match body.frame().await.unwrap() {
                Ok(frame) => came += frame.into_data().unwrap().len(),
                Err(error) => {
                    assert!(error.is::<Stalled>());
                    return (came, began.elapsed());
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_goes_on_is_waited_for_and_one_that_stalls_is_not() {
        // An hour of two kilobytes a minute, less a moment.
        let every = SEND_WAIT.checked_sub(Duration::from_secs(1)).unwrap();
        let (came, after) = until_stalled(pieces(60, 2 * BYTES_MIN, every)).await;
        assert_eq!((came, after), (120 * BYTES_MIN, 60 * every + SEND_WAIT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_no_upload() {
        let (came, after) = until_stalled(pieces(usize::MAX, 1, Duration::from_secs(7))).await;
        assert_eq!((came, after), (8, SEND_WAIT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_more_is_left() {
        let (client, server) = duplex(16);
        let mut server = PatientStream::new(server);
        let began = Instant::now();
        let error = server.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed()), (io::ErrorKind::TimedOut, TAKE_WAIT));
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_little_at_a_time_gets_all() {
        let (mut client, server) = duplex(16);
        let mut server = PatientStream::new(server);
        let taking = async {
            for _ in 0..64 {
                sleep(TAKE_WAIT.checked_sub(Duration::from_secs(1)).unwrap()).await;
                client.read_exact(&mut [0; 16]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(server.write_all(&[0; 1024]), taking);
        written.unwrap();
    }
}
