//! How instances protect themselves, the database and what they accepted.

use std::time::Duration;

use super::super::decode::{Field, Located, Switch};
use super::super::diagnostics::{Diagnostic, Errors};
use super::super::file::File;
use super::super::file::durability::{
    BreakerFile, DurabilityFile, OriginGuardFile, WriteBehindFile,
};
use super::{Built, MS, TIMEOUT_MAX, count, span, span_within};
use crate::engine::data_type::DataType;
use crate::engine::resilience::circuit_breaker::BreakerConfig;
use crate::engine::resilience::origin_limit::OriginLimit;
use crate::engine::resilience::{OriginProtection, Resilience};
use crate::engine::write_behind::policy::WriteBehind;
use crate::units::Span;

/// Room for every caller that a service is likely to have.
const QUEUE_DEFAULT: u64 = 100;
const CALLS_MAX: u64 = 100_000;
const FAILURES_MAX: u64 = 1_000_000;
const QUEUE_MAX_MAX: u64 = 100_000_000;
/// One Lua script acknowledges a batch, and its arguments stand on Lua's stack.
const BATCH_MAX: u64 = 5_000;
const DELIVERIES_MAX: u64 = 1_000;
/// With less, a consumer that is busy for a moment would be taken for dead.
const CLAIM_AFTER_MIN: Duration = Duration::from_secs(1);

/// What `resilience` says beside the defaults of data types. `data_types` is `None` if those are
/// wrong.
pub(super) fn build(
    file: &File,
    data_types: Option<&[DataType]>,
    errors: &mut Errors,
) -> Built<Resilience> {
    let unwritten = DurabilityFile::absent();
    let written = match &file.resilience {
        Field::Given(resilience) => &resilience.value.durability,
        Field::Absent => &unwritten,
        Field::Wrong => return None,
    };
    let breaker = build_breaker(&written.breaker, errors);
    let origin = build_origin(&written.origin, data_types, errors);
    let write_behind = build_write_behind(&written.write_behind, errors);
    Some(Resilience {
        breaker: breaker?,
        origin: origin?,
        write_behind: write_behind?,
    })
}

fn build_breaker(
    field: &Field<Switch<BreakerFile>>,
    errors: &mut Errors,
) -> Built<Option<BreakerConfig>> {
    let default = BreakerConfig::default();
    let Some(given) = field.value() else {
        return field.is_absent().then_some(Some(default));
    };
    let Switch::On(file) = given else {
        return Some(None);
    };
    let failures = Some(default.failures.into());
    let failures = count(
        "failures",
        &file.failures,
        failures,
        1..=FAILURES_MAX,
        errors,
    );
    let open_for = Some(default.open_for);
    let open_for = span(
        "open_for",
        &file.open_for,
        open_for,
        MS..=TIMEOUT_MAX,
        errors,
    );
    let probes = Some(default.probes.into());
    let probes = count("probes", &file.probes, probes, 1..=1_000, errors);
    Some(Some(BreakerConfig {
        failures: failures? as u32,
        open_for: open_for?,
        probes: probes? as u32,
    }))
}

fn build_origin(
    field: &Field<OriginGuardFile>,
    data_types: Option<&[DataType]>,
    errors: &mut Errors,
) -> Built<OriginProtection> {
    let Some(file) = field.value() else {
        return field.is_absent().then(OriginProtection::default);
    };
    let limit = build_limit(file, errors);
    let soft_timeout = timeout("soft_timeout", &file.soft_timeout, errors);
    let hard_timeout = timeout("hard_timeout", &file.hard_timeout, errors);
    if let Some(Some(soft)) = soft_timeout
        && let Some(place) = file.soft_timeout.place()
    {
        let stale = |rows: &[DataType]| rows.iter().any(|row| row.serve_stale.is_some());
        if data_types.is_some_and(|rows| !stale(rows)) {
            let message = "with a `soft_timeout` a stale value is served, and no data type has one";
            errors.push(Diagnostic::new(place, message).label("add `serve_stale: 1h` to one"));
        }
        if let Some(Some(hard)) = hard_timeout
            && hard <= soft
        {
            let message = format!(
                "the hard timeout of {} is not above the soft one of {}",
                Span(hard),
                Span(soft)
            );
            let place = file.hard_timeout.place().unwrap_or(place);
            errors.push(Diagnostic::new(place, message).label("write more than the soft one"));
        }
    }
    Some(OriginProtection {
        limit: limit?,
        soft_timeout: soft_timeout?,
        hard_timeout: hard_timeout?,
    })
}

fn build_limit(file: &OriginGuardFile, errors: &mut Errors) -> Built<Option<OriginLimit>> {
    let queue = count(
        "queue",
        &file.queue,
        Some(QUEUE_DEFAULT),
        0..=CALLS_MAX,
        errors,
    );
    let concurrency = match &file.concurrency {
        Field::Wrong => return None,
        Field::Given(Located {
            value: Switch::On(calls),
            place,
        }) => {
            let calls = Field::Given(Located {
                value: *calls,
                place: place.clone(),
            });
            Some(count("concurrency", &calls, None, 1..=CALLS_MAX, errors)?)
        }
        Field::Given(_) | Field::Absent => None,
    };
    let Some(concurrency) = concurrency else {
        if let Some(place) = file.queue.place() {
            let message = "nobody waits in this `queue` without a limit of `concurrency`";
            errors.push(Diagnostic::new(place, message).label("add `concurrency: 20`"));
            return None;
        }
        return Some(None);
    };
    Some(Some(OriginLimit {
        concurrency: concurrency as u32,
        queue: queue? as u32,
    }))
}

fn timeout(
    what: &str,
    field: &Field<Switch<Span>>,
    errors: &mut Errors,
) -> Built<Option<Duration>> {
    let Some(given) = field.given() else {
        return field.is_absent().then_some(None);
    };
    let Switch::On(span) = given.value else {
        return Some(None);
    };
    let located = Located {
        value: span,
        place: given.place.clone(),
    };
    span_within(what, &located, MS..=TIMEOUT_MAX, errors).map(Some)
}

fn build_write_behind(field: &Field<WriteBehindFile>, errors: &mut Errors) -> Built<WriteBehind> {
    let default = WriteBehind::default();
    let Some(file) = field.value() else {
        return field.is_absent().then_some(default);
    };
    let queue_max = count(
        "queue_max",
        &file.queue_max,
        Some(default.queue_max),
        1..=QUEUE_MAX_MAX,
        errors,
    );
    let batch = Some(default.batch as u64);
    let batch = count("batch", &file.batch, batch, 1..=BATCH_MAX, errors);
    let max_deliveries = count(
        "max_deliveries",
        &file.max_deliveries,
        Some(default.max_deliveries.into()),
        2..=DELIVERIES_MAX,
        errors,
    );
    let claim_after = span(
        "claim_after",
        &file.claim_after,
        Some(default.claim_after),
        CLAIM_AFTER_MIN..=TIMEOUT_MAX,
        errors,
    );
    Some(WriteBehind {
        queue_max: queue_max?,
        batch: batch? as usize,
        max_deliveries: max_deliveries? as u32,
        claim_after: claim_after?,
        on_full: file.on_full.or(default.on_full)?,
    })
}
