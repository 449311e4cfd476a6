//! What every HTTP driver shares: the path of a request, sending it, and what its answer means.
//!
//! The protocol of an instance: `GET`, `PUT` or `DELETE /{data_type}/{param}/{param}…` for get,
//! put and invalidate, `POST` for admit. It answers 200 with a value, 404 for a row that does not
//! exist, 204 for what has no value, 429 for a refused arrival, and anything else as an error
//! with a line of text. `Cache-Status` says who answered, `ETag` the version.
//!
//! Called by drivers. Knows no users and no schedule, and retries nothing.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ETAG, HeaderMap, HeaderName};
use reqwest::{Client, Method, Response, StatusCode};

use super::crowd::{Call, Caller};
use super::{DriverError, TIMED_OUT, key_of};
use crate::clock::Clock;
use crate::engine::data_type::PolicyTable;
use crate::engine::layer::{Layer, Operation, Outcome, Version};
use crate::environment::cache_status;
use crate::measure::Sample;
use crate::units::ByteSize;
use crate::workload::Request;
use crate::workload::value::value;

/// The field that says who answered.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Servers close idle connections after 5 s, and a request on one that is just being closed
/// fails. So ours are closed before.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// How much of an error's text is read and shown, so that errors group well.
const ERROR_BODY_BYTES_MAX: usize = 256;
const ERROR_WORDS_MAX: usize = 8;

/// Sends requests to instances, and times and reads the answers. Shared by all users.
#[derive(Debug)]
pub struct HttpCaller {
    client: Client,
    policies: Arc<PolicyTable>,
    value_sizes: Vec<ByteSize>,
    request_timeout: Duration,
    clock: Clock,
    targets: Vec<String>,
}

impl HttpCaller {
    /// A caller with a connection pool of its own. `value_sizes` gives the size of the values to
    /// write, in the order of `policies`; a data type without one gets empty values. A request
    /// that takes longer than `request_timeout` in all is given up and counts as an error. `targets`
    /// are the base URLs of the instances, without a slash at the end.
    pub fn new(
        policies: Arc<PolicyTable>,
        value_sizes: Vec<ByteSize>,
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
            policies,
            value_sizes,
            request_timeout,
            clock,
            targets,
        })
    }

    async fn exchange(&self, call: Call<'_>) -> Result<Answer, reqwest::Error> {
        let operation = call.request.operation;
        let url = format!(
            "{}{}",
            self.targets[call.instance],
            build_path(&self.policies, call.request)
        );
        let mut request = self.client.request(method_of(operation), url);
        if operation == Operation::Put {
            let size = self.value_sizes.get(call.request.data_type.index());
            let size = size.copied().unwrap_or_default();
            request = request.body(value(size, call.user, call.sequence));
        }
        let mut response = request.send().await?;
        let status = response.status();
        let (outcome, layer) = {
            let field = text_of(response.headers(), &CACHE_STATUS);
            cache_status::read(operation, status.as_u16(), field.as_deref())
        };
        let version = text_of(response.headers(), &ETAG).and_then(|etag| version_of(&etag));
        let body = read_to_end(&mut response).await?;
        Ok(Answer {
            outcome,
            layer,
            version,
            error: (outcome == Outcome::Error).then(|| status_text(status, &body)),
        })
    }
}

impl Caller for HttpCaller {
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
            .timeout(self.request_timeout, self.exchange(call));
        let answer = match exchange.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::failed(failure_text(&error)),
            Err(_) => Answer::failed(TIMED_OUT.to_owned()),
        };
        let read = answer
            .version
            .filter(|_| operation == Operation::Get && answer.outcome != Outcome::Error)
            .map(|version| (key_of(&self.policies, call.request), version));
        Sample {
            phase: call.phase,
            data_type: call.request.data_type,
            operation,
            outcome: answer.outcome,
            layer: answer.layer,
            intended_start: call.intended_start,
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
    outcome: Outcome,
    layer: Layer,
    version: Option<Version>,
    error: Option<String>,
}

impl Answer {
    fn failed(error: String) -> Self {
        Self {
            outcome: Outcome::Error,
            layer: Layer::Origin,
            version: None,
            error: Some(error),
        }
    }
}

/// The path at which an instance serves `request`: `/inventory/17/3`, or for what concerns many
/// keys `/inventory` and `/inventory?pattern=inventory%3A17%3A%2A`.
pub fn build_path(policies: &PolicyTable, request: &Request) -> String {
    let policy = policies.get(request.data_type);
    let mut path = String::with_capacity(policy.name.len() + 24);
    path.push('/');
    push_encoded(&mut path, &policy.name);
    match request.operation {
        Operation::InvalidateAll => {}
        Operation::InvalidatePattern => {
            path.push_str("?pattern=");
            push_encoded(&mut path, &request.key_glob(&policy.key));
        }
        Operation::Get | Operation::Put | Operation::Invalidate | Operation::Admit => {
            for param in request.params.as_slice() {
                let written = write!(path, "/{param}");
                debug_assert!(written.is_ok(), "writing to a String cannot fail");
            }
        }
    }
    path
}

