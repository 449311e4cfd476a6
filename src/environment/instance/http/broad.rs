//! `DELETE` on a data type as a whole: every entry of it, or with `?pattern=` those whose keys match.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{Response, StatusCode};

use super::{Face, empty, plain};
use crate::engine::invalidation::glob::Glob;
use crate::engine::layer::{Layer, Operation, Origin, Outcome, Remote};

/// The only parameter.
const PATTERN: &str = "pattern";

pub(super) async fn invalidate<R: Remote, O: Origin>(
    State(face): State<Arc<Face<R, O>>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response<Body> {
    let engine = &face.engine;
    let began = engine.clock().now();
    let Some(data_type) = engine.policies().id_of(&name) else {
        return plain(
            StatusCode::NOT_FOUND,
            format!("there is no data type {name:?}"),
        );
    };
    let pattern = match read_query(query.as_deref()) {
        Ok(pattern) => pattern,
        Err(text) => return plain(StatusCode::BAD_REQUEST, text),
    };
    let (operation, done) = match pattern {
        None => {
            let done = engine.invalidate_all(data_type).await;
            (Operation::InvalidateAll, done)
        }
        Some(pattern) => {
            let done = engine.invalidate_pattern(data_type, pattern).await;
            (Operation::InvalidatePattern, done)
        }
    };
    let told = done.map(|()| empty(StatusCode::NO_CONTENT, Outcome::Bypass, Layer::Remote));
    face.answer((data_type, operation), began, told)
}

/// The pattern that the query names, if it names one. What it does not understand it refuses: a
/// misspelled parameter must not drop everything.
fn read_query(query: Option<&str>) -> Result<Option<Glob>, String> {
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return Ok(None);
    };
    match query.split_once('=') {
        Some((PATTERN, value)) if !value.contains('&') => {
            let text = percent_decode(value)
                .ok_or_else(|| format!("{value:?} cannot be read; write % as %25"))?;
            text.parse().map(Some).map_err(|error| format!("{error}"))
        }
        _ => Err(format!(
            "{query:?} means nothing here; write ?{PATTERN}=inventory:17:* or nothing"
        )),
    }
}

/// `None` for a `%` without two hexadecimal digits, or for what is no UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_a_pattern_or_nothing() {
        let read = |query| read_query(query).map(|pattern| pattern.map(|p| p.to_string()));
        assert_eq!(read(None), Ok(None));
        assert_eq!(read(Some("")), Ok(None));
        let pattern = Ok(Some("inventory:17:*".to_owned()));
        assert_eq!(read(Some("pattern=inventory:17:*")), pattern);
        assert_eq!(read(Some("pattern=inventory%3A17%3a%2A")), pattern);
    }

    #[test]
    fn what_is_misspelled_drops_nothing() {
        for query in [
            "patern=a*",
            "pattern",
            "pattern=",
            "pattern=%4",
            "pattern=%ff",
            "pattern=a&b=c",
        ] {
            assert!(read_query(Some(query)).is_err(), "{query}");
        }
    }
}
