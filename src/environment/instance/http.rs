//! The HTTP face of a service instance: a request becomes an operation of the engine, and the
//! answer says in its headers which layer answered, how old it is and when it was last updated.
//!
//! | method | path | asks |
//! |---|---|---|
//! | `GET` | `/{data_type}/{param}/…` | get: 200 with the value, 404 if there is none |
//! | `PUT` | the same, the value as body | put: 204 |
//! | `DELETE` | the same | invalidate: 204 |
//! | `DELETE` | `/{data_type}` | invalidate every key of the data type: 204 |
//! | `DELETE` | `/{data_type}?pattern=inventory:17:*` | invalidate the keys that match: 204 |
//! | `POST` | `/{data_type}/{param}/…` | admit: 204 admitted, 429 refused |
//! | `GET` | `/healthz` | whether the instance answers: 200 |
//! | `GET` | `/metrics` | its metrics in Prometheus' text format |
//!
//! The parameters stand in the order of the data type's key pattern. Errors are 503 (the origin is
//! overloaded or gone), 504 (no answer in time) or 400/404 for a path that means nothing, each with
//! one line of text.

mod broad;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::routing::{any, delete, get};

use super::super::cache_status;
use super::metrics::{self, FAILED, InstanceMetrics};
use super::service::Served;
use crate::clock::Timestamp;
use crate::engine::data_type::{DataTypeId, Key};
use crate::engine::layer::{Layer, LayerError, Operation, Origin, Outcome, Remote};
use crate::engine::{Answer, Engine, EngineError};

/// The largest value that can be put.
const BODY_LIMIT_BYTES: usize = 64 << 20;
/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What answers.
pub(super) struct Face<R, O> {
    pub(super) engine: Arc<Engine<R, O>>,
    pub(super) metrics: Arc<InstanceMetrics>,
}

/// A kind of operation: of which data type it asks what.
type Asked = (DataTypeId, Operation);

/// The routes of an instance.
pub(super) fn router<R: Remote, O: Origin>(face: Face<R, O>) -> Router {
    // A data type may be called "metrics", too.
    let of_that_name = |face, query| {
        let name = "metrics".to_owned();
        broad::invalidate::<R, O>(face, Path(name), query)
    };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(scrape::<R, O>).delete(of_that_name))
        .route("/{data_type}", delete(broad::invalidate::<R, O>))
        .route("/{data_type}/{*params}", any(operation::<R, O>))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .with_state(Arc::new(face))
}

