//! Which keys are asked for how often, as written: `data_types.NAME.popularity`. Read by `file.rs`;
//! says nothing of what values mean.

use crate::scenario::decode::{Decode, Field, Fields, Map, keyword};
use crate::scenario::diagnostics::{Diagnostic, Errors};
use crate::scenario::yaml::{Kind, Node};
use crate::units::{Ratio, Span, UnitError};

/// Which keys are asked for how often.
#[derive(Clone)]
pub(in crate::scenario) enum PopularityFile {
    Uniform,
    PerUser,
    /// Exactly one of the laws is given, or an error has been reported.
    ByLaw(Box<LawFile>),
}

/// A law, and how keys move in it.
#[derive(Clone)]
pub(in crate::scenario) struct LawFile {
    pub(in crate::scenario) zipf: Field<f64>,
    pub(in crate::scenario) latest: Field<f64>,
    pub(in crate::scenario) hotspot: Field<HotspotFile>,
    pub(in crate::scenario) shares: Field<Map<Ratio>>,
    pub(in crate::scenario) drift: Field<DriftFile>,
}

/// A share of the keys, and how much of the requests it gets.
#[derive(Clone)]
pub(in crate::scenario) struct HotspotFile {
    pub(in crate::scenario) keys: Field<Ratio>,
    pub(in crate::scenario) requests: Field<Ratio>,
}

/// So much of it in so much time: `10%/1h`.
#[derive(Clone, Copy)]
pub(in crate::scenario) struct DriftFile {
    pub(in crate::scenario) share: Ratio,
    pub(in crate::scenario) every: Span,
}

impl Decode for PopularityFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        if let Kind::Mapping(entries) = &node.kind {
            return law(node, entries.len(), errors).map(|law| Self::ByLaw(Box::new(law)));
        }
        if matches!(&node.kind, Kind::Scalar(text) if &**text == "zipf") {
            let advice = "write { zipf: 0.99 }";
            errors.push(Diagnostic::new(&node.place, "zipf needs its skew").label(advice));
            return None;
        }
        let words = ["uniform", "per-user"].into_iter().chain(LAWS);
        let words: Vec<(&str, usize)> = words.zip(0..).collect();
        match keyword(node, "popularity", &words, errors)? {
            0 => Some(Self::Uniform),
            1 => Some(Self::PerUser),
            law => {
                let law = LAWS.get(law - 2).copied().unwrap_or_default();
                errors.push(
                    Diagnostic::new(&node.place, "this is a text, not a mapping")
                        .label(format!("write {law} without quotes")),
                );
                None
            }
        }
    }
}

/// How the laws are written.
const LAWS: [&str; 4] = [
    "{ zipf: 0.99 }",
    "{ latest: 0.99 }",
    "{ hotspot: { keys: 1%, requests: 90% } }",
    "{ shares: { 1%: 50%, 10%: 90% } }",
];

fn law(node: &Node, keys: usize, errors: &mut Errors) -> Option<LawFile> {
    let mut fields = Fields::of(node, "a popularity", errors)?;
    let mut law = LawFile {
        zipf: Field::Absent,
        latest: fields.optional("latest"),
        hotspot: fields.optional("hotspot"),
        shares: fields.optional("shares"),
        drift: fields.optional("drift"),
    };
    let others = [
        law.latest.is_absent(),
        law.hotspot.is_absent(),
        law.shares.is_absent(),
    ];
    let others = others.iter().filter(|absent| !**absent).count();
    law.zipf = if others == 0 {
        fields.required("zipf", "0.99")
    } else {
        fields.optional("zipf")
    };
    fields.close();
    let laws = others + usize::from(!law.zipf.is_absent());
    if laws > 1 {
        let message = format!("{laws} laws of popularity stand here, and keys follow one");
        let advice = "write zipf, latest, hotspot or shares alone";
        errors.push(Diagnostic::new(&node.place, message).label(advice));
        return None;
    }
    (keys > 0).then_some(law)
}

impl Decode for HotspotFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "a hotspot", errors)?;
        let hotspot = Self {
            keys: fields.required("keys", "1%"),
            requests: fields.required("requests", "90%"),
        };
        fields.close();
        Some(hotspot)
    }
}

impl Decode for DriftFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let read = |text: &str| -> Option<Self> {
            let (share, every) = text.split_once('/')?;
            let share: Result<Ratio, UnitError> = share.trim().parse();
            let every: Result<Span, UnitError> = every.trim().parse();
            Some(Self {
                share: share.ok()?,
                every: every.ok()?,
            })
        };
        let found = match &node.kind {
            Kind::Scalar(text) => read(text),
            _ => None,
        };
        if found.is_none() {
            let message = format!("{} is no drift", node.describe());
            let advice = "write which share of the keys changes place in what time, such as 10%/1h";
            errors.push(Diagnostic::new(&node.place, message).label(advice));
        }
        found
    }
}
