//! Journeys: ordered steps, and what is carried from one to another.

use std::sync::Arc;

use super::super::decode::{Field, Located, Map};
use super::super::diagnostics::{Diagnostic, Errors, did_you_mean};
use super::super::file::kinds::{JourneyFile, PairsFile, StepFile, TimesFile};
use super::super::yaml::short;
use super::kinds::{Known, build_think_time};
use super::traffic::operation;
use super::{Built, check_name};
use crate::engine::data_type::{DataTypeId, KeyPattern};
use crate::units::{Ratio, thousands};
use crate::workload::kinds::{Carried, JOURNEYS_MAX, REMEMBERED_MAX, STEP_TIMES_MAX, Times};
use crate::workload::{Dimension, Journey, JourneyStep};

/// Builds the journeys of a kind.
pub(super) fn build(
    journeys: &Located<Map<JourneyFile>>,
    known: &Known<'_>,
    errors: &mut Errors,
) -> Built<Vec<Journey>> {
    let written = &journeys.value.0;
    if written.is_empty() || written.len() > JOURNEYS_MAX {
        let message = format!("a kind of users has 1 to {JOURNEYS_MAX} journeys");
        errors.push(Diagnostic::new(&journeys.place, message));
        return None;
    }
    let built: Vec<Option<Journey>> = written
        .iter()
        .map(|(name, journey)| {
            let named = check_name(name, "a journey's name", errors);
            let built = build_one(name, &journey.as_ref()?.value, known, errors);
            built.filter(|_| named)
        })
        .collect();
    let built = built.into_iter().collect::<Option<Vec<_>>>()?;
    let sum: f64 = built.iter().map(|journey| journey.weight).sum();
    if sum > 0.0 && sum.is_finite() {
        return Some(built);
    }
    let message = if sum > 0.0 {
        "the weights add up to more than a computer counts"
    } else {
        "all weights are 0, so users have no journey to make"
    };
    let advice = "give at least one journey a weight above 0";
    errors.push(Diagnostic::new(&journeys.place, message).help(advice));
    None
}

fn build_one(
    name: &Located<Arc<str>>,
    file: &JourneyFile,
    known: &Known<'_>,
    errors: &mut Errors,
) -> Built<Journey> {
    let weight = build_weight(&file.weight, errors);
    let written = file.steps.given()?;
    if written.value.is_empty() || written.value.len() > JOURNEYS_MAX {
        let message = format!("a journey has 1 to {JOURNEYS_MAX} steps");
        errors.push(Diagnostic::new(&written.place, message));
        return None;
    }
    let mut memory = Memory::default();
    let steps: Vec<Option<JourneyStep>> = written
        .value
        .iter()
        .map(|step| build_step(&step.as_ref()?.value, &mut memory, known, errors))
        .collect();
    let steps = steps.into_iter().collect::<Option<Vec<_>>>()?;
    if !steps.iter().any(JourneyStep::is_certain) {
        let message = format!("the journey `{}` may ask for nothing", name.value);
        let advice =
            "let one of its steps always be done: without `chance` and `use`, and once at least";
        errors.push(Diagnostic::new(&written.place, message).help(advice));
        return None;
    }
    Some(Journey {
        name: name.value.to_string(),
        weight: weight?,
        steps,
        remembered: memory.into_names()?,
    })
}

fn build_weight(field: &Field<f64>, errors: &mut Errors) -> Built<f64> {
    let weight = field.or(1.0)?;
    if let Some(place) = field.place()
        && weight < 0.0
    {
        let message = format!("a weight cannot be {weight}");
        let advice = "from 0 upwards; only the proportions count";
        errors.push(Diagnostic::new(place, message).label(advice));
        return None;
    }
    Some(weight)
}

/// What the steps so far remember.
#[derive(Default)]
struct Memory {
    values: Vec<Remembered>,
    /// More was wanted than fits.
    overflown: bool,
}

struct Remembered {
    name: Arc<str>,
    /// How many values it may have; `None` if that is not known, or if it is always new.
    values: Option<u64>,
    /// A running number.
    unique: bool,
}

