//! A gate, written out again: those of phases as the list has them.

use super::{Yaml, map};
use crate::gates::Gate;

pub(super) fn write(gate: &Gate) -> Yaml {
    let mut written = map([
        ("name", Yaml::text(&gate.name)),
        ("source", Yaml::text(&gate.source)),
        ("check", Yaml::text(&gate.check.text)),
    ]);
    if let Yaml::Map(entries) = &mut written {
        let spans = [("window", gate.window), ("abort_after", gate.abort_after)];
        let given = spans
            .into_iter()
            .filter_map(|(key, span)| Some((key, span?)));
        entries.extend(given.map(|(key, span)| (key.to_owned(), Yaml::span(span))));
    }
    written
}
