//! The face of a service that is not ours: requests from the scenario's templates, answers by what the
//! caches of others say.
//!
//! Given to the HTTP caller by the runner. It reads no entity tag: the versions in those are ours only
//! where the service is. Pure: it sends nothing.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::super::crowd::Call;
use super::super::key_of;
use super::face::{Face, InstanceFace, Meaning, Question, method_of};
use super::tls::TlsClient;
use crate::engine::data_type::{DataTypeId, PolicyTable};
use crate::engine::layer::{Layer, Operation, Outcome};
use crate::environment::external::field::FieldValue;
use crate::environment::external::template::{Asking, Escape};
use crate::environment::external::{AskedSo, ExternalService};
use crate::units::ByteSize;
use crate::workload::size::ValueSizes;

/// A service that is not ours.
#[derive(Clone, Debug)]
pub struct ExternalFace {
    service: Arc<ExternalService>,
    policies: Arc<PolicyTable>,
    value_sizes: ValueSizes,
    /// By data type and operation.
    ways: Arc<[[Option<Way>; OPERATIONS]]>,
    tls: Option<TlsClient>,
}

const OPERATIONS: usize = Operation::ALL.len();

/// How an operation is asked, as far as that is always the same.
#[derive(Debug)]
struct Way {
    asked: AskedSo,
    method: Method,
    /// Fields that never change.
    fixed: HeaderMap,
    /// Fields that do.
    made: Vec<(HeaderName, FieldValue)>,
    /// Whether a value is written.
    has_value: bool,
}

impl ExternalFace {
    /// The face of `service`, which keeps what `policies` names; `value_sizes` are those of the
    /// values to write.
    pub fn new(
        service: Arc<ExternalService>,
        policies: Arc<PolicyTable>,
        value_sizes: ValueSizes,
    ) -> Self {
        let ways = policies.iter().map(|(data_type, _)| {
            Operation::ALL.map(|operation| way(&service, data_type, operation))
        });
        Self {
            ways: ways.collect(),
            service,
            policies,
            value_sizes,
            tls: None,
        }
    }

    /// The same, where TLS is spoken, too.
    #[must_use]
    pub fn over_tls(self, tls: TlsClient) -> Self {
        Self {
            tls: Some(tls),
            ..self
        }
    }

    /// The size of the value that `call` writes.
    fn value_size(&self, call: &Call<'_>) -> ByteSize {
        let data_type = call.request.data_type;
        let constant = self.value_sizes.constant_of(data_type);
        constant.unwrap_or_else(|| {
            let key = key_of(&self.policies, call.request);
            self.value_sizes.of(data_type, &key)
        })
    }

    /// The secrets that go out with requests.
    fn secrets(&self) -> impl Iterator<Item = &FieldValue> {
        let operations = self.service.operations.iter();
        let own = operations.flat_map(|asked| &asked.headers);
        let all = self.service.headers.iter().chain(own);
        all.filter(|(name, value)| value.is_secret(name))
            .map(|(_, value)| value)
    }

    fn way(&self, call: &Call<'_>) -> Option<&Way> {
        let ways = self.ways.get(call.request.data_type.index())?;
        ways[call.request.operation as usize].as_ref()
    }
}

fn way(service: &ExternalService, data_type: DataTypeId, operation: Operation) -> Option<Way> {
    let asked = service.asks(data_type, operation)?;
    let mut fixed = HeaderMap::new();
    let mut made: Vec<(HeaderName, FieldValue)> = Vec::new();
    for (name, value) in service.headers.iter().chain(&asked.headers) {
        // The operation's own stand last.
        fixed.remove(name);
        made.retain(|(other, _)| other != name);
        match value.template().source().parse::<HeaderValue>() {
            Ok(mut value_fixed) if value.template().is_verbatim() => {
                value_fixed.set_sensitive(value.is_secret(name));
                fixed.insert(name.clone(), value_fixed);
            }
            _ => made.push((name.clone(), value.clone())),
        }
    }
    Some(Way {
        method: asked.method.clone().unwrap_or_else(|| method_of(operation)),
        has_value: has_value(&asked, &made),
        fixed,
        made,
        asked,
    })
}

