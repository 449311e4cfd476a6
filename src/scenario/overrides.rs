//! What the command line changes in a scenario before it is read: `--set path=value`, `--users`,
//! `--driver`, `--seed`.
//!
//! Values are put into the tree, so that they pass the same checks as those of the file; an error
//! in one names the argument instead of a line. A path goes through mappings by key and through
//! lists by number (from 0) or, where the items have a `name`, by name:
//! `traffic.phases.steady.for=10s`, `traffic.mix.product.get=0`, `baseline=none`.

use std::time::Duration;

use super::diagnostics::{Diagnostic, Errors, Place, closest, did_you_mean};
use super::shown;
use super::yaml::{self, Key, Kind, Node, short};
use crate::seed::Seed;

/// More names in a path than a scenario has levels.
const PATH_NAMES_MAX: usize = 16;

/// What the command line changes.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--set path=value`, in the order given; a later one wins.
    pub set: Vec<(String, String)>,
    /// `--users`: how many users.
    pub users: Option<u32>,
    /// `--driver`: what drives them.
    pub driver: Option<String>,
    /// `--target`: the base URLs of the service to drive.
    pub target: Vec<String>,
    /// `--seed`: the reproducer.
    pub seed: Option<Seed>,
    /// `--duration`: how long is measured in all. Several measured phases keep their proportions;
    /// warm-up is left as it is.
    pub duration: Option<Duration>,
}

/// Puts `overrides` into the tree. The duration is left to those who know phases.
pub(super) fn apply(root: &mut Node, overrides: &Overrides, errors: &mut Errors) {
    for (path, value) in &overrides.set {
        let place = Place::argument(short(&shown::argument(path, value)));
        if let Some(value) = read_value(value, &place, errors) {
            set(root, path, value, &place, errors);
        }
    }
    if let Some(users) = overrides.users {
        let place = Place::argument(format!("--users {users}"));
        let value = scalar(users, &place);
        set(root, "traffic.users", value, &place, errors);
    }
    if let Some(driver) = &overrides.driver {
        let place = Place::argument(short(&format!("--driver {driver}")));
        let value = scalar(driver, &place);
        set(root, "traffic.driver", value, &place, errors);
    }
    if !overrides.target.is_empty() {
        let typed = overrides.target.iter().map(|url| format!("--target {url}"));
        let place = Place::argument(short(&typed.collect::<Vec<_>>().join(" ")));
        let urls = overrides.target.iter().map(|url| scalar(url, &place));
        let value = Node {
            kind: Kind::Sequence(urls.collect()),
            place: place.clone(),
        };
        set(root, "target.url", value, &place, errors);
    }
    if let Some(seed) = overrides.seed {
        let place = Place::argument(format!("--seed {seed}"));
        let value = scalar(seed, &place);
        set(root, "seed", value, &place, errors);
    }
}

fn scalar(value: impl std::fmt::Display, place: &Place) -> Node {
    Node {
        kind: Kind::Scalar(value.to_string().into()),
        place: place.clone(),
    }
}

/// The value of an argument: YAML, so that `{ entries: 10 }` and `[a, b]` work.
fn read_value(text: &str, place: &Place, errors: &mut Errors) -> Option<Node> {
    let mut found = Errors::default();
    let node = yaml::read(text, &mut found);
    if found.is_empty() {
        return node.map(|node| moved(node, place));
    }
    for error in found.of("", text).iter() {
        let message = format!("the value cannot be read: {}", error.message());
        errors.push(Diagnostic::new(place, message));
    }
    None
}

/// `node` with everything in it as if written at `place`.
pub(super) fn moved(node: Node, place: &Place) -> Node {
    let kind = match node.kind {
        Kind::Scalar(_) | Kind::Null => node.kind,
        Kind::Sequence(items) => {
            Kind::Sequence(items.into_iter().map(|item| moved(item, place)).collect())
        }
        Kind::Mapping(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                let key = Key {
                    text: key.text,
                    place: place.clone(),
                };
                (key, moved(value, place))
            });
            Kind::Mapping(entries.collect())
        }
    };
    Node {
        kind,
        place: place.clone(),
    }
}

/// Puts `value` at `path`; `place` is where that was asked.
pub(super) fn set(root: &mut Node, path: &str, value: Node, place: &Place, errors: &mut Errors) {
    let names: Vec<&str> = path.split('.').collect();
    if names.iter().any(|name| name.is_empty()) || names.len() > PATH_NAMES_MAX {
        errors.push(
            Diagnostic::new(
                place,
                format!("{:?} is no path into a scenario", short(path)),
            )
            .help("a path is names with dots between them, such as traffic.users=100"),
        );
        return;
    }
    let mut here = root;
    let mut at = 0;
    while at < names.len() {
        let (next, taken) = match step(here, &names, at, place) {
            Ok(found) => found,
            Err(error) => {
                errors.push(*error);
                return;
            }
        };
        here = next;
        at += taken;
    }
    *here = value;
}

