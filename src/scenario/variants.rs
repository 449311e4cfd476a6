//! Variants: alternatives of one scenario, each the scenario with a few values set otherwise.
//!
//! Each variant is read as a scenario of its own, so that nothing is checked less than elsewhere;
//! an error that all of them share is told once, and any other names its variants. Called by the
//! scenario's front door, after the command line's changes: where both set a value, the variant's
//! own wins, since it is what makes it that variant.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::build::check_name;
use super::decode::{Decode as _, Field, List, Located};
use super::diagnostics::{Diagnostic, Errors};
use super::file::alternatives::{Changes, VariantFile};
use super::plan::{Plan, Variant};
use super::yaml::{Key, Kind, Node};
use super::{overrides, read_one, resolved, shown};

/// The key of the list in a scenario.
const KEY: &str = "variants";
/// More would take hours.
const VARIANTS_MAX: usize = 24;

/// A variant that can be tried.
struct Written {
    name: Arc<str>,
    main: bool,
    changes: Vec<(Key, Node)>,
}

/// Takes the list of variants out of the tree; `None` if there is none.
pub(super) fn take(root: &mut Node, errors: &mut Errors) -> Option<Node> {
    let Kind::Mapping(entries) = &mut root.kind else {
        return None;
    };
    let at = entries.iter().position(|(key, _)| &*key.text == KEY)?;
    let (_, list) = entries.remove(at);
    match &list.kind {
        Kind::Scalar(none) if &**none == "none" => None,
        Kind::Sequence(items) if items.is_empty() || items.len() > VARIANTS_MAX => {
            let message = format!("a scenario has from 1 to {VARIANTS_MAX} variants");
            let advice = "write `variants: none`, or leave it out, to have none";
            errors.push(Diagnostic::new(&list.place, message).label(advice));
            None
        }
        _ => Some(list),
    }
}

/// The plan of the main variant, with the others in it; `root` is the scenario without its list.
pub(super) fn read(
    root: &Node,
    list: &Node,
    source: &str,
    duration: Option<Duration>,
    errors: &mut Errors,
) -> Option<Plan> {
    let variants = written(list, errors);
    let mut told = Vec::new();
    let mut plans = Vec::new();
    for variant in &variants {
        let mut own = Errors::default();
        let mut tree = root.clone();
        for (path, value) in &variant.changes {
            overrides::set(&mut tree, &path.text, value.clone(), &path.place, &mut own);
        }
        plans.push(read_one(&tree, source, duration, &mut own));
        told.push((Arc::clone(&variant.name), own.into_iter().collect()));
    }
    tell(told, errors);
    let plans: Vec<Plan> = plans.into_iter().collect::<Option<_>>()?;
    assemble(&variants, plans)
}

fn written(list: &Node, errors: &mut Errors) -> Vec<Written> {
    let Some(items) = List::<VariantFile>::decode(list, errors) else {
        return Vec::new();
    };
    let items: Vec<_> = items.into_iter().flatten().collect();
    check_names(&items, errors);
    check_main(&items, errors);
    items
        .iter()
        .filter_map(|item| {
            let changes = match &item.value.set {
                Field::Absent => Vec::new(),
                Field::Wrong => return None,
                Field::Given(Located {
                    value: Changes(changes),
                    ..
                }) => changes.clone(),
            };
            check_paths(&changes, errors);
            Some(Written {
                name: item.value.name.value()?.clone(),
                main: item.value.main.or(false)?,
                changes,
            })
        })
        .collect()
}

fn check_names(items: &[Located<VariantFile>], errors: &mut Errors) {
    let mut seen: Vec<&Located<Arc<str>>> = Vec::new();
    for name in items.iter().filter_map(|item| item.value.name.given()) {
        if !check_name(name, "a variant's name", errors) {
            continue;
        }
        if let Some(first) = seen.iter().find(|first| first.value == name.value) {
            let message = format!("two variants are called {:?}", name.value);
            errors.push(
                Diagnostic::new(&name.place, message)
                    .label("give it another name")
                    .note("the first stands here", &first.place),
            );
        }
        seen.push(name);
    }
}

fn check_main(items: &[Located<VariantFile>], errors: &mut Errors) {
    let mut mains = items.iter().filter_map(|item| {
        let main = item.value.main.given()?;
        main.value.then_some(&main.place)
    });
    if let Some(first) = mains.next() {
        for another in mains {
            errors.push(
                Diagnostic::new(another, "two variants are the main one")
                    .label("one of them decides the verdict")
                    .note("the first stands here", first),
            );
        }
    }
}

/// What all variants must have in common.
fn check_paths(changes: &[(Key, Node)], errors: &mut Errors) {
    for (path, _) in changes {
        let first = path.text.split('.').next().unwrap_or_default();
        let why = match first {
            "name" => "all variants belong to one scenario and its name",
            KEY => "a variant has no variants of its own",
            "baseline" => "the baseline is run once, for all variants",
            _ => continue,
        };
        let message = format!("a variant cannot set `{first}`: {why}");
        errors.push(Diagnostic::new(&path.place, message).label("remove it"));
    }
}

/// Every error once. One that not all variants have names those that do.
fn tell(told: Vec<(Arc<str>, Vec<Diagnostic>)>, errors: &mut Errors) {
    let names: Vec<String> = told.iter().map(|(name, _)| format!("`{name}`")).collect();
    // Which variants have an error, by their places.
    let mut distinct: Vec<(Diagnostic, BTreeSet<usize>)> = Vec::new();
    for (at, (_, own)) in told.into_iter().enumerate() {
        for error in own {
            match distinct.iter_mut().find(|(known, _)| *known == error) {
                Some((_, variants)) => {
                    variants.insert(at);
                }
                None => distinct.push((error, BTreeSet::from([at]))),
            }
        }
    }
    for (error, variants) in distinct {
        if variants.len() == names.len() {
            errors.push(error);
            continue;
        }
        let some: Vec<&str> = variants.iter().map(|at| &*names[*at]).collect();
        let plural = if some.len() > 1 { "s" } else { "" };
        errors.push(error.help(format!("in the variant{plural} {}", some.join(", "))));
    }
}

fn assemble(written: &[Written], plans: Vec<Plan>) -> Option<Plan> {
    let main = written.iter().position(|variant| variant.main).unwrap_or(0);
    let mut held = None;
    let mut variants = Vec::new();
    for (at, (variant, plan)) in written.iter().zip(plans).enumerate() {
        let plan = if at == main {
            held = Some(plan);
            None
        } else {
            Some(plan)
        };
        let changes = variant.changes.iter();
        variants.push(Variant {
            name: variant.name.to_string(),
            changes: changes
                .map(|(path, value)| shown::change(&path.text, value))
                .collect(),
            plan,
        });
    }
    let mut plan = held?;
    plan.variants = variants;
    plan.resolved_yaml = resolved::write(&plan);
    Some(plan)
}
