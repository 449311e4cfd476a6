//! YAML as a tree in which every value knows its place.
//!
//! Read from the parser's events instead of through serde, because serde stops at the first error
//! and we want them all. Called by the scenario's front door and by overrides. Knows nothing of
//! scenarios. Refuses what would surprise: duplicate keys, tags, several documents, control
//! characters, and more nodes than a scenario can need (an "alias bomb").

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustc_hash::FxBuildHasher;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::diagnostics::{Diagnostic, Errors, Place};

/// What a file may cost: each node 1, and 1 more for every 64 bytes of its text. Far above any
/// scenario, and small enough that a file of aliases to aliases cannot fill the memory.
const COST_MAX: usize = 100_000;
/// How deep values may be nested.
const DEPTH_MAX: usize = 32;
/// How many errors of structure are kept: a broken file can have one in each byte.
const ERRORS_MAX: usize = 1_000;

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) place: Place,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A text or a number: which, whoever reads it decides.
    Scalar(Arc<str>),
    /// Nothing, where a value could stand.
    Null,
    Sequence(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

/// A mapping's key with its place.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) text: Arc<str>,
    pub(super) place: Place,
}

impl Node {
    /// A collection that begins below its key is shown at the key: "in this data type …".
    fn shown_at(mut self, key: &Place) -> Self {
        let collection = matches!(self.kind, Kind::Sequence(_) | Kind::Mapping(_));
        if collection && key.line() < self.place.line() {
            self.place = key.clone();
        }
        self
    }

    /// "a mapping", for errors.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            Kind::Scalar(text) if text.chars().count() > 40 => "a long text".to_owned(),
            Kind::Scalar(text) => format!("{text:?}"),
            Kind::Null => "nothing".to_owned(),
            Kind::Sequence(_) => "a list".to_owned(),
            Kind::Mapping(_) => "a mapping of keys to values".to_owned(),
        }
    }
}

/// Reads the one document in `text`. `None` if there is none or the parser could not go on; then
/// an error says why. A tree that is returned may still have had errors.
pub(super) fn read(text: &str, errors: &mut Errors) -> Option<Node> {
    // A byte order mark says nothing in UTF-8; the parser would count it as a column.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(error) = forbidden_character(text) {
        errors.push(error);
        return None;
    }
    let mut builder = Builder::new(text);
    for event in Parser::new_from_str(text) {
        let more = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                let mark = error.marker();
                let at = place(mark.line(), mark.col(), 1);
                builder.report(Diagnostic::new(
                    &at,
                    format!("this is not YAML: {}", error.info()),
                ));
                builder.root = None;
                false
            }
        };
        if !more {
            break;
        }
    }
    if builder.root.is_none() && builder.errors.is_empty() {
        let empty = Diagnostic::new(&Place::Whole, "there is nothing in it");
        builder.report(empty.help("scenarios/adr-006.yaml is a scenario to begin with"));
    }
    for error in builder.errors {
        errors.push(error);
    }
    builder.root
}

/// The parser takes NUL for the end of the file and leaves out what follows: nothing of a
/// scenario may be lost silently.
fn forbidden_character(text: &str) -> Option<Diagnostic> {
    for (number, line) in (1..).zip(text.split('\n')) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let wrong = |c: char| (c.is_control() && c != '\t') || c == '\u{feff}';
        if let Some(at) = line.chars().position(wrong) {
            let place = place(number, at, 1);
            return Some(
                Diagnostic::new(&place, "a control character stands here")
                    .help("remove it; in a text in double quotes it can be written as \\x01"),
            );
        }
    }
    None
}

/// From the parser's way of counting (lines from 1, columns from 0) to ours.
fn place(line: usize, column_from_0: usize, width: usize) -> Place {
    Place::Source {
        line: line.max(1),
        column: column_from_0 + 1,
        width: width.max(1),
    }
}

/// A collection that is not finished.
struct Open {
    node: Node,
    anchor: usize,
    /// What it costs so far, itself and everything in it.
    cost: usize,
    /// How deep the deepest thing in it is nested.
    height: usize,
    /// The key whose value comes next; unset when a key comes next.
    key: Option<Key>,
    /// A key that is no text was met, and its value must be skipped.
    skip_value: bool,
    seen: HashSet<Arc<str>, FxBuildHasher>,
}

/// An anchored value, finished.
struct Anchored {
    node: Node,
    cost: usize,
    height: usize,
}

