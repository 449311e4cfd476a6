//! What every HTTP driver shares: sending a request, timing it, and reading its answer.
//!
//! How a request looks and what its answer means is the [`Face`]'s affair. Called by drivers. Knows no
//! users and no schedule. A request goes out a second time only if nothing of it went out the first time,
//! because the peer had closed the connection while it waited.

mod connection;
pub mod external;
pub mod face;
mod gauge;
mod pool;
mod stream;
mod target;
pub mod tls;

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use rustix::io::Errno;

use self::connection::{Failure, Message, Unanswered};
use self::face::{Face, Meaning, Question};
pub use self::gauge::{Connections, Gauge};
use self::pool::Pool;
use self::target::Target;
use super::crowd::{Call, Caller};
use super::{DriverError, NO_DESCRIPTORS, NO_PORTS, TIMED_OUT, key_of};
use crate::clock::{Clock, Timestamp};
use crate::engine::data_type::PolicyTable;
use crate::engine::layer::{Layer, Operation, Outcome};
use crate::environment::external::field::HIDDEN;
use crate::measure::Sample;

/// How much of an error's text is read and shown, so that errors group well.
const ERROR_BODY_BYTES_MAX: usize = 256;
const ERROR_WORDS_MAX: usize = 8;

/// Who asks.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("cachestorm/", env!("CARGO_PKG_VERSION")));

/// Where requests go, and what they may take.
#[derive(Clone, Debug)]
pub struct HttpTargets {
    /// The base URLs of the service: `http://host:port`, or with a path before those of the requests;
    /// `https` as the face says.
    pub urls: Vec<String>,
    /// A request that takes longer in all is given up and counts as an error.
    pub request_timeout: Duration,
    /// How many connections may be open at once. A request for which there is none waits for one; that
    /// counts into its time.
    pub connections_max: usize,
}

/// Sends requests to instances, and times and reads the answers. Shared by all users, or by those of
/// one thread: nothing in it crosses threads unless its users do.
///
/// It must be used on the runtime on which it was used first, which drives its connections.
pub struct HttpCaller<F> {
    pool: Pool,
    face: F,
    policies: Arc<PolicyTable>,
    request_timeout: Duration,
    clock: Clock,
}

impl<F: Face> HttpCaller<F> {
    /// A caller with connections of its own, which it opens when it needs them.
    ///
    /// # Errors
    /// If one of the URLs is none that it can send to.
    pub fn new(
        face: F,
        policies: Arc<PolicyTable>,
        clock: Clock,
        to: &HttpTargets,
    ) -> Result<Self, DriverError> {
        let targets: Result<Vec<Target>, DriverError> = to
            .urls
            .iter()
            .map(|url| Target::parse(url, face.tls()))
            .collect();
        Ok(Self {
            pool: Pool::new(targets?, clock.clone(), to.connections_max),
            face,
            policies,
            request_timeout: to.request_timeout,
            clock,
        })
    }

    /// Counts its connections; can be read when the caller is gone, too.
    pub fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(self.pool.gauge())
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let question = self.face.question(call);
        let mut lease = self.pool.lease(call.instance).await?;
        let fields = lease.connection.take_fields();
        let target = &self.pool.targets()[call.instance];
        let message = message_of(target, question, fields)?;
        let response = match lease.connection.send(message).await {
            Ok(response) => response,
            // Closed while it waited: nothing was sent, so nothing is done twice.
            Err(Unanswered::Unsent(message)) if lease.used_before => {
                lease = self.pool.renew(call.instance, lease).await?;
                let again = lease.connection.send(*message).await;
                again.map_err(Unanswered::into_failure)?
            }
            Err(unanswered) => return Err(unanswered.into_failure()),
        };
        let (head, mut body) = response.into_parts();
        let meaning = self.face.meaning(call, head.status, &head.headers);
        let wanted = if head.status.is_success() {
            0
        } else {
            ERROR_BODY_BYTES_MAX
        };
        let beginning = lease.connection.read(&mut body, wanted).await?;
        let finished = self.clock.now();
        if lease.connection.is_reusable().await {
            lease.connection.keep_fields(head.headers);
            self.pool.put_back(call.instance, lease, finished);
        }
        let failed = meaning.outcome == Outcome::Error;
        Ok(Answer {
            meaning,
            finished,
            error: failed
                .then(|| status_text(head.status, &beginning, |word| self.face.gives_away(word))),
        })
    }
}

