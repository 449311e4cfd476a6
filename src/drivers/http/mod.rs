//! What every HTTP driver shares: sending a request, timing it, and reading its answer.
//!
//! How a request looks and what its answer means is the [`Face`]'s affair. Called by drivers. Knows no
//! users and no schedule, and retries nothing.

pub mod face;

use std::error::Error as _;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use reqwest::{Client, Response};

use self::face::{Face, Meaning};
use super::crowd::{Call, Caller};
use super::{DriverError, TIMED_OUT, key_of};
use crate::clock::Clock;
use crate::engine::data_type::PolicyTable;
use crate::engine::layer::{Layer, Operation, Outcome};
use crate::measure::Sample;

/// Servers close idle connections after 5 s, and a request on one that is just being closed
/// fails. So ours are closed before.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// How much of an error's text is read and shown, so that errors group well.
const ERROR_BODY_BYTES_MAX: usize = 256;
const ERROR_WORDS_MAX: usize = 8;

/// Sends requests to instances, and times and reads the answers. Shared by all users.
pub struct HttpCaller<F> {
    client: Client,
    face: F,
    policies: Arc<PolicyTable>,
    request_timeout: Duration,
    clock: Clock,
    targets: Vec<String>,
}

impl<F: Face> HttpCaller<F> {
    /// A caller with a connection pool of its own. A request that takes longer than
    /// `request_timeout` in all is given up and counts as an error. `targets` are the base URLs of
    /// the service, without a slash at the end.
    pub fn new(
        face: F,
        policies: Arc<PolicyTable>,
        request_timeout: Duration,
        clock: Clock,
        targets: Vec<String>,
    ) -> Result<Self, DriverError> {
        let client = Client::builder()
            .user_agent(concat!("cachestorm/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            // Instances stand on this machine, and what they send is measured as they send it.
            .no_proxy()
            .no_gzip()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE_MAX)
            .build()
            .map_err(DriverError::Client)?;
        Ok(Self {
            client,
            face,
            policies,
            request_timeout,
            clock,
            targets,
        })
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<Answer, reqwest::Error> {
        let question = self.face.question(call);
        let url = format!("{}{}", self.targets[call.instance], question.target);
        let mut request = self.client.request(question.method, url);
        if !question.headers.is_empty() {
            request = request.headers(question.headers);
        }
        if !question.body.is_empty() {
            request = request.body(question.body);
        }
        let mut response = request.send().await?;
        let status = response.status();
        let meaning = self.face.meaning(call, status, response.headers());
        let body = read_to_end(&mut response).await?;
        Ok(Answer {
            meaning,
            error: (meaning.outcome == Outcome::Error).then(|| status_text(status, &body)),
        })
    }
}

impl<F: Face> Caller for HttpCaller<F> {
    fn instances(&self) -> usize {
        self.targets.len()
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
            Ok(Err(error)) => Answer::failed(failure_text(&error)),
            Err(_) => Answer::failed(TIMED_OUT.to_owned()),
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
            data_type: call.request.data_type,
            operation,
            outcome,
            layer,
            intended_start: call.intended_start,
            waited: call.waited,
            sent,
            finished: self.clock.now(),
            read,
            error: answer.error,
        }
    }
}

/// What an exchange came to.
#[derive(Debug)]
struct Answer {
    meaning: Meaning,
    error: Option<String>,
}

impl Answer {
    fn failed(error: String) -> Self {
        Self {
            meaning: Meaning {
                outcome: Outcome::Error,
                layer: Layer::Origin,
                version: None,
            },
            error: Some(error),
        }
    }
}

/// Reads the whole body and keeps its beginning.
async fn read_to_end(response: &mut Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut beginning = vec![];
    let wanted = if response.status().is_success() {
        0
    } else {
        ERROR_BODY_BYTES_MAX
    };
    while let Some(chunk) = response.chunk().await? {
        let missing = wanted - beginning.len();
        beginning.extend_from_slice(&chunk[..chunk.len().min(missing)]);
    }
    Ok(beginning)
}

/// An error status and the first words of what came with it: `503 origin: pool exhausted`.
fn status_text(status: StatusCode, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let line = body.lines().next().unwrap_or_default();
    line.split_whitespace().take(ERROR_WORDS_MAX).fold(
        status.as_str().to_owned(),
        |mut text, word| {
            text.push(' ');
            text.push_str(word);
            text
        },
    )
}

/// What went wrong below HTTP, in words that group well.
fn failure_text(error: &reqwest::Error) -> String {
    let mut innermost = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let kind = error
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        innermost = error.to_string();
        match kind {
            Some(ErrorKind::ConnectionRefused) => return "connection refused".to_owned(),
            Some(ErrorKind::TimedOut) => return TIMED_OUT.to_owned(),
            Some(
                ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof,
            ) => return "connection reset".to_owned(),
            _ => {}
        }
        // The text of the HTTP library for a peer that hangs up in the middle.
        if innermost.contains("connection closed before message completed") {
            return "connection reset".to_owned();
        }
        cause = error.source();
    }
    if error.is_timeout() {
        return TIMED_OUT.to_owned();
    }
    let words: Vec<&str> = innermost.split_whitespace().take(ERROR_WORDS_MAX).collect();
    format!("request failed: {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_first_words_only() {
        let text = |body: &[u8]| status_text(StatusCode::GATEWAY_TIMEOUT, body);
        insta::assert_snapshot!(text(b""), @"504");
        insta::assert_snapshot!(text(b"origin:  no answer\nat all"), @"504 origin: no answer");
        insta::assert_snapshot!(text(b"a b c d e f g h i j"), @"504 a b c d e f g h");
        insta::assert_snapshot!(text(b"\xff\xfe"), @"504 ��");
    }
}
