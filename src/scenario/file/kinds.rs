//! Who the users are and what they do, as written: at the top of `traffic`, or under `traffic.kinds`.

use std::sync::Arc;

use super::super::decode::{Decode, Field, Fields, List, Located, Map, located, text};
use super::super::diagnostics::{Diagnostic, Errors, Place};
use super::super::yaml::{Key, Kind, Node, short};
use crate::units::{Ratio, SpanRange};

/// What users do.
pub(in crate::scenario) struct DoingFile {
    pub(in crate::scenario) think_time: Field<SpanRange>,
    pub(in crate::scenario) on_start: Field<List<Arc<str>>>,
    pub(in crate::scenario) mix: Field<Map<f64>>,
    pub(in crate::scenario) journeys: Field<Map<JourneyFile>>,
}

impl DoingFile {
    /// The keys that must be there.
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let journeys: Field<_> = fields.optional("journeys");
        Self {
            think_time: fields.required("think_time", "1s..3s"),
            on_start: fields.optional("on_start"),
            mix: if journeys.is_absent() {
                fields.required("mix", "{ customer.get: 1 }")
            } else {
                fields.optional("mix")
            },
            journeys,
        }
    }

    /// The same keys where they should not be.
    pub(super) fn misplaced(fields: &mut Fields<'_, '_>) -> Self {
        Self {
            think_time: fields.optional("think_time"),
            on_start: fields.optional("on_start"),
            mix: fields.optional("mix"),
            journeys: fields.optional("journeys"),
        }
    }
}

/// Users who do alike.
pub(in crate::scenario) struct KindFile {
    pub(in crate::scenario) users: Field<u64>,
    pub(in crate::scenario) doing: DoingFile,
}

impl Decode for KindFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "a kind of users", errors)?;
        let kind = Self {
            users: fields.required("users", "100"),
            doing: DoingFile::read(&mut fields),
        };
        fields.close();
        Some(kind)
    }
}

/// A journey.
pub(in crate::scenario) struct JourneyFile {
    pub(in crate::scenario) weight: Field<f64>,
    pub(in crate::scenario) steps: Field<List<StepFile>>,
}

impl Decode for JourneyFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let mut fields = Fields::of(node, "a journey", errors)?;
        let journey = Self {
            weight: fields.optional("weight"),
            steps: fields.required("steps", "[customer.get]"),
        };
        fields.close();
        Some(journey)
    }
}

/// What is asked for, and how often in a row.
pub(in crate::scenario) struct AsksFile {
    pub(in crate::scenario) operation: Located<Arc<str>>,
    pub(in crate::scenario) times: Field<TimesFile>,
}

/// A step of a journey: an operation alone, or with how often and how.
pub(in crate::scenario) struct StepFile {
    /// `None` after an error.
    pub(in crate::scenario) asks: Option<AsksFile>,
    pub(in crate::scenario) think_time: Field<SpanRange>,
    pub(in crate::scenario) chance: Field<Ratio>,
    pub(in crate::scenario) remember: Field<PairsFile>,
    pub(in crate::scenario) uses: Field<PairsFile>,
    pub(in crate::scenario) leave: Field<Ratio>,
}

impl Decode for StepFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let Kind::Mapping(entries) = &node.kind else {
            let asks = AsksFile {
                operation: located(node, errors)?,
                times: Field::Absent,
            };
            return Some(Self {
                asks: Some(asks),
                think_time: Field::Absent,
                chance: Field::Absent,
                remember: Field::Absent,
                uses: Field::Absent,
                leave: Field::Absent,
            });
        };
        // Operations have a dot, keys have none.
        let (asked, rest): (Vec<_>, Vec<_>) =
            entries.iter().partition(|(key, _)| key.text.contains('.'));
        let rest = Node {
            kind: Kind::Mapping(rest.into_iter().cloned().collect()),
            place: node.place.clone(),
        };
        let asks = asks(node, &asked, errors);
        let mut fields = Fields::of(&rest, "a step", errors)?;
        let step = Self {
            asks,
            think_time: fields.optional("think_time"),
            chance: fields.optional("chance"),
            remember: fields.optional("remember"),
            uses: fields.optional("use"),
            leave: fields.optional("leave"),
        };
        fields.close();
        Some(step)
    }
}

fn asks(node: &Node, asked: &[&(Key, Node)], errors: &mut Errors) -> Option<AsksFile> {
    let (key, times) = match asked {
        [one] => one,
        [] => {
            let message = "this step asks for nothing";
            let advice = "name an operation in it, such as `product.get: 1`";
            errors.push(Diagnostic::new(&node.place, message).help(advice));
            return None;
        }
        [_, (second, _), ..] => {
            let message = "a step asks for one thing only";
            let advice = "make it a step of its own";
            errors.push(Diagnostic::new(&second.place, message).label(advice));
            return None;
        }
    };
    Some(AsksFile {
        operation: Located {
            value: key.text.clone(),
            place: key.place.clone(),
        },
        times: match located(times, errors) {
            Some(times) => Field::Given(times),
            None => Field::Wrong,
        },
    })
}

/// How often: a number, or the fewest and the most.
#[derive(Clone, Copy)]
pub(in crate::scenario) struct TimesFile {
    pub(in crate::scenario) min: u64,
    pub(in crate::scenario) max: u64,
}

impl Decode for TimesFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let written = text(node, "how often", errors)?;
        let number = |text: &str| {
            let digits: String = text.trim().chars().filter(|c| *c != '_').collect();
            let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            whole.then(|| digits.parse().ok()).flatten()
        };
        let (min, max) = written.split_once("..").unwrap_or((written, written));
        if let (Some(min), Some(max)) = (number(min), number(max)) {
            return Some(Self { min, max });
        }
        let message = format!("{:?} is not how often", short(written));
        let advice = "write a number, such as 1, or the fewest and the most, such as 2..6";
        errors.push(Diagnostic::new(&node.place, message).label(advice));
        None
    }
}

/// A name, and the one that it is taken from.
pub(in crate::scenario) type Pair = (Located<Arc<str>>, Located<Arc<str>>);

/// Names, each with the one that it is taken from: `a`, `[a, b]` or `{ a: x, b: y }`. A name alone is
/// taken from itself.
pub(in crate::scenario) struct PairsFile(pub(in crate::scenario) Vec<Pair>);

impl Decode for PairsFile {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let twice = |name: Located<Arc<str>>| (name.clone(), name);
        match &node.kind {
            Kind::Mapping(_) => {
                let pairs = Map::decode(node, errors)?.0.into_iter();
                let pairs = pairs.map(|(name, from)| Some((name, from?)));
                pairs.collect::<Option<_>>().map(Self)
            }
            Kind::Sequence(_) => {
                let names = List::decode(node, errors)?.into_iter();
                names
                    .map(|name| name.map(twice))
                    .collect::<Option<_>>()
                    .map(Self)
            }
            _ => located(node, errors).map(|name| Self(vec![twice(name)])),
        }
    }
}

/// What is written of it, and where.
pub(in crate::scenario) fn given(doing: &DoingFile) -> Vec<(&'static str, &Place)> {
    [
        ("think_time", doing.think_time.place()),
        ("on_start", doing.on_start.place()),
        ("mix", doing.mix.place()),
        ("journeys", doing.journeys.place()),
    ]
    .into_iter()
    .filter_map(|(key, place)| Some((key, place?)))
    .collect()
}
