//! How a data type is protected against stampedes, outages and old values.

use std::time::Duration;

use super::super::decode::{Field, Switch};
use super::super::diagnostics::{Diagnostic, Errors};
use super::super::file::protection::{ProtectionFile, StampedeFile};
use super::{Built, MS, TTL_MAX, span_within};
use crate::engine::data_type::{Consistency, Stampede};

/// The theory's best value.
const BETA: f64 = 1.0;
const BETA_MAX: f64 = 100.0;

/// What was written, or the defaults.
pub(super) struct Protection {
    pub(super) stampede: Stampede,
    pub(super) serve_stale: Option<Duration>,
    pub(super) consistency: Consistency,
}

/// What a data type says, else what `resilience` says for all, else what the engine does.
pub(super) fn build(
    own: &ProtectionFile,
    all: &ProtectionFile,
    errors: &mut Errors,
) -> Built<Protection> {
    let stampede_field = first(&own.stampede, &all.stampede);
    let stampede = build_stampede(stampede_field, errors);
    let serve_stale = build_serve_stale(first(&own.serve_stale, &all.serve_stale), errors);
    let consistency = first(&own.consistency, &all.consistency).or(Consistency::default());
    if let (Some(Stampede::StaleWhileRevalidate), Some(None)) = (stampede, serve_stale)
        && let Some(place) = stampede_field.place()
    {
        let message = "stale-while-revalidate has nothing to serve without `serve_stale`";
        errors.push(Diagnostic::new(place, message).label("add `serve_stale: 1h`"));
        return None;
    }
    Some(Protection {
        stampede: stampede?,
        serve_stale: serve_stale?,
        consistency: consistency?,
    })
}

fn first<'f, T>(own: &'f Field<T>, all: &'f Field<T>) -> &'f Field<T> {
    if own.is_absent() { all } else { own }
}

fn build_stampede(field: &Field<StampedeFile>, errors: &mut Errors) -> Built<Stampede> {
    let written = match field {
        Field::Absent => return Some(Stampede::default()),
        Field::Wrong => return None,
        Field::Given(written) => written,
    };
    Some(match &written.value {
        StampedeFile::None => Stampede::None,
        StampedeFile::SingleFlight => Stampede::SingleFlight,
        StampedeFile::AdrLock => Stampede::AdrLock,
        StampedeFile::Lock => Stampede::Lock,
        StampedeFile::Lease => Stampede::Lease,
        StampedeFile::StaleWhileRevalidate => Stampede::StaleWhileRevalidate,
        StampedeFile::EarlyRefresh(beta) => {
            let value = beta.or(BETA)?;
            if !(value > 0.0 && value <= BETA_MAX) {
                let place = beta.place().unwrap_or(&written.place);
                let message = format!("the beta of early-refresh cannot be {value}");
                let advice = format!("1 is the theory's best, more is earlier, up to {BETA_MAX}");
                errors.push(Diagnostic::new(place, message).label(advice));
                return None;
            }
            Stampede::EarlyRefresh { beta: value }
        }
    })
}

fn build_serve_stale(
    field: &Field<Switch<crate::units::Span>>,
    errors: &mut Errors,
) -> Built<Option<Duration>> {
    let written = match field {
        Field::Absent => return Some(None),
        Field::Wrong => return None,
        Field::Given(written) => written,
    };
    match &written.value {
        Switch::Off => Some(None),
        Switch::On(span) => {
            let located = super::super::decode::Located {
                value: *span,
                place: written.place.clone(),
            };
            span_within("serve_stale", &located, MS..=TTL_MAX, errors).map(Some)
        }
    }
}