/// `question` as it is sent to `target`. `fields` is an empty map.
fn message_of(
    target: &Target,
    question: Question,
    mut fields: HeaderMap,
) -> Result<Message, Failure> {
    fields.insert(HOST, target.host.clone());
    fields.insert(USER_AGENT, AGENT);
    // Some servers refuse what may have a body but does not say that it has none.
    if question.body.is_empty() && matches!(question.method, Method::POST | Method::PUT) {
        fields.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    // What the question says itself is meant so.
    if !question.headers.is_empty() {
        for name in question.headers.keys() {
            fields.remove(name);
        }
        fields.extend(question.headers);
    }
    let mut message = Request::new(Full::new(question.body));
    *message.method_mut() = question.method;
    *message.uri_mut() = target.uri_of(question.target).map_err(Failure::Request)?;
    *message.headers_mut() = fields;
    Ok(message)
}

impl<F: Face> Caller for HttpCaller<F> {
    fn instances(&self) -> usize {
        self.pool.targets().len()
    }

    /// Sends `call` now, reads its answer to the last byte, and says what became of it. Takes no
    /// longer than the request timeout.
    async fn call(&self, call: Call<'_>) -> Sample {
        let operation = call.request.operation;
        let sent = self.clock.now();
        let exchange = self
            .clock
            .timeout(self.request_timeout, self.exchange(&call));
        let answer = match exchange.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => Answer::failed(failure_text(&failure), self.clock.now()),
            Err(_) => Answer::failed(TIMED_OUT.to_owned(), self.clock.now()),
        };
        let Meaning {
            outcome,
            layer,
            version,
        } = answer.meaning;
        let read = version
            .filter(|_| operation == Operation::Get && outcome != Outcome::Error)
            .map(|version| (key_of(&self.policies, call.request), version));
        Sample {
            phase: call.phase,
            user_kind: call.user_kind,
            data_type: call.request.data_type,
            operation,
            outcome,
            layer,
            intended_start: call.intended_start,
            waited: call.waited,
            sent,
            finished: answer.finished,
            read,
            error: answer.error,
        }
    }
}

/// What an exchange came to.
#[derive(Debug)]
struct Answer {
    meaning: Meaning,
    finished: Timestamp,
    error: Option<String>,
}

impl Answer {
    fn failed(error: String, finished: Timestamp) -> Self {
        Self {
            meaning: Meaning {
                outcome: Outcome::Error,
                layer: Layer::Origin,
                version: None,
            },
            finished,
            error: Some(error),
        }
    }
}

/// An error status and the first words of what came with it: `503 origin: pool exhausted`, but for those that
/// are `secret`.
fn status_text(status: StatusCode, body: &[u8], secret: impl Fn(&str) -> bool) -> String {
    let body = String::from_utf8_lossy(body);
    let line = body.lines().next().unwrap_or_default();
    line.split_whitespace().take(ERROR_WORDS_MAX).fold(
        status.as_str().to_owned(),
        |mut text, word| {
            text.push(' ');
            text.push_str(if secret(word) { HIDDEN } else { word });
            text
        },
    )
}

/// What went wrong below HTTP, in words that group well.
fn failure_text(failure: &Failure) -> String {
    match failure {
        Failure::Closed => return "connection reset".to_owned(),
        // The peer hung up in the middle.
        Failure::Exchange(error) if error.is_incomplete_message() => {
            return "connection reset".to_owned();
        }
        Failure::Handshake(error) => return tls::failure_text(error),
        _ => {}
    }
    let mut innermost = failure.to_string();
    let mut cause = failure.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            if tls::is_of_tls(error) {
                return tls::failure_text(error);
            }
            if let Some(text) = io_text(error) {
                return text.to_owned();
            }
        }
        innermost = error.to_string();
        cause = error.source();
    }
    let words: Vec<&str> = innermost.split_whitespace().take(ERROR_WORDS_MAX).collect();
    format!("request failed: {}", words.join(" "))
}

fn io_text(error: &io::Error) -> Option<&'static str> {
    if let Some(Errno::MFILE | Errno::NFILE) = Errno::from_io_error(error) {
        return Some(NO_DESCRIPTORS);
    }
    match error.kind() {
        ErrorKind::AddrNotAvailable => Some(NO_PORTS),
        ErrorKind::ConnectionRefused => Some("connection refused"),
        ErrorKind::TimedOut => Some(TIMED_OUT),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => Some("connection reset"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