/// The node that `names` from `at` on lead to, and how many names that took. What is not there
/// yet is made; if it has no business there, whoever reads the tree will say so.
fn step<'n>(
    here: &'n mut Node,
    names: &[&str],
    at: usize,
    place: &Place,
) -> Result<(&'n mut Node, usize), Box<Diagnostic>> {
    if let Kind::Scalar(_) | Kind::Null = here.kind {
        // `none` gives way: layers.local=none may become layers.local.entries=10.
        *here = Node {
            kind: Kind::Mapping(Vec::new()),
            place: place.clone(),
        };
    }
    match &mut here.kind {
        Kind::Mapping(entries) => step_by_key(entries, names, at, place),
        Kind::Sequence(items) => step_by_item(items, names, at, place).map(|node| (node, 1)),
        // Made a mapping above.
        Kind::Scalar(_) | Kind::Null => {
            Err(Box::new(Diagnostic::new(place, "nothing can be set here")))
        }
    }
}

fn step_by_key<'n>(
    entries: &'n mut Vec<(Key, Node)>,
    names: &[&str],
    at: usize,
    place: &Place,
) -> Result<(&'n mut Node, usize), Box<Diagnostic>> {
    // Keys of the mix have a dot in them: the longest key that is there wins.
    let rest = &names[at..];
    let there = (1..=rest.len()).rev().find_map(|taken| {
        let key = rest[..taken].join(".");
        let index = entries.iter().position(|(k, _)| *k.text == *key)?;
        Some((index, taken))
    });
    if let Some((index, taken)) = there {
        return Ok((&mut entries[index].1, taken));
    }
    if let Some(error) = misspelled(entries, names, at, place) {
        return Err(Box::new(error));
    }
    let index = entries.len();
    let in_mix = is_mix(&names[..at]);
    let taken = if in_mix { rest.len() } else { 1 };
    let key = Key {
        text: rest[..taken].join(".").into(),
        place: place.clone(),
    };
    let nothing = Node {
        kind: Kind::Null,
        place: place.clone(),
    };
    entries.push((key, nothing));
    Ok((&mut entries[index].1, taken))
}

/// Whether the keys at a path are operations.
fn is_mix(path: &[&str]) -> bool {
    matches!(path, ["traffic", "mix"] | ["traffic", "kinds", _, "mix"])
}

/// A path that goes on below a key that is not there may mean to make it, but not if another key
/// is close to it, and no data type is made of a single value.
fn misspelled(
    entries: &[(Key, Node)],
    names: &[&str],
    at: usize,
    place: &Place,
) -> Option<Diagnostic> {
    let (wanted, path) = (names[at], names[..at].join("."));
    let there = entries.iter().map(|(key, _)| &*key.text);
    let goes_on = at + 1 < names.len() && !is_mix(&names[..at]);
    if goes_on && (path == "data_types" || closest(wanted, there.clone()).is_some()) {
        let path = if path.is_empty() {
            "the scenario"
        } else {
            &path
        };
        let message = format!("{path} has no key `{}`", short(wanted));
        return Some(Diagnostic::new(place, message).help(did_you_mean(wanted, "key", there)));
    }
    None
}

fn step_by_item<'n>(
    items: &'n mut [Node],
    names: &[&str],
    at: usize,
    place: &Place,
) -> Result<&'n mut Node, Box<Diagnostic>> {
    let wanted = names[at];
    let path = names[..at].join(".");
    let count = items.len();
    let by_name = items.iter().position(|item| name_of(item) == Some(wanted));
    let by_number = || {
        wanted
            .parse::<usize>()
            .ok()
            .filter(|number| *number < count)
    };
    if let Some(index) = by_name.or_else(by_number) {
        return Ok(&mut items[index]);
    }
    let message = format!("`{path}` has no item `{}`", short(wanted));
    let names: Vec<&str> = items.iter().filter_map(name_of).collect();
    let mut error = Diagnostic::new(place, message);
    if !names.is_empty() {
        error = error.help(did_you_mean(wanted, "item", names));
    }
    let error = error.help(match count {
        0 => "the list is empty".to_owned(),
        _ => format!("items are also numbered, from 0 to {}", count - 1),
    });
    Err(Box::new(error))
}

fn name_of(item: &Node) -> Option<&str> {
    let Kind::Mapping(entries) = &item.kind else {
        return None;
    };
    match &entries.iter().find(|(key, _)| &*key.text == "name")?.1.kind {
        Kind::Scalar(name) => Some(name),
        _ => None,
    }
}