async fn scrape<R: Remote, O: Origin>(State(face): State<Arc<Face<R, O>>>) -> Response<Body> {
    match face.metrics.page(face.engine.local_usage()) {
        Ok(page) => {
            let mut response = Response::new(Body::from(page));
            let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

impl<R: Remote, O: Origin> Face<R, O> {
    /// Counts what was served, and gives the answer of it.
    fn answer(
        &self,
        asked: Asked,
        began: Timestamp,
        served: Result<Told, EngineError>,
    ) -> Response<Body> {
        let (response, kind) = match served {
            Ok(told) => (told.response, told.served),
            Err(error) => (refuse(&error), FAILED),
        };
        let took = self.engine.clock().now().since(began);
        self.metrics.served(asked, kind, took);
        response
    }
}

/// An answer and what it counts as.
struct Told {
    response: Response<Body>,
    served: Served,
}

async fn operation<R: Remote, O: Origin>(
    State(face): State<Arc<Face<R, O>>>,
    Path((name, params)): Path<(String, String)>,
    method: Method,
    body: Bytes,
) -> Response<Body> {
    let engine = &face.engine;
    let began = engine.clock().now();
    let (data_type, key) = match find_key(engine, &name, &params) {
        Ok(found) => found,
        Err(text) => return plain(StatusCode::NOT_FOUND, text),
    };
    let (operation, answered) = match method {
        Method::GET | Method::HEAD => (Operation::Get, read(engine, data_type, &key).await),
        Method::PUT => {
            let written = engine.put(data_type, &key, body).await;
            let told = written.map(|written| {
                let mut told = empty(StatusCode::NO_CONTENT, Outcome::Bypass, written.layer);
                describe(&mut told.response, written.version.0, written.committed_at);
                told
            });
            (Operation::Put, told)
        }
        Method::DELETE => {
            let done = engine.invalidate(data_type, &key).await;
            let told = done.map(|()| empty(StatusCode::NO_CONTENT, Outcome::Bypass, Layer::Remote));
            (Operation::Invalidate, told)
        }
        Method::POST => (Operation::Admit, admit(engine, data_type, &key).await),
        other => {
            return plain(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{other} means nothing here"),
            );
        }
    };
    face.answer((data_type, operation), began, answered)
}

/// The data type called `name`, and its key with the path's parameters.
fn find_key<R: Remote, O: Origin>(
    engine: &Engine<R, O>,
    name: &str,
    params: &str,
) -> Result<(DataTypeId, Key), String> {
    let policies = engine.policies();
    let data_type = policies
        .id_of(name)
        .ok_or_else(|| format!("there is no data type {name:?}"))?;
    let policy = policies.get(data_type);
    let given: Vec<&str> = params.split('/').collect();
    let wanted = policy.key.params().count();
    if given.len() != wanted || given.iter().any(|param| param.is_empty()) {
        return Err(format!(
            "{} takes {wanted} parameters, not {}",
            policy.key,
            given.len()
        ));
    }
    Ok((
        data_type,
        policy
            .key
            .render(&given, policy.limit.map(|limit| limit.window)),
    ))
}

async fn read<R: Remote, O: Origin>(
    engine: &Engine<R, O>,
    data_type: DataTypeId,
    key: &Key,
) -> Result<Told, EngineError> {
    let Answer {
        outcome,
        layer,
        entry,
    } = engine.get(data_type, key).await?;
    let status = if entry.row.value.is_some() {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    };
    let mut told = empty(status, outcome, layer);
    let response = &mut told.response;
    let age = engine.clock().now().since(entry.fetched_at);
    response
        .headers_mut()
        .insert(header::AGE, HeaderValue::from(age.as_secs()));
    describe(response, entry.row.version.0, entry.row.committed_at);
    if let Some(value) = entry.row.value {
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        *response.body_mut() = Body::from(value);
    }
    Ok(told)
}

async fn admit<R: Remote, O: Origin>(
    engine: &Engine<R, O>,
    data_type: DataTypeId,
    key: &Key,
) -> Result<Told, EngineError> {
    match engine.admit(data_type, key).await {
        Ok(admission) if admission.admitted => {
            Ok(empty(StatusCode::NO_CONTENT, Outcome::Hit, Layer::Remote))
        }
        Ok(admission) => {
            let mut told = empty(
                StatusCode::TOO_MANY_REQUESTS,
                Outcome::Refused,
                Layer::Remote,
            );
            let seconds = whole_seconds(admission.retry_after);
            told.response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            Ok(told)
        }
        // A request that cannot be counted may pass: a limit protects, it must not be an outage.
        Err(EngineError::Remote(_)) => Ok(empty(
            StatusCode::NO_CONTENT,
            Outcome::Bypass,
            Layer::Remote,
        )),
        Err(error) => Err(error),
    }
}

/// An answer without a body that says who gave it and how.
fn empty(status: StatusCode, outcome: Outcome, layer: Layer) -> Told {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let value = HeaderValue::from_static(cache_status::format(outcome, layer));
    response.headers_mut().insert(CACHE_STATUS, value);
    Told {
        response,
        served: Served {
            way_back: Duration::ZERO,
            outcome,
            layer,
            version: None,
        },
    }
}

/// Which version was answered, and when it was last updated.
fn describe(response: &mut Response<Body>, version: u64, committed_at: Timestamp) {
    let date = httpdate::fmt_http_date(committed_at.to_system_time());
    let headers = response.headers_mut();
    // Digits, quotes and the letters of a date are always valid header values.
    if let Ok(etag) = HeaderValue::try_from(format!("\"{version}\"")) {
        headers.insert(header::ETAG, etag);
    }
    if let Ok(date) = HeaderValue::try_from(date) {
        headers.insert(header::LAST_MODIFIED, date);
    }
}

fn refuse(error: &EngineError) -> Response<Body> {
    let status = match error {
        EngineError::WrongStrategy { .. } => StatusCode::METHOD_NOT_ALLOWED,
        EngineError::Origin(LayerError::TimedOut(_)) => StatusCode::GATEWAY_TIMEOUT,
        EngineError::Origin(_) | EngineError::Remote(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    plain(status, error.to_string())
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text + "\n"));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Rounded up, at least one: a `Retry-After` of 0 invites a storm.
fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_millis().div_ceil(1_000) as u64).max(1)
}