/// Whether what is asked so writes a value.
fn has_value(asked: &AskedSo, made: &[(HeaderName, FieldValue)]) -> bool {
    let mut made = made.iter();
    let in_headers = made.any(|(_, value)| value.template().has_value());
    let in_body = match &asked.body {
        Some(body) => body.has_value(),
        None => asked.operation == Operation::Put,
    };
    in_headers || in_body || asked.path.has_value()
}

impl Face for ExternalFace {
    /// What nobody says how to ask has an empty path, which cannot be sent and counts as an error; the
    /// scenario sees to it that there is none.
    fn question(&self, call: &Call<'_>) -> Question {
        let Some(way) = self.way(call) else {
            return Question {
                method: Method::GET,
                target: String::new(),
                headers: HeaderMap::new(),
                body: Bytes::new(),
            };
        };
        let data_type = call.request.data_type;
        let asking = Asking {
            request: call.request,
            data_type: self.policies.get(data_type),
            user: call.user,
            sequence: call.sequence,
            value_size: if way.has_value {
                self.value_size(call)
            } else {
                ByteSize(0)
            },
        };
        let path = way.asked.path.fill(&asking, Escape::Url);
        let mut headers = way.fixed.clone();
        for (name, value) in &way.made {
            let filled = value.template().fill(&asking, Escape::Plain);
            // The scenario let in only what can be sent.
            if let Ok(value) = HeaderValue::from_maybe_shared(filled) {
                headers.insert(name.clone(), value);
            }
        }
        let body = match &way.asked.body {
            Some(body) => body.fill(&asking, Escape::Plain),
            None if call.request.operation == Operation::Put => asking.value(),
            None => Bytes::new(),
        };
        Question {
            method: way.method.clone(),
            target: String::from_utf8_lossy(&path).into_owned(),
            headers,
            body,
        }
    }

    fn meaning(&self, call: &Call<'_>, status: StatusCode, headers: &HeaderMap) -> Meaning {
        let expected = self
            .way(call)
            .is_some_and(|way| self.service.expects(&way.asked, status));
        let (outcome, layer) = if expected {
            let operation = call.request.operation;
            self.service
                .outcome
                .read(operation, status.as_u16(), headers)
        } else {
            (Outcome::Error, Layer::Origin)
        };
        Meaning {
            outcome,
            layer,
            version: None,
        }
    }

    fn tls(&self) -> Option<&TlsClient> {
        self.tls.as_ref()
    }

    fn gives_away(&self, word: &str) -> bool {
        self.secrets().any(|secret| secret.is_given_away_by(word))
    }
}

/// Whichever service is driven.
#[derive(Clone, Debug)]
pub enum EitherFace {
    /// The built-in instances.
    Instance(InstanceFace),
    /// One that is not ours.
    External(ExternalFace),
}

impl Face for EitherFace {
    fn question(&self, call: &Call<'_>) -> Question {
        match self {
            Self::Instance(face) => face.question(call),
            Self::External(face) => face.question(call),
        }
    }

    fn meaning(&self, call: &Call<'_>, status: StatusCode, headers: &HeaderMap) -> Meaning {
        match self {
            Self::Instance(face) => face.meaning(call, status, headers),
            Self::External(face) => face.meaning(call, status, headers),
        }
    }

    fn tls(&self) -> Option<&TlsClient> {
        match self {
            Self::Instance(face) => face.tls(),
            Self::External(face) => face.tls(),
        }
    }