impl Memory {
    fn place_of(&self, name: &str) -> Option<usize> {
        self.values.iter().position(|value| &*value.name == name)
    }

    fn into_names(self) -> Option<Vec<String>> {
        let names = self.values.iter().map(|value| value.name.to_string());
        (!self.overflown).then(|| names.collect())
    }
}

fn build_step(
    file: &StepFile,
    memory: &mut Memory,
    known: &Known<'_>,
    errors: &mut Errors,
) -> Built<JourneyStep> {
    let asks = file.asks.as_ref();
    let asked = asks.and_then(|asks| operation(&asks.operation, known.names, errors));
    let times = asks.and_then(|asks| build_times(&asks.times, errors));
    let data_type = asked.map(|(data_type, _)| data_type);
    let think_time = match file.think_time.given() {
        Some(given) => build_think_time(given, errors).map(Some),
        None => file.think_time.is_absent().then_some(None),
    };
    let of_key = OfKey { data_type, known };
    // Before what it remembers itself: a step uses what earlier ones left.
    let uses = build_uses(&file.uses, of_key, memory, errors);
    let remember = build_remember(&file.remember, of_key, memory, errors);
    let (data_type, operation) = asked?;
    Some(JourneyStep {
        data_type,
        operation,
        times: times?,
        chance: file.chance.or(Ratio(1.0))?,
        think_time: think_time?,
        remember: remember?,
        uses: uses?,
        leave: file.leave.or(Ratio(0.0))?,
    })
}

fn build_times(field: &Field<TimesFile>, errors: &mut Errors) -> Built<Times> {
    let Some(given) = field.given() else {
        return field.is_absent().then_some(Times { min: 1, max: 1 });
    };
    let TimesFile { min, max } = given.value;
    let limit = u64::from(STEP_TIMES_MAX);
    if (1..=limit).contains(&max) && min <= max {
        return Some(Times {
            min: min as u16,
            max: max as u16,
        });
    }
    let message = match (min <= max, min == max) {
        (false, _) => format!("{} is more than {}", thousands(min), thousands(max)),
        (true, true) => format!("a step cannot be done {} times", thousands(max)),
        (true, false) => format!("a step cannot be done up to {} times", thousands(max)),
    };
    let advice = format!("from 1 up to {}, the smaller first", thousands(limit));
    errors.push(Diagnostic::new(&given.place, message).label(advice));
    None
}

/// The key that a step asks for.
#[derive(Clone, Copy)]
struct OfKey<'a> {
    /// `None` if what it asks for is wrong.
    data_type: Option<DataTypeId>,
    known: &'a Known<'a>,
}

impl OfKey<'_> {
    fn key(&self) -> Option<&KeyPattern> {
        self.known.key(self.data_type?)
    }

    /// The place of a parameter; `None` after an error, or if the key is not known.
    fn param(&self, name: &Located<Arc<str>>, errors: &mut Errors) -> Built<u8> {
        let key = self.key()?;
        let mut params = key.params();
        if let Some(at) = params.position(|param| param == &*name.value) {
            return u8::try_from(at).ok();
        }
        let message = format!("the key {key} has no parameter `{}`", short(&name.value));
        let advice = did_you_mean(&name.value, "parameter", key.params());
        errors.push(Diagnostic::new(&name.place, message).label(advice));
        None
    }

    fn dimension(&self, param: u8) -> Option<&Dimension> {
        let population = self.known.population(self.data_type?)?;
        population.dimensions.get(usize::from(param))
    }
}

fn build_remember(
    field: &Field<PairsFile>,
    of_key: OfKey<'_>,
    memory: &mut Memory,
    errors: &mut Errors,
) -> Built<Vec<Carried>> {
    let Some(PairsFile(pairs)) = field.value() else {
        return field.is_absent().then(Vec::new);
    };
    let mut built = Some(Vec::new());
    for (name, param) in pairs {
        let param = of_key.param(param, errors);
        let dimension = param.and_then(|param| of_key.dimension(param));
        // Though the parameter may be wrong, later steps may name it.
        let value = remember(name, dimension, memory, errors);
        let carried = param
            .zip(value)
            .map(|(param, value)| Carried { param, value });
        built = built.zip(carried).map(|(mut built, carried)| {
            built.push(carried);
            built
        });
    }
    built
}

