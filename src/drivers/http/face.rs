//! How requests look to a service under test, and what its answers mean.
//!
//! [`InstanceFace`] is the protocol of the built-in instances: `GET`, `PUT` or
//! `DELETE /{data_type}/{param}/{param}…` for get, put and invalidate, `POST` for admit. They answer
//! 200 with a value, 404 for a row that does not exist, 204 for what has no value, 429 for a refused
//! arrival, and anything else as an error with a line of text. `Cache-Status` says who answered,
//! `ETag` the version.
//!
//! Called by the HTTP caller. Pure: it sends nothing.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ETAG, HeaderMap, HeaderName};
use http::{Method, StatusCode};

use super::super::crowd::Call;
use super::super::key_of;
use super::tls::TlsClient;
use crate::engine::data_type::PolicyTable;
use crate::engine::layer::{Layer, Operation, Outcome, Version};
use crate::environment::cache_status;
use crate::workload::Request;
use crate::workload::size::ValueSizes;
use crate::workload::value::value;

/// One request as it is sent, but for the host.
#[derive(Clone, Debug)]
pub struct Question {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Fields beside those that every request has.
    pub headers: HeaderMap,
    /// What is sent with it.
    pub body: Bytes,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// How the request ended.
    pub outcome: Outcome,
    /// The layer that answered.
    pub layer: Layer,
    /// The version that was read, if it says so.
    pub version: Option<Version>,
}

/// How requests look to a service, and what its answers mean.
pub trait Face: Send + Sync + 'static {
    /// How `call` is asked.
    fn question(&self, call: &Call<'_>) -> Question;

    /// What an answer with this `status` and these `headers` says about `call`.
    fn meaning(&self, call: &Call<'_>, status: StatusCode, headers: &HeaderMap) -> Meaning;

    /// How TLS is spoken to it; `None` if it is not.
    fn tls(&self) -> Option<&TlsClient> {
        None
    }

    /// Whether a `word` of an answer must not be shown, since it holds a secret that was sent.
    fn gives_away(&self, _word: &str) -> bool {
        false
    }
}

/// The built-in instances.
#[derive(Clone, Debug)]
pub struct InstanceFace {
    /// What is stored.
    pub policies: Arc<PolicyTable>,
    /// The size of the values to write; a data type without one gets empty values.
    pub value_sizes: ValueSizes,
}

impl Face for InstanceFace {
    fn question(&self, call: &Call<'_>) -> Question {
        let operation = call.request.operation;
        let body = if operation == Operation::Put {
            let data_type = call.request.data_type;
            let constant = self.value_sizes.constant_of(data_type);
            let size = constant.unwrap_or_else(|| {
                let key = key_of(&self.policies, call.request);
                self.value_sizes.of(data_type, &key)
            });
            value(size, call.user, call.sequence)
        } else {
            Bytes::new()
        };
        Question {
            method: method_of(operation),
            target: build_path(&self.policies, call.request),
            headers: HeaderMap::new(),
            body,
        }
    }

    fn meaning(&self, call: &Call<'_>, status: StatusCode, headers: &HeaderMap) -> Meaning {
        let field = text_of(headers, &CACHE_STATUS);
        let operation = call.request.operation;
        let (outcome, layer) = cache_status::read(operation, status.as_u16(), field.as_deref());
        Meaning {
            outcome,
            layer,
            version: text_of(headers, &ETAG).and_then(|etag| version_of(&etag)),
        }
    }
}

/// The field that says who answered.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

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
fn text_of<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Cow<'h, str>> {
    let mut lines = headers.get_all(name).iter();
    let mut text = Cow::Borrowed(lines.next()?.to_str().ok()?);
    for line in lines {
        let text = text.to_mut();
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