    fn gives_away(&self, word: &str) -> bool {
        match self {
            Self::Instance(face) => face.gives_away(word),
            Self::External(face) => face.gives_away(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::clock::Timestamp;
    use crate::engine::data_type::{DataType, Strategy};
    use crate::environment::external::answer::Telling;
    use crate::environment::external::template::Template;
    use crate::environment::external::{Statuses, Trust};
    use crate::measure::PhaseId;
    use crate::workload::{KeyParams, Request, UserKindId};

    fn template(text: &str) -> Template {
        Template::parse(text, &["product_id"]).expect(text)
    }

    fn field(name: &'static str, value: &str) -> (HeaderName, FieldValue) {
        let value = FieldValue::written(template(value));
        (HeaderName::from_static(name), value)
    }

    fn face() -> ExternalFace {
        let asked = |operation, path| AskedSo {
            data_type: DataTypeId(0),
            operation,
            method: None,
            path: template(path),
            headers: Vec::new(),
            body: None,
            expect: None,
        };
        let service = ExternalService {
            urls: vec!["http://127.0.0.1:8080".to_owned()],
            tls: Trust::default(),
            headers: vec![
                field("x-api-key", "a-key-of-ours"),
                field("x-user", "u{user}"),
            ],
            operations: vec![
                asked(Operation::Get, "/products/{product_id}"),
                AskedSo {
                    headers: vec![field("x-user", "nobody")],
                    body: Some(template(r#"{"id":{product_id},"n":{sequence}}"#)),
                    expect: Some(Statuses(vec![(409, 409)])),
                    ..asked(Operation::Put, "/products?key={key}")
                },
            ],
            outcome: Telling::Auto,
            expect: None,
        };
        let key = "product:{product_id}".parse().expect("a pattern");
        let minute = Duration::from_mins(1);
        let row = DataType::new("product", key, Strategy::CacheAside, minute);
        let policies = Arc::new(PolicyTable::new(vec![row]));
        ExternalFace::new(
            Arc::new(service),
            policies,
            ValueSizes::constant(&[ByteSize(4)]),
        )
    }

    fn with_call<T>(operation: Operation, work: impl FnOnce(&Call<'_>) -> T) -> T {
        let request = Request {
            data_type: DataTypeId(0),
            operation,
            params: KeyParams::new(&[17]),
        };
        work(&Call {
            instance: 0,
            request: &request,
            user: 5,
            sequence: 9,
            phase: PhaseId(0),
            user_kind: UserKindId::default(),
            intended_start: Timestamp::from_unix_nanos(0),
            waited: Duration::ZERO,
        })
    }

    fn asked(operation: Operation) -> String {
        let Question {
            method,
            target,
            headers,
            body,
        } = with_call(operation, |call| face().question(call));
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("plain")))
            .collect();
        lines.sort();
        let body = String::from_utf8_lossy(&body).into_owned();
        format!("{method} {target}\n{}\n{body}", lines.join("\n"))
    }

    #[test]
    fn requests_follow_their_templates() {
        insta::assert_snapshot!(asked(Operation::Get), @"
        GET /products/17
        x-api-key: a-key-of-ours
        x-user: u5
        ");
        insta::assert_snapshot!(asked(Operation::Put), @r#"
        PUT /products?key=product%3A17
        x-api-key: a-key-of-ours
        x-user: nobody
        {"id":17,"n":9}
        "#);
        insta::assert_snapshot!(asked(Operation::Invalidate), @"
        DELETE /products/17
        x-api-key: a-key-of-ours
        x-user: u5
        ");
    }

    #[test]
    fn what_an_answer_says_of_a_secret_is_known() {
        assert!(face().gives_away("key=a-key-of-ours"));
        assert!(!face().gives_away("nobody") && !face().gives_away("unknown"));
    }

    #[test]
    fn answers_mean_what_the_cache_says_and_have_no_version() {
        let mut headers = HeaderMap::new();
        headers.insert("x-cache", HeaderValue::from_static("HIT"));
        // Looks like one of ours.
        headers.insert("etag", HeaderValue::from_static("\"17\""));
        let meaning = |operation, status| {
            let status = StatusCode::from_u16(status).expect("a status");
            with_call(operation, |call| face().meaning(call, status, &headers))
        };
        let means = |outcome, layer| Meaning {
            outcome,
            layer,
            version: None,
        };
        let error = means(Outcome::Error, Layer::Origin);
        assert_eq!(
            meaning(Operation::Get, 200),
            means(Outcome::Hit, Layer::Edge)
        );
        assert_eq!(meaning(Operation::Get, 404), error);
        assert_eq!(meaning(Operation::Put, 200), error);
        assert_eq!(
            meaning(Operation::Put, 409),
            means(Outcome::Bypass, Layer::Origin)
        );
        assert_eq!(meaning(Operation::Admit, 200), error, "nobody asks so");
    }
}