/// Writes `text` with everything escaped that could mean something in a URL.
fn push_encoded(url: &mut String, text: &str) {
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let written = if plain {
            url.write_char(char::from(byte))
        } else {
            write!(url, "%{byte:02X}")
        };
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
}

/// The HTTP method that asks for `operation`.
pub fn method_of(operation: Operation) -> Method {
    match operation {
        Operation::Get => Method::GET,
        Operation::Put => Method::PUT,
        Operation::Invalidate | Operation::InvalidatePattern | Operation::InvalidateAll => {
            Method::DELETE
        }
        Operation::Admit => Method::POST,
    }
}

/// A field as one text; one that stands on several lines is joined, as lists are. `None` if it
/// is missing or not in plain characters.
fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut lines = headers.get_all(name).iter();
    let mut text = lines.next()?.to_str().ok()?.to_owned();
    for line in lines {
        text.push_str(", ");
        text.push_str(line.to_str().ok()?);
    }
    Some(text)
}

/// The version that an entity tag stands for: `"17"`, or `W/"17"`.
fn version_of(etag: &str) -> Option<Version> {
    let tag = etag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    digits.parse().ok().map(Version)
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
    use crate::engine::data_type::{DataType, DataTypeId, KeyPattern, Limit, Strategy};

    use crate::workload::KeyParams;

    fn policies() -> PolicyTable {
        let row = |name: &str, key: &str, limit| {
            let key = key.parse::<KeyPattern>().expect(key);
            let row = DataType::new(name, key, Strategy::CacheAside, Duration::from_mins(1));
            DataType { limit, ..row }
        };
        let limit = Limit::new(100, Duration::from_hours(1));
        PolicyTable::new(vec![
            row("inventory", "inventory:{product_id}:{warehouse_id}", None),
            row("rate limit/é", "ratelimit:{api_key}:{window}", Some(limit)),
            row("prices", "prices", None),
        ])
    }

    fn request(data_type: u16, params: &[u64]) -> Request {
        Request {
            data_type: DataTypeId(data_type),
            operation: Operation::Get,
            params: KeyParams::new(params),
        }
    }

    #[test]
    fn a_path_names_the_data_type_and_its_parameters() {
        let path = |data_type, params: &[u64]| build_path(&policies(), &request(data_type, params));
        insta::assert_snapshot!(path(0, &[17, 3]), @"/inventory/17/3");
        insta::assert_snapshot!(path(1, &[4]), @"/rate%20limit%2F%C3%A9/4");
        insta::assert_snapshot!(path(2, &[]), @"/prices");
        let broad = |operation| {
            let request = Request {
                operation,
                ..request(0, &[17, 3])
            };
            build_path(&policies(), &request)
        };
        insta::assert_snapshot!(broad(Operation::InvalidateAll), @"/inventory");
        insta::assert_snapshot!(broad(Operation::InvalidatePattern), @"/inventory?pattern=inventory%3A17%3A%2A");
    }

    #[test]
    fn keys_are_spelled_as_the_engine_spells_them() {
        let key = |data_type, params: &[u64]| {
            key_of(&policies(), &request(data_type, params)).to_string()
        };
        insta::assert_snapshot!(key(0, &[17, 3]), @"inventory:17:3");
        insta::assert_snapshot!(key(1, &[4]), @"ratelimit:4:3600");
    }

    #[test]
    fn versions_are_read_from_strong_and_weak_tags() {
        assert_eq!(version_of("\"17\""), Some(Version(17)));
        assert_eq!(
            version_of(" W/\"9007199254740991\" "),
            Some(Version((1 << 53) - 1))
        );
        for none in ["17", "\"\"", "\"abc\"", "\"", "\"17", "W/17", ""] {
            assert_eq!(version_of(none), None, "{none}");
        }
    }

    #[test]
    fn errors_keep_their_first_words_only() {
        let text = |body: &[u8]| status_text(StatusCode::GATEWAY_TIMEOUT, body);
        insta::assert_snapshot!(text(b""), @"504");
        insta::assert_snapshot!(text(b"origin:  no answer\nat all"), @"504 origin: no answer");
        insta::assert_snapshot!(text(b"a b c d e f g h i j"), @"504 a b c d e f g h");
        insta::assert_snapshot!(text(b"\xff\xfe"), @"504 ��");
    }

    #[test]
    fn fields_on_several_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        assert_eq!(text_of(&headers, &CACHE_STATUS), None);
        for line in ["remote; hit", "local; fwd=miss"] {
            headers.append(CACHE_STATUS, line.parse().expect("a value"));
        }
        let text = text_of(&headers, &CACHE_STATUS).expect("both lines");
        insta::assert_snapshot!(text, @"remote; hit, local; fwd=miss");
    }
}
