//! A scenario with a `target`: a service that is not ours is driven, and what the built-in one would be
//! made of must not be said.
//!
//! Works on the tree before it is read: what contradicts the target is reported and taken out, and what
//! the rest of the room wants of each scenario is put in, as little as there can be. So nobody else has
//! to know of it. Called by the scenario's front door, for each variant.

use super::diagnostics::{Diagnostic, Errors, Place};
use super::yaml::{Key, Kind, Node, short};

/// The section's key.
const TARGET: &str = "target";

/// Sections that say what the built-in service is, or what only happens inside of it.
pub(super) const OF_THE_SERVICE: [&str; 8] = [
    "layers",
    "instances",
    "origin",
    "resilience",
    "warming",
    "jobs",
    "simulation",
    "baseline",
];

/// Keys of a data type that say how the built-in service keeps it.
pub(super) const OF_THE_POLICY: [&str; 14] = [
    "related",
    "ttl",
    "local_ttl",
    "invalidation",
    "negative_ttl",
    "ttl_jitter",
    "stampede",
    "serve_stale",
    "sliding",
    "store",
    "consistency",
    "prefilled",
    "limit",
    "origin",
];

/// What a value is that nobody gave a size.
const VALUE_SIZE: &str = "1KiB";
const STRATEGIES: [&str; 2] = ["cache-aside", "counter"];

/// Whether the scenario names a target; then what it must not have is reported and gone, and what it
/// lacks for it is there.
pub(super) fn complete(root: &mut Node, errors: &mut Errors) {
    let Kind::Mapping(sections) = &mut root.kind else {
        return;
    };
    let Some(target) = find(sections, TARGET).filter(|target| !is_off(target)) else {
        return;
    };
    let place = target.place.clone();
    let said = |key: &str| {
        format!(
            "`{key}` belongs to the built-in service, which is not started where there is a target"
        )
    };
    refuse(sections, &OF_THE_SERVICE, &said, &place, errors);
    let off = || scalar("none", &place);
    let layers = mapping([("local", off()), ("remote", off())], &place);
    put(sections, "layers", layers, &place);
    let origin = mapping([("connections", scalar("1", &place))], &place);
    put(sections, "origin", origin, &place);
    let Some(data_types) = find_mut(sections, "data_types") else {
        return;
    };
    let Kind::Mapping(data_types) = &mut data_types.kind else {
        return;
    };
    for (_, data_type) in data_types {
        if let Kind::Mapping(keys) = &mut data_type.kind {
            complete_data_type(keys, &place, errors);
        }
    }
}

fn complete_data_type(keys: &mut Vec<(Key, Node)>, target: &Place, errors: &mut Errors) {
    let said = |key: &str| {
        format!("`{key}` says how the built-in service keeps a data type, and here is a target")
    };
    refuse(keys, &OF_THE_POLICY, &said, target, errors);
    let strategy = find(keys, "strategy").map(|node| (node.kind.clone(), node.place.clone()));
    let counter = match strategy {
        Some((Kind::Scalar(word), place)) => {
            let known = ["write-through", "write-behind"];
            if known.contains(&&*word) {
                let message = format!(
                    "`{}` says how the built-in service writes, and here is a target",
                    short(&word)
                );
                let advice = format!("remove it, or write {}", STRATEGIES.join(" or "));
                errors.push(Diagnostic::new(&place, message).label(advice));
            }
            &*word == "counter"
        }
        _ => false,
    };
    if find(keys, "strategy").is_none() {
        put(keys, "strategy", scalar("cache-aside", target), target);
    }
    put(keys, "ttl", scalar("1h", target), target);
    if counter {
        let once = [
            ("requests", scalar("1", target)),
            ("window", scalar("1h", target)),
        ];
        put(keys, "limit", mapping(once, target), target);
        return;
    }
    // A preset may give it.
    if find(keys, "value_size").is_none() && find(keys, "preset").is_none() {
        put(keys, "value_size", scalar(VALUE_SIZE, target), target);
    }
    let no_time = [
        ("median", scalar("0s", target)),
        ("p99", scalar("0s", target)),
    ];
    let no_time = mapping(no_time, target);
    let origin = mapping([("query_time", no_time)], target);
    put(keys, "origin", origin, target);
}

/// Reports and removes those of `keys` that `entries` have, but for those that are switched off.
fn refuse(
    entries: &mut Vec<(Key, Node)>,
    keys: &[&str],
    said: &dyn Fn(&str) -> String,
    target: &Place,
    errors: &mut Errors,
) {
    entries.retain(|(key, node)| {
        if !keys.contains(&&*key.text) {
            return true;
        }
        if !is_off(node) {
            errors.push(
                Diagnostic::new(&key.place, said(&key.text))
                    .label("remove it, or the target")
                    .note("the target stands here", target),
            );
        }
        false
    });
}

/// `none`, or a list without items.
fn is_off(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar(text) => &**text == "none",
        Kind::Sequence(items) => items.is_empty(),
        Kind::Null | Kind::Mapping(_) => false,
    }
}

fn find<'n>(entries: &'n [(Key, Node)], name: &str) -> Option<&'n Node> {
    let mut entries = entries.iter();
    entries
        .find(|(key, _)| &*key.text == name)
        .map(|(_, node)| node)
}

fn find_mut<'n>(entries: &'n mut [(Key, Node)], name: &str) -> Option<&'n mut Node> {
    let mut entries = entries.iter_mut();
    entries
        .find(|(key, _)| &*key.text == name)
        .map(|(_, node)| node)
}

fn put(entries: &mut Vec<(Key, Node)>, name: &str, value: Node, place: &Place) {
    entries.push((key(name, place), value));
}

fn key(name: &str, place: &Place) -> Key {
    Key {
        text: name.into(),
        place: place.clone(),
    }
}

fn scalar(text: &str, place: &Place) -> Node {
    Node {
        kind: Kind::Scalar(text.into()),
        place: place.clone(),
    }
}

fn mapping<const N: usize>(entries: [(&str, Node); N], place: &Place) -> Node {
    let entries = entries.map(|(name, node)| (key(name, place), node));
    Node {
        kind: Kind::Mapping(entries.into()),
        place: place.clone(),
    }
}
