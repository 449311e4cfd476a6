//! Which keys are asked for how often, how that changes, and which come only once.

use super::super::decode::{Field, Located, Map};
use super::super::diagnostics::{Diagnostic, Errors, Place};
use super::super::file::popularity::{DriftFile, HotspotFile, LawFile};
use super::super::file::{DataTypeFile, PopularityFile};
use super::{Built, MS, TTL_MAX};
use crate::units::{Ratio, Span};
use crate::workload::popularity::{Drift, Shares};
use crate::workload::{Dimension, Popularity};

const SKEW_MAX: f64 = 100.0;

/// The law, and how keys move in it.
pub(super) struct BuiltPopularity {
    pub(super) popularity: Popularity,
    pub(super) drift: Option<Drift>,
}

/// Builds `field`; without it, all keys are alike.
pub(super) fn build(field: &Field<PopularityFile>, errors: &mut Errors) -> Built<BuiltPopularity> {
    let steady = |popularity| BuiltPopularity {
        popularity,
        drift: None,
    };
    match field.or(PopularityFile::Uniform)? {
        PopularityFile::Uniform => Some(steady(Popularity::Uniform)),
        PopularityFile::PerUser => Some(steady(Popularity::PerUser)),
        PopularityFile::ByLaw(law) => {
            let popularity = build_law(&law, errors);
            let drift = build_drift(&law, errors);
            Some(BuiltPopularity {
                popularity: popularity?,
                drift: drift?,
            })
        }
    }
}

fn build_law(law: &LawFile, errors: &mut Errors) -> Built<Popularity> {
    if let Some(hotspot) = law.hotspot.given() {
        return build_hotspot(hotspot, errors);
    }
    if let Some(shares) = law.shares.given() {
        return build_shares(shares, errors).map(Popularity::Shares);
    }
    if !law.latest.is_absent() {
        let skew = build_skew(law.latest.given()?, errors)?;
        return Some(Popularity::Latest { skew });
    }
    let skew = build_skew(law.zipf.given()?, errors)?;
    Some(Popularity::Zipf { skew })
}

fn build_skew(skew: &Located<f64>, errors: &mut Errors) -> Built<f64> {
    if (0.0..=SKEW_MAX).contains(&skew.value) {
        return Some(skew.value);
    }
    let message = format!("a Zipf skew cannot be {}", skew.value);
    let advice = "0 is uniform, 0.99 usual, 100 the most";
    errors.push(Diagnostic::new(&skew.place, message).label(advice));
    None
}

fn build_hotspot(hotspot: &Located<HotspotFile>, errors: &mut Errors) -> Built<Popularity> {
    let (keys, requests) = (hotspot.value.keys.given()?, hotspot.value.requests.given()?);
    if keys.value.0 <= 0.0 {
        let advice = "write a share above 0, such as 1%";
        let message = "no key at all cannot be hot";
        errors.push(Diagnostic::new(&keys.place, message).label(advice));
        return None;
    }
    if requests.value < keys.value {
        let message = format!(
            "{} of the keys with {} of the requests are colder than the others",
            keys.value, requests.value
        );
        let advice = "write at least the share of the keys";
        errors.push(Diagnostic::new(&requests.place, message).label(advice));
        return None;
    }
    Some(Popularity::Hotspot {
        keys: keys.value,
        requests: requests.value,
    })
}

fn build_shares(shares: &Located<Map<Ratio>>, errors: &mut Errors) -> Built<Shares> {
    let points: Vec<_> = shares
        .value
        .0
        .iter()
        .map(|(keys, requests)| {
            let keys = ratio_of(keys, errors);
            Some((keys?.0, requests.as_ref()?.value.0))
        })
        .collect();
    let built = Shares::new(points.into_iter().collect::<Option<Vec<_>>>()?);
    if built.is_none() {
        let message = "these shares are no curve of popularity";
        let advice = "shares of keys and of requests rise from line to line, and those of requests by \
                      less and less for the same keys: { 1%: 50%, 10%: 90% }";
        errors.push(Diagnostic::new(&shares.place, message).help(advice));
    }
    built
}

/// A share that stands as a key of a mapping.
pub(super) fn ratio_of(text: &Located<std::sync::Arc<str>>, errors: &mut Errors) -> Built<Ratio> {
    match text.value.parse() {
        Ok(ratio) => Some(ratio),
        Err(error) => {
            let error: crate::units::UnitError = error;
            errors.push(Diagnostic::new(&text.place, error.to_string()));
            None
        }
    }
}

fn build_drift(law: &LawFile, errors: &mut Errors) -> Built<Option<Drift>> {
    let Some(given) = law.drift.given() else {
        return law.drift.is_absent().then_some(None);
    };
    let DriftFile { share, every } = given.value;
    if !law.latest.is_absent() {
        let message = "the newest keys are popular here, so that every put moves all of them";
        errors.push(Diagnostic::new(&given.place, message).label("remove the drift"));
        return None;
    }
    if share.0 <= 0.0 {
        let message = "no share of the keys drifts nowhere";
        let advice = "write a share above 0, or leave the drift out";
        errors.push(Diagnostic::new(&given.place, message).label(advice));
        return None;
    }
    if !(MS..=TTL_MAX).contains(&every.0) {
        let message = format!("a drift cannot take {every}");
        let advice = format!("from {} up to {}", Span(MS), Span(TTL_MAX));
        errors.push(Diagnostic::new(&given.place, message).label(advice));
        return None;
    }
    Some(Some(Drift {
        share,
        every: every.0,
    }))
}

/// The share of the requests that asks for a key of its own, among keys of these dimensions.
pub(super) fn one_hit(
    file: &DataTypeFile,
    dimensions: &[Dimension],
    popularity: &Popularity,
    errors: &mut Errors,
) -> Built<Ratio> {
    let one_hit = file.one_hit.or(Ratio(0.0))?;
    let Some(place) = file.one_hit.place().filter(|_| one_hit.0 > 0.0) else {
        return Some(one_hit);
    };
    let refused = |message: &str, errors: &mut Errors| refuse_one_hit(message, place, errors);
    if *popularity == Popularity::PerUser {
        return refused(
            "each user asks for keys of its own, again and again",
            errors,
        );
    }
    if dimensions.contains(&Dimension::Unique) {
        return refused("every key is new already", errors);
    }
    if dimensions.is_empty() {
        return refused("there is one key only", errors);
    }
    Some(one_hit)
}

fn refuse_one_hit(message: &str, place: &Place, errors: &mut Errors) -> Built<Ratio> {
    let message = format!("`one_hit` does not fit: {message}");
    let advice = "remove it, or write 0% if a preset gives it";
    errors.push(Diagnostic::new(place, message).label(advice));
    None
}
