//! How many keys a data type has, parameter by parameter, and which are asked for how often.

use std::sync::Arc;

use super::super::decode::{Located, Map};
use super::super::diagnostics::{Diagnostic, Errors, Place, did_you_mean};
use super::super::file::{DataTypeFile, DimensionFile, PopulationFile};
use super::{Built, popularity};
use crate::engine::data_type::KeyPattern;
use crate::units::thousands;
use crate::workload::{Dimension, KEY_PARAMS_MAX, Popularity, Population};

/// Popularity tables take some bytes a key: this many fit into a machine's memory.
const POPULATION_MAX: u64 = 100_000_000;

/// Whether a parameter of the data type is a running number.
pub(super) fn has_unique(file: &DataTypeFile) -> bool {
    let Some(PopulationFile::ByParam(map)) = file.population.value() else {
        return false;
    };
    map.0.iter().any(|(_, dimension)| {
        let dimension = dimension.as_ref().map(|d| d.value);
        matches!(dimension, Some(DimensionFile::Unique))
    })
}

/// Builds the population of the data type `name`.
pub(super) fn build(
    name: &Located<Arc<str>>,
    file: &DataTypeFile,
    users: Option<u32>,
    errors: &mut Errors,
) -> Built<Population> {
    let built = popularity::build(&file.popularity, errors);
    let popularity = built.as_ref().map(|built| &built.popularity);
    let key = file.key.given()?;
    let params: Vec<&str> = key.value.params().collect();
    if params.len() > KEY_PARAMS_MAX {
        let message = format!(
            "a key has at most {KEY_PARAMS_MAX} parameters, and this {}",
            params.len()
        );
        errors.push(Diagnostic::new(&key.place, message));
        return None;
    }
    let per_user = popularity == Some(&Popularity::PerUser);
    // The one parameter that may be left out: users bring their own number. Perhaps it is what a
    // wrong popularity meant.
    let may_be_left_out = per_user || popularity.is_none();
    let own = own_param(&params, file);
    let users = users.filter(|_| per_user);
    let users_of = |param: &str| (may_be_left_out && param == own).then_some(users);
    let place = file.population.place().unwrap_or(&name.place);
    let dimensions = match file.population.value() {
        None if file.population.is_absent() => absent(&params, users_of, place, errors)?,
        None => return None,
        Some(PopulationFile::Total(total)) => {
            if params.len() != 1 {
                errors.push(wants_params(&key.value, &params, place));
                return None;
            }
            vec![Dimension::Cardinality(*total)]
        }
        Some(PopulationFile::ByParam(map)) => {
            check_params(map, &key.value, &params, errors);
            let dimensions: Vec<_> = params
                .iter()
                .map(|param| by_param(map, param, users_of(param), place, errors))
                .collect();
            dimensions.into_iter().collect::<Option<Vec<_>>>()?
        }
    };
    check_size(&dimensions, place, errors)?;
    if per_user {
        check_per_user(name, &dimensions, users?, place, errors)?;
    }
    let one_hit = popularity::one_hit(file, &dimensions, popularity?, errors);
    let built = built?;
    Some(Population {
        dimensions,
        popularity: built.popularity,
        drift: built.drift,
        one_hit: one_hit?,
    })
}

/// The parameter that is the user's own number where keys are per user: the first that is no
/// running number.
fn own_param<'p>(params: &[&'p str], file: &DataTypeFile) -> &'p str {
    let unique = |param: &str| match file.population.value() {
        Some(PopulationFile::ByParam(map)) => {
            let dimension = map.0.iter().find(|(name, _)| &*name.value == param);
            let dimension = dimension.and_then(|(_, d)| d.as_ref()).map(|d| d.value);
            matches!(dimension, Some(DimensionFile::Unique))
        }
        _ => false,
    };
    params
        .iter()
        .find(|param| !unique(param))
        .copied()
        .unwrap_or_default()
}

