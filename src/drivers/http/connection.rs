//! One HTTP/1.1 connection, and one exchange on it.
//!
//! The connection is driven by whoever waits for its answer, in the same task: no other task has to be
//! woken for a request or its answer. Whoever gives up waiting drops the connection, which closes it.
//!
//! Used by the pool and the HTTP caller. Knows no time limits: who calls it bounds the wait.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::gauge::Open;
use super::stream::Stream;
use super::target::{Address, Target};
use crate::clock::Timestamp;

/// A request as it goes over a connection.
pub(super) type Message = Request<Full<Bytes>>;

/// What went wrong below HTTP's meaning.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No connection could be made.
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    /// TLS was not agreed on.
    #[error("no TLS: {0}")]
    Handshake(#[source] io::Error),
    /// The exchange broke.
    #[error("{0}")]
    Exchange(#[source] hyper::Error),
    /// The request cannot be sent as it is.
    #[error("{0}")]
    Request(#[source] http::Error),
    /// The peer hung up.
    #[error("the connection was closed")]
    Closed,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// Not a byte of the request was sent; here it is.
    Unsent(Box<Message>),
    /// It may have been carried out.
    Failed(Failure),
}

impl Unanswered {
    /// It is not sent again.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Unsent(_) => Failure::Closed,
            Self::Failed(failure) => failure,
        }
    }
}

/// An open connection that waits for a request.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: http1::Connection<TokioIo<Stream>, Full<Bytes>>,
    /// The driver has ended: the connection is closed, but what was read can still be had.
    over: bool,
    /// Since when it waits.
    pub(super) idle_since: Timestamp,
    /// Space for the next request's fields.
    fields: HeaderMap,
    _open: Open,
}

impl Connection {
    /// Connects to `target`, as one of those that `open` counts.
    pub(super) async fn open(target: &Target, open: Open) -> Result<Self, Failure> {
        let stream = match &target.address {
            Address::Known(address) => TcpStream::connect(address).await,
            Address::Named(name, port) => TcpStream::connect((name.as_str(), *port)).await,
        };
        let stream = stream.map_err(Failure::Connect)?;
        stream.set_nodelay(true).map_err(Failure::Connect)?;
        let stream = match &target.tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let secured = tls.handshake(stream).await.map_err(Failure::Handshake)?;
                Stream::Tls(Box::new(secured))
            }
        };
        let (sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(Failure::Exchange)?;
        open.opened();
        Ok(Self {
            sender,
            driver,
            over: false,
            idle_since: Timestamp::EPOCH,
            fields: HeaderMap::new(),
            _open: open,
        })
    }

    /// An empty map for the fields of the next request, which need not grow.
    pub(super) fn take_fields(&mut self) -> HeaderMap {
        std::mem::take(&mut self.fields)
    }

    /// Whether the peer has kept it open while it waited, as far as is known.
    pub(super) async fn is_alive(&mut self) -> bool {
        poll_fn(|context| {
            self.drive(context);
            Poll::Ready(!self.over)
        })
        .await
    }

    /// Whether it can take another request.
    pub(super) async fn is_reusable(&mut self) -> bool {
        if !self.over && !self.sender.is_ready() {
            // The last answer may not have been put away yet.
            self.is_alive().await;
        }
        !self.over && self.sender.is_ready()
    }

    /// Sends `message`; gives the answer once its fields have been read.
    pub(super) async fn send(
        &mut self,
        message: Message,
    ) -> Result<Response<Incoming>, Unanswered> {
        let mut answer = pin!(self.sender.try_send_request(message));
        poll_fn(|context| {
            if !self.over {
                self.over = Pin::new(&mut self.driver).poll(context).is_ready();
            }
            match answer.as_mut().poll(context) {
                Poll::Ready(answer) => {
                    Poll::Ready(answer.map_err(|mut error| match error.take_message() {
                        Some(message) => Unanswered::Unsent(Box::new(message)),
                        None => Unanswered::Failed(Failure::Exchange(error.into_error())),
                    }))
                }
                Poll::Pending if self.over => Poll::Ready(Err(Unanswered::Failed(Failure::Closed))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Reads an answer's body to its end and keeps its first `wanted` bytes.
    pub(super) async fn read(
        &mut self,
        body: &mut Incoming,
        wanted: usize,
    ) -> Result<Vec<u8>, Failure> {
        let mut beginning = vec![];
        while !body.is_end_stream() {
            let frame = poll_fn(|context| {
                // The body first, so that the driver knows that somebody waits for it.
                let mut frame = Pin::new(&mut *body).poll_frame(context);
                if frame.is_pending() {
                    self.drive(context);
                    frame = Pin::new(&mut *body).poll_frame(context);
                }
                let frame = frame.map_err(Failure::Exchange);
                if frame.is_pending() && self.over {
                    return Poll::Ready(Some(Err(Failure::Closed)));
                }
                frame
            });
            match frame.await {
                None => break,
                Some(Err(error)) => return Err(error),
                Some(Ok(frame)) => {
                    if let Some(chunk) = frame.data_ref() {
                        let missing = wanted - beginning.len();
                        beginning.extend_from_slice(&chunk[..chunk.len().min(missing)]);
                    }
                }
            }
        }
        Ok(beginning)
    }

    /// Keeps the space of an answer's fields for the next request.
    pub(super) fn keep_fields(&mut self, mut fields: HeaderMap) {
        fields.clear();
        self.fields = fields;
    }

    fn drive(&mut self, context: &mut Context<'_>) {
        // Its error is the answer's, too, if somebody waits for one.
        self.over = self.over || Pin::new(&mut self.driver).poll(context).is_ready();
    }
}