/// The place of a value called so; a new one if there is none yet.
fn remember(
    name: &Located<Arc<str>>,
    dimension: Option<&Dimension>,
    memory: &mut Memory,
    errors: &mut Errors,
) -> Built<u8> {
    let values = match dimension {
        Some(Dimension::Cardinality(values)) => Some(*values),
        _ => None,
    };
    let unique = matches!(dimension, Some(Dimension::Unique));
    if let Some(at) = memory.place_of(&name.value) {
        let known = &mut memory.values[at];
        known.values = known.values.max(values);
        known.unique |= unique;
        return u8::try_from(at).ok();
    }
    if memory.values.len() == REMEMBERED_MAX {
        let message = format!("a journey remembers at most {REMEMBERED_MAX} values");
        errors.push(Diagnostic::new(&name.place, message).label("leave out what no step uses"));
        memory.overflown = true;
        return None;
    }
    memory.values.push(Remembered {
        name: name.value.clone(),
        values,
        unique,
    });
    u8::try_from(memory.values.len() - 1).ok()
}

fn build_uses(
    field: &Field<PairsFile>,
    of_key: OfKey<'_>,
    memory: &Memory,
    errors: &mut Errors,
) -> Built<Vec<Carried>> {
    let Some(PairsFile(pairs)) = field.value() else {
        return field.is_absent().then(Vec::new);
    };
    let mut built = Some(Vec::new());
    for (param, name) in pairs {
        let place = of_key.param(param, errors);
        // A name that stands for both is told once.
        let told = place.is_none() && of_key.key().is_some() && param.value == name.value;
        let carried = if told {
            None
        } else {
            build_use(name, place, of_key, memory, errors)
        };
        built = built.zip(carried).map(|(mut built, carried)| {
            built.push(carried);
            built
        });
    }
    built
}

fn build_use(
    name: &Located<Arc<str>>,
    param: Option<u8>,
    of_key: OfKey<'_>,
    memory: &Memory,
    errors: &mut Errors,
) -> Built<Carried> {
    let Some(at) = memory.place_of(&name.value) else {
        if !memory.overflown {
            let message = format!("no earlier step remembers `{}`", short(&name.value));
            let names: Vec<&str> = memory.values.iter().map(|value| &*value.name).collect();
            let advice = if names.is_empty() {
                format!("write `remember: {}` in a step before it", name.value)
            } else {
                did_you_mean(&name.value, "value", names)
            };
            errors.push(Diagnostic::new(&name.place, message).label(advice));
        }
        return None;
    };
    let param = param?;
    check_fits(name, &memory.values[at], of_key.dimension(param), errors)?;
    Some(Carried {
        param,
        value: u8::try_from(at).ok()?,
    })
}

/// Whether every value that is remembered is one that the parameter takes.
fn check_fits(
    name: &Located<Arc<str>>,
    remembered: &Remembered,
    dimension: Option<&Dimension>,
    errors: &mut Errors,
) -> Built<()> {
    let Some(Dimension::Cardinality(takes)) = dimension else {
        // A running number may be anything.
        return Some(());
    };
    let message = if remembered.unique {
        format!(
            "`{}` is a running number, and the parameter has {} values",
            name.value,
            thousands(*takes)
        )
    } else if remembered.values.is_some_and(|values| values > *takes) {
        format!(
            "`{}` may have {} values, and the parameter only {}",
            name.value,
            thousands(remembered.values.unwrap_or_default()),
            thousands(*takes)
        )
    } else {
        return Some(());
    };
    let advice = "it would ask for keys that are in no population: make that as large";
    errors.push(Diagnostic::new(&name.place, message).label(advice));
    None
}