struct Builder<'t> {
    /// By line, to tell how wide a value is.
    lines: Vec<&'t str>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored, FxBuildHasher>,
    cost: usize,
    documents: usize,
    root: Option<Node>,
    errors: Vec<Diagnostic>,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            lines: text.lines().collect(),
            open: Vec::new(),
            anchors: HashMap::default(),
            cost: 0,
            documents: 0,
            root: None,
            errors: Vec::new(),
        }
    }

    fn report(&mut self, error: Diagnostic) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }

    /// Gives up with `error`: what was read so far is no whole.
    fn stop(&mut self, error: Diagnostic) -> bool {
        self.report(error);
        self.root = None;
        false
    }

    /// Takes the next event; false if there is no sense in going on.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        let at = self.place_of(span);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return self.stop(
                        Diagnostic::new(&at, "a second document begins here")
                            .help("a scenario is one document; remove `---` and what follows"),
                    );
                }
                true
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), &at);
                let null = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let cost = 1 + text.len() / 64;
                let kind = if null {
                    Kind::Null
                } else {
                    Kind::Scalar(text.into())
                };
                let node = Node {
                    kind,
                    place: at.clone(),
                };
                self.spend(cost, &at) && self.finish(node, anchor, cost, 0)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), &at);
                self.begin(Kind::Sequence(Vec::new()), at, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), &at);
                self.begin(Kind::Mapping(Vec::new()), at, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(done) => self.finish(done.node, done.anchor, done.cost, done.height),
                None => false,
            },
            Event::Alias(anchor) => self.alias(anchor, &at),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => true,
        }
    }

    fn place_of(&self, span: Span) -> Place {
        let (start, end) = (span.start, span.end);
        let width = if end.line() == start.line() {
            end.col().saturating_sub(start.col())
        } else {
            let line = self.lines.get(start.line().saturating_sub(1));
            let line_width = line.map_or(0, |line| line.trim_end().chars().count());
            line_width.saturating_sub(start.col())
        };
        place(start.line(), start.col(), width)
    }

    fn refuse_tag(&mut self, tagged: bool, at: &Place) {
        if tagged {
            self.report(
                Diagnostic::new(at, "a YAML tag stands here")
                    .help("scenarios need no tags; remove the word that begins with `!`"),
            );
        }
    }

    fn spend(&mut self, cost: usize, at: &Place) -> bool {
        self.cost += cost;
        if self.cost <= COST_MAX {
            return true;
        }
        self.stop(
            Diagnostic::new(at, "the scenario is too large from here on")
                .label(format!(
                    "more than {COST_MAX} values, those of aliases included"
                ))
                .help("use fewer aliases (`*name`), or fewer data types and gates"),
        )
    }

    fn too_deep(&mut self, height: usize, at: &Place) -> bool {
        if self.open.len() + height <= DEPTH_MAX {
            return false;
        }
        self.stop(Diagnostic::new(
            at,
            format!("values are nested more than {DEPTH_MAX} deep"),
        ));
        true
    }

    fn begin(&mut self, kind: Kind, at: Place, anchor: usize) -> bool {
        // Its span is that of its first token, whatever that is.
        let at = match at {
            Place::Source { line, column, .. } => Place::Source {
                line,
                column,
                width: 1,
            },
            other => other,
        };
        if self.too_deep(1, &at) || !self.spend(1, &at) {
            return false;
        }
        self.open.push(Open {
            node: Node { kind, place: at },
            anchor,
            cost: 1,
            height: 1,
            key: None,
            skip_value: false,
            seen: HashSet::default(),
        });
        true
    }

    fn alias(&mut self, anchor: usize, at: &Place) -> bool {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return self.stop(Diagnostic::new(
                at,
                "this alias stands inside what it names",
            ));
        };
        let (cost, height) = (anchored.cost, anchored.height);
        // Paid for before it is copied.
        if self.too_deep(height, at) || !self.spend(cost, at) {
            return false;
        }
        let node = self.anchors.get(&anchor).map(|a| a.node.clone());
        node.is_some_and(|node| self.finish(node, 0, cost, height))
    }

    /// Puts a finished value where it belongs.
    fn finish(&mut self, node: Node, anchor: usize, cost: usize, height: usize) -> bool {
        if anchor > 0 {
            if !self.spend(cost, &node.place) {
                return false;
            }
            let node = node.clone();
            self.anchors.insert(anchor, Anchored { node, cost, height });
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return true;
        };
        parent.cost += cost;
        parent.height = parent.height.max(height + 1);
        let error = parent.put(node);
        if let Some(error) = error {
            self.report(error);
        }
        true
    }
}

impl Open {
    fn put(&mut self, node: Node) -> Option<Diagnostic> {
        let entries = match &mut self.node.kind {
            Kind::Sequence(items) => {
                items.push(node);
                return None;
            }
            Kind::Mapping(entries) => entries,
            Kind::Scalar(_) | Kind::Null => return None,
        };
        if self.skip_value {
            self.skip_value = false;
            return None;
        }
        if let Some(key) = self.key.take() {
            let node = node.shown_at(&key.place);
            if self.seen.insert(key.text.clone()) {
                entries.push((key, node));
                return None;
            }
            let first = entries.iter().find(|(other, _)| other.text == key.text);
            let error = Diagnostic::new(
                &key.place,
                format!("the key `{}` stands twice", short(&key.text)),
            );
            return Some(match first {
                Some((first, _)) => error.note("it stands first here", &first.place),
                None => error,
            });
        }
        let place = node.place;
        if let Kind::Scalar(text) = node.kind {
            self.key = Some(Key { text, place });
            return None;
        }
        self.skip_value = true;
        Some(Diagnostic::new(
            &place,
            "a key must be a word, not a list, a mapping or nothing",
        ))
    }
}

/// A text for a message, cut if it is long.
pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= 60 {
        return text.to_owned();
    }
    text.chars().take(59).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