/// What the population is if the file does not say.
fn absent(
    params: &[&str],
    users_of: impl Fn(&str) -> Option<Built<u32>>,
    name_place: &Place,
    errors: &mut Errors,
) -> Built<Vec<Dimension>> {
    match params {
        [] => Some(Vec::new()),
        [one] if users_of(one).is_some() => {
            let users = users_of(one)??;
            Some(vec![Dimension::Cardinality(users.into())])
        }
        _ => {
            let example = match params {
                [_] => "population: 50_000".to_owned(),
                _ => format!("population: {}", by_param_example(params)),
            };
            let message = "`population` is missing in a data type";
            errors.push(Diagnostic::new(name_place, message).help(format!("add `{example}`")));
            None
        }
    }
}

fn by_param_example(params: &[&str]) -> String {
    let each: Vec<String> = params
        .iter()
        .map(|param| format!("{param}: 1000"))
        .collect();
    format!("{{ {} }}", each.join(", "))
}

fn wants_params(key: &KeyPattern, params: &[&str], place: &Place) -> Diagnostic {
    if params.is_empty() {
        let message = format!("the key {key} has no parameter, so there is one entry only");
        return Diagnostic::new(place, message).label("remove it");
    }
    let message = format!("the key {key} has {} parameters", params.len());
    Diagnostic::new(place, message)
        .label("say how many values each takes")
        .help(format!("write `population: {}`", by_param_example(params)))
}

fn check_params(map: &Map<DimensionFile>, key: &KeyPattern, params: &[&str], errors: &mut Errors) {
    for (name, _) in &map.0 {
        if !params.contains(&&*name.value) {
            let message = format!("the key {key} has no parameter `{}`", name.value);
            let advice = did_you_mean(&name.value, "parameter", params.iter().copied());
            errors.push(Diagnostic::new(&name.place, message).label(advice));
        }
    }
}

fn by_param(
    map: &Map<DimensionFile>,
    param: &str,
    users: Option<Built<u32>>,
    place: &Place,
    errors: &mut Errors,
) -> Built<Dimension> {
    let found = map.0.iter().find(|(name, _)| &*name.value == param);
    match (found, users) {
        (Some((_, dimension)), _) => Some(match dimension.as_ref()?.value {
            DimensionFile::Cardinality(count) => Dimension::Cardinality(count),
            DimensionFile::Unique => Dimension::Unique,
        }),
        (None, Some(users)) => Some(Dimension::Cardinality(users?.into())),
        (None, None) => {
            let message = format!("how many values has the parameter `{param}`?");
            errors.push(Diagnostic::new(place, message).help(format!("add `{param}: 1000`")));
            None
        }
    }
}

fn check_size(dimensions: &[Dimension], place: &Place, errors: &mut Errors) -> Built<()> {
    let total = dimensions
        .iter()
        .filter_map(|dimension| match dimension {
            Dimension::Cardinality(count) => Some(*count),
            Dimension::Unique => None,
        })
        .try_fold(1, u64::checked_mul);
    if total.is_some_and(|total| (1..=POPULATION_MAX).contains(&total)) {
        return Some(());
    }
    let message = match total {
        Some(0) => "a population of 0 keys cannot be asked for anything".to_owned(),
        _ => "this population is too large".to_owned(),
    };
    let advice = format!("from 1 up to {} keys in all", thousands(POPULATION_MAX));
    errors.push(Diagnostic::new(place, message).label(advice));
    None
}

fn check_per_user(
    name: &Located<Arc<str>>,
    dimensions: &[Dimension],
    users: u32,
    place: &Place,
    errors: &mut Errors,
) -> Built<()> {
    let own = dimensions.iter().find_map(|dimension| match dimension {
        Dimension::Cardinality(count) => Some(*count),
        Dimension::Unique => None,
    });
    let Some(count) = own else {
        let message = format!(
            "`{}` is per user, and no parameter is the user's",
            name.value
        );
        let help = "give its key a parameter that is not `unique`, such as {user_id}";
        errors.push(Diagnostic::new(&name.place, message).help(help));
        return None;
    };
    if count < u64::from(users) {
        let (count, users) = (thousands(count), thousands(users.into()));
        let message = format!("{count} keys are too few for one each of {users} users");
        let advice = "leave it out to have one for each user";
        errors.push(Diagnostic::new(place, message).label(advice));
        return None;
    }
    Some(())
}
