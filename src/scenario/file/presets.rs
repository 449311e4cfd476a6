//! Presets: data types whose popularity, sizes, lifetimes and operations somebody published.
//!
//! A data type that names one gets its keys where it does not write them itself, before anything
//! is read: so a preset is written as data types are, and passes the same checks. Called by
//! `file.rs`. The rows stand in `workload/presets.yaml`, and for people in `docs/workloads.md`.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use crate::scenario::diagnostics::{Diagnostic, Errors, did_you_mean};
use crate::scenario::overrides::moved;
use crate::scenario::yaml::{self, Key, Kind, Node, short};
use crate::workload::presets::PRESETS;

/// What a preset gives a data type. What else stands in its row is for people.
const GIVEN: [&str; 5] = ["popularity", "one_hit", "value_size", "ttl", "operations"];
/// Why a row cannot be used.
const REFUSED: &str = "refused";

/// What stands for a preset that there is not, so that the keys which it would give are not missed,
/// too: an error has been told already.
const STAND_IN: &str = "twitter/cluster44";

/// The rows by name, in the order of the file.
pub(in crate::scenario) static ROWS: LazyLock<Vec<(Key, Node)>> = LazyLock::new(|| {
    let read = yaml::read(PRESETS, &mut Errors::default());
    match read.map(|node| node.kind) {
        Some(Kind::Mapping(rows)) => rows,
        _ => Vec::new(),
    }
});

/// `node`, a data type, with what the preset that it names adds to it.
pub(super) fn with_preset<'n>(node: &'n Node, errors: &mut Errors) -> Cow<'n, Node> {
    let Kind::Mapping(entries) = &node.kind else {
        return Cow::Borrowed(node);
    };
    let Some(named) = value_of(entries, "preset") else {
        return Cow::Borrowed(node);
    };
    let Some(row) = row_of(named, errors).or_else(|| entries_of(STAND_IN)) else {
        return Cow::Borrowed(node);
    };
    let strategy = match value_of(entries, "strategy").map(|node| &node.kind) {
        Some(Kind::Scalar(word)) => &**word,
        _ => "",
    };
    // What the strategy has no use for: a queue is only put to, and a counter has no value.
    let useless: &[&str] = match strategy {
        "counter" => &["operations", "value_size"],
        "write-behind" => &["operations"],
        _ => &[],
    };
    let mut entries = entries.clone();
    for (key, value) in row {
        let wanted = GIVEN.contains(&&*key.text) && !useless.contains(&&*key.text);
        if wanted && value_of(&entries, &key.text).is_none() {
            let key = Key {
                text: Arc::clone(&key.text),
                place: named.place.clone(),
            };
            entries.push((key, moved(value.clone(), &named.place)));
        }
    }
    Cow::Owned(Node {
        kind: Kind::Mapping(entries),
        place: node.place.clone(),
    })
}

/// The row that `named` names.
fn row_of(named: &Node, errors: &mut Errors) -> Option<&'static [(Key, Node)]> {
    // What is no name, whoever reads the key tells.
    let Kind::Scalar(name) = &named.kind else {
        return None;
    };
    let Some(entries) = entries_of(name) else {
        let message = format!("there is no preset `{}`", short(name));
        let advice = did_you_mean(name, "preset", ROWS.iter().map(|(known, _)| &*known.text));
        errors.push(
            Diagnostic::new(&named.place, message)
                .label(advice)
                .help("all presets are listed in docs/workloads.md"),
        );
        return None;
    };
    if let Some(Node {
        kind: Kind::Scalar(why),
        ..
    }) = value_of(entries, REFUSED)
    {
        let message = format!("the preset `{name}` cannot be used: {why}");
        errors.push(Diagnostic::new(&named.place, message).label("take another one"));
        return None;
    }
    Some(entries)
}

fn entries_of(name: &str) -> Option<&'static [(Key, Node)]> {
    let (_, row) = ROWS.iter().find(|(known, _)| *known.text == *name)?;
    match &row.kind {
        Kind::Mapping(entries) => Some(entries),
        _ => None,
    }
}

fn value_of<'n>(entries: &'n [(Key, Node)], key: &str) -> Option<&'n Node> {
    let found = entries.iter().find(|(known, _)| &*known.text == key);
    found.map(|(_, value)| value)
}
