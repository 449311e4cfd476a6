//! The limit of a counter, and how it is decided. Called for each data type.

use std::sync::Arc;
use std::time::Duration;

use super::super::decode::Located;
use super::super::diagnostics::{Diagnostic, Errors};
use super::super::file::{DataTypeFile, LimitFile};
use super::super::words::{Algorithm, Word};
use super::{Built, MS, TTL_MAX, count, span};
use crate::engine::data_type::{Limit, LimitAlgorithm, Strategy};
use crate::units::Span;

const REQUESTS_MAX: u64 = 1_000_000_000;

/// The limit of a data type; `None` inside for one that is no counter.
pub(super) fn build(
    name: &Located<Arc<str>>,
    file: &DataTypeFile,
    (strategy, ttl): (Option<Strategy>, Built<Duration>),
    errors: &mut Errors,
) -> Built<Option<Limit>> {
    let counter = strategy? == Strategy::Counter;
    let Some(given) = file.limit.given() else {
        if counter && file.limit.is_absent() {
            let message = format!("the counter `{}` has no limit", name.value);
            errors.push(
                Diagnostic::new(&name.place, message)
                    .help("add `limit: { requests: 1000, window: 1h }`"),
            );
            return None;
        }
        return file.limit.is_absent().then_some(None);
    };
    if !counter {
        let message = format!("`{}` has a limit and is no counter", name.value);
        errors.push(
            Diagnostic::new(&given.place, message).label("remove it, or write `strategy: counter`"),
        );
        return None;
    }
    let limit = read_limit(&given.value, errors)?;
    if let (Some(ttl), Some(place)) = (ttl, file.ttl.place())
        && ttl < limit.window
    {
        let message = format!(
            "the counter would forget after {}, within its window of {}",
            Span(ttl),
            Span(limit.window)
        );
        errors.push(
            Diagnostic::new(place, message)
                .label("write at least the window")
                .note("the limit stands here", &given.place),
        );
    }
    Some(Some(limit))
}

fn read_limit(file: &LimitFile, errors: &mut Errors) -> Built<Limit> {
    let requests = count("requests", &file.requests, None, 1..=REQUESTS_MAX, errors);
    let window = span("window", &file.window, None, MS..=TTL_MAX, errors);
    let algorithm = read_algorithm(file, requests, errors);
    Some(Limit {
        requests: requests?,
        window: window?,
        algorithm: algorithm?,
    })
}

fn read_algorithm(
    file: &LimitFile,
    requests: Built<u64>,
    errors: &mut Errors,
) -> Built<LimitAlgorithm> {
    let algorithm = file
        .algorithm
        .or(Algorithm::of(LimitAlgorithm::default()))?;
    let plain = match algorithm {
        Algorithm::Gcra => return read_gcra(file, requests, errors),
        Algorithm::SlidingBuckets => LimitAlgorithm::SlidingBuckets,
        Algorithm::SlidingLog => LimitAlgorithm::SlidingLog,
        Algorithm::TwoBuckets => LimitAlgorithm::TwoBuckets,
        Algorithm::FixedWindow => LimitAlgorithm::FixedWindow,
    };
    if let Some(place) = file.burst.place() {
        let message = format!("`burst` means nothing for `{}`", algorithm.word());
        errors.push(Diagnostic::new(place, message).label("remove it, or write `algorithm: gcra`"));
        return None;
    }
    Some(plain)
}

fn read_gcra(file: &LimitFile, requests: Built<u64>, errors: &mut Errors) -> Built<LimitAlgorithm> {
    if let (true, Some(place)) = (file.burst.is_absent(), file.algorithm.place()) {
        errors.push(
            Diagnostic::new(place, "`gcra` needs its `burst`: how many may come at once")
                .label("add `burst: 10`, or `burst: 1` for requests that are evenly apart"),
        );
        return None;
    }
    // More than the limit would let more pass at once than in a whole window.
    let most = requests.unwrap_or(REQUESTS_MAX);
    let burst = count("burst", &file.burst, None, 1..=most, errors)?;
    Some(LimitAlgorithm::Gcra { burst })
}
