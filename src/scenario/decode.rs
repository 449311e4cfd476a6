//! From the located tree to typed values, going on after an error.
//!
//! The same job as serde's, with one difference: an error is put on the pile and the next field
//! is read. A field is therefore absent, wrong (then an error has been reported) or given; whoever
//! checks one field against another does so only if both are given, so that one mistake is not
//! told twice. Called by `file.rs`. Knows the kinds of values but no key of a scenario.

mod quantity;

use std::sync::Arc;

use super::diagnostics::{Diagnostic, Errors, Place, closest, did_you_mean};
use super::yaml::{Key, Kind, Node, short};
use crate::engine::data_type::KeyPattern;
use crate::seed::Seed;

/// A value with the place where it was written.
#[derive(Clone, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// What became of a key that may be there.
#[derive(Clone, Debug)]
pub(super) enum Field<T> {
    /// It is not there.
    Absent,
    /// It cannot be read; an error has been reported.
    Wrong,
    /// It is there.
    Given(Located<T>),
}

impl<T> Field<T> {
    pub(super) fn given(&self) -> Option<&Located<T>> {
        match self {
            Self::Given(located) => Some(located),
            Self::Absent | Self::Wrong => None,
        }
    }

    pub(super) fn value(&self) -> Option<&T> {
        self.given().map(|located| &located.value)
    }

    pub(super) fn place(&self) -> Option<&Place> {
        self.given().map(|located| &located.place)
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value, or `default` if there is none; `None` if it is wrong.
    pub(super) fn or(&self, default: T) -> Option<T>
    where
        T: Clone,
    {
        match self {
            Self::Absent => Some(default),
            Self::Wrong => None,
            Self::Given(located) => Some(located.value.clone()),
        }
    }
}

/// Values in a row; those that are wrong are `None`.
pub(super) type List<T> = Vec<Option<Located<T>>>;

/// Values by name, in the order written; those that are wrong are `None`.
#[derive(Clone, Debug)]
pub(super) struct Map<T>(pub(super) Vec<Entry<T>>);

/// A name and its value.
pub(super) type Entry<T> = (Located<Arc<str>>, Option<Located<T>>);

/// Something that can be left out with the word `none`.
#[derive(Clone, Debug)]
pub(super) enum Switch<T> {
    Off,
    On(T),
}

/// What can be read from a node.
pub(super) trait Decode: Sized {
    /// Reads `node`; `None` after reporting why not.
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self>;
}

/// Reads `node` and keeps its place.
pub(super) fn located<T: Decode>(node: &Node, errors: &mut Errors) -> Option<Located<T>> {
    T::decode(node, errors).map(|value| Located {
        value,
        place: node.place.clone(),
    })
}

/// Reads a mapping key by key.
pub(super) struct Fields<'n, 'e> {
    what: &'static str,
    place: &'n Place,
    entries: &'n [(Key, Node)],
    known: Vec<&'static str>,
    errors: &'e mut Errors,
}

impl<'n, 'e> Fields<'n, 'e> {
    /// Begins to read `node`, which should be `what`: "a data type".
    pub(super) fn of(node: &'n Node, what: &'static str, errors: &'e mut Errors) -> Option<Self> {
        let Kind::Mapping(entries) = &node.kind else {
            expected(node, what, "a mapping of keys to values", errors);
            return None;
        };
        Some(Self {
            what,
            place: &node.place,
            entries,
            known: Vec::new(),
            errors,
        })
    }

    /// The key `name`, if it is there.
    pub(super) fn optional<T: Decode>(&mut self, name: &'static str) -> Field<T> {
        self.known.push(name);
        match self.entries.iter().find(|(key, _)| &*key.text == name) {
            None => Field::Absent,
            Some((_, node)) => match located(node, self.errors) {
                Some(value) => Field::Given(value),
                None => Field::Wrong,
            },
        }
    }

    /// The key `name`, which must be there; `example` shows a value.
    pub(super) fn required<T: Decode>(&mut self, name: &'static str, example: &str) -> Field<T> {
        let field = self.optional(name);
        if field.is_absent() {
            // A misspelled key is reported as unknown, with this one as the suggestion.
            let misspelled = self
                .entries
                .iter()
                .any(|(key, _)| closest(&key.text, [name]).is_some());
            if !misspelled {
                let message = format!("`{name}` is missing in {}", self.what);
                self.errors.push(
                    Diagnostic::new(self.place, message).help(format!("add `{name}: {example}`")),
                );
            }
            return Field::Wrong;
        }
        field
    }

    /// Reports every key that nobody asked for.
    pub(super) fn close(self) {
        for (key, _) in self.entries {
            if !self.known.contains(&&*key.text) {
                let message = format!("unknown key `{}` in {}", short(&key.text), self.what);
                let advice = did_you_mean(&key.text, "key", self.known.iter().copied());
                self.errors
                    .push(Diagnostic::new(&key.place, message).label(advice));
            }
        }
    }
}

fn expected(node: &Node, what: &str, shape: &str, errors: &mut Errors) {
    let message = format!("{what} is wanted here, and {} stands here", node.describe());
    errors.push(Diagnostic::new(&node.place, message).label(format!("write {shape}")));
}

/// The text of a scalar.
pub(super) fn text<'n>(node: &'n Node, what: &str, errors: &mut Errors) -> Option<&'n str> {
    match &node.kind {
        Kind::Scalar(text) => Some(text),
        Kind::Null => {
            let message = format!("{what} is wanted here, and nothing stands here");
            errors.push(
                Diagnostic::new(&node.place, message).label("write it, or leave out the key"),
            );
            None
        }
        Kind::Sequence(_) | Kind::Mapping(_) => {
            let message = format!("{what} is wanted here, not {}", node.describe());
            errors.push(Diagnostic::new(&node.place, message));
            None
        }
    }
}

/// One of a few words.
pub(super) fn keyword<T: Copy>(
    node: &Node,
    what: &str,
    words: &[(&str, T)],
    errors: &mut Errors,
) -> Option<T> {
    let found = text(node, what, errors)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == found) {
        return Some(*value);
    }
    let advice = did_you_mean(found, what, words.iter().map(|(word, _)| *word));
    let message = format!("`{}` is no {what}", short(found));
    errors.push(Diagnostic::new(&node.place, message).label(advice));
    None
}

/// `text` without the underscores that stand between digits: `50_000`.
fn without_underscores(text: &str) -> String {
    let digit = |at: Option<usize>| {
        let byte = at.and_then(|at| text.as_bytes().get(at));
        byte.is_some_and(u8::is_ascii_digit)
    };
    text.char_indices()
        .filter(|(at, c)| !(*c == '_' && digit(at.checked_sub(1)) && digit(Some(at + 1))))
        .map(|(_, c)| c)
        .collect()
}

impl Decode for u64 {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let found = text(node, "a whole number", errors)?;
        let plain = without_underscores(found);
        if !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit()) {
            if let Ok(number) = plain.parse() {
                return Some(number);
            }
            let message = format!("{} is more than a computer counts", short(found));
            errors.push(Diagnostic::new(&node.place, message));
            return None;
        }
        let message = format!("{:?} is not a whole number from 0 upwards", short(found));
        let advice = "write it in digits, such as 1000 or 1_000";
        errors.push(Diagnostic::new(&node.place, message).label(advice));
        None
    }
}

impl Decode for Seed {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        u64::decode(node, errors).map(Self)
    }
}

impl Decode for f64 {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let found = text(node, "a number", errors)?;
        // Anything else that `f64` reads ("inf", "nan") is no number here.
        let plain = without_underscores(found);
        let digits = plain
            .bytes()
            .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
        match plain.parse::<Self>() {
            Ok(number) if digits && number.is_finite() => Some(number),
            _ => {
                let message = format!("{:?} is not a number", short(found));
                let advice = "write it in digits, such as 40 or 0.99";
                errors.push(Diagnostic::new(&node.place, message).label(advice));
                None
            }
        }
    }
}

impl Decode for bool {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        keyword(
            node,
            "truth value",
            &[("true", true), ("false", false)],
            errors,
        )
    }
}

impl Decode for Arc<str> {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        text(node, "a text", errors).map(Into::into)
    }
}

impl Decode for KeyPattern {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let found = text(node, "a key pattern", errors)?;
        if found.is_empty() || found.len() > 512 {
            let message = "a key pattern is from 1 to 512 bytes long";
            errors.push(Diagnostic::new(&node.place, message));
            return None;
        }
        match found.parse() {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                errors.push(Diagnostic::new(&node.place, error.to_string()));
                None
            }
        }
    }
}

impl<T: Decode> Decode for Switch<T> {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(text) if &**text == "none" => Some(Self::Off),
            _ => T::decode(node, errors).map(Self::On),
        }
    }
}

impl<T: Decode> Decode for List<T> {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let Kind::Sequence(items) = &node.kind else {
            expected(
                node,
                "a list",
                "`- one` and `- another` below each other",
                errors,
            );
            return None;
        };
        Some(items.iter().map(|item| located(item, errors)).collect())
    }
}

impl<T: Decode> Decode for Map<T> {
    fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
        let Kind::Mapping(entries) = &node.kind else {
            expected(node, "a mapping", "`name: value` below each other", errors);
            return None;
        };
        let entries = entries.iter().map(|(key, node)| {
            let name = Located {
                value: key.text.clone(),
                place: key.place.clone(),
            };
            (name, located(node, errors))
        });
        Some(Self(entries.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;
    use crate::units::{ByteSize, Ratio, Span, SpanRange};
    use std::time::Duration;

    fn decode<T: Decode>(text: &str) -> Result<T, String> {
        let mut errors = Errors::default();
        let node = yaml::read(text, &mut errors).expect("a tree");
        let value = T::decode(&node, &mut errors);
        match value {
            Some(value) if errors.is_empty() => Ok(value),
            _ => {
                let found = errors.of("a.yaml", text);
                let told = found
                    .iter()
                    .map(|e| format!("{}; {}", e.message(), e.advice()));
                Err(told.collect::<Vec<_>>().join("\n"))
            }
        }
    }

    #[test]
    fn numbers_may_have_underscores() {
        assert_eq!(decode::<u64>("50_000"), Ok(50_000));
        assert_eq!(decode::<u64>("\"7\""), Ok(7));
        assert_eq!(decode("1_500ms"), Ok(Span(Duration::from_millis(1_500))));
        assert_eq!(decode("1_024KiB"), Ok(ByteSize(1 << 20)));
        for wrong in [
            "_5",
            "5_",
            "5__0",
            "-5",
            "1e3",
            "12x",
            "99999999999999999999",
        ] {
            assert!(decode::<u64>(wrong).is_err(), "{wrong}");
        }
        for wrong in ["inf", ".nan", "nan", "1e999", "x", "1,5"] {
            assert!(decode::<f64>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_without_its_unit_says_how_to_write_it() {
        insta::assert_snapshot!(decode::<Span>("15").unwrap_err(), @r#""15" is not a duration with its unit, such as 150ms, 5s, 15m, 1h or 1h 30m; write `15ms`, `15s` or `15m`, whichever is meant"#);
        insta::assert_snapshot!(decode::<ByteSize>("256").unwrap_err(), @r#""256" is not a size with its unit, such as 512B, 2KiB or 256MiB; write `256B`, `256KiB` or `256MiB`, whichever is meant"#);
        insta::assert_snapshot!(decode::<Ratio>("95").unwrap_err(), @r#""95" is not a share, such as 95% or 0.95, from 0 to 1; write `95%` if percent is meant"#);
        insta::assert_snapshot!(decode::<SpanRange>("1..3").unwrap_err(), @r#""1..3" is not a duration or a range of durations, such as 2s or 1s..3s;"#);
    }

    #[test]
    fn what_is_wanted_is_named() {
        insta::assert_snapshot!(decode::<Span>("[1, 2]").unwrap_err(), @"a duration is wanted here, not a list;");
        insta::assert_snapshot!(decode::<Arc<str>>("~").unwrap_err(), @"a text is wanted here, and nothing stands here; write it, or leave out the key");
        insta::assert_snapshot!(decode::<List<u64>>("x").unwrap_err(), @r#"a list is wanted here, and "x" stands here; write `- one` and `- another` below each other"#);
        insta::assert_snapshot!(decode::<Map<u64>>("[]").map(|map| map.0.len()).unwrap_err(), @"a mapping is wanted here, and a list stands here; write `name: value` below each other");
        insta::assert_snapshot!(decode::<bool>("ture").unwrap_err(), @"`ture` is no truth value; did you mean `true`?");
    }

    #[test]
    fn every_wrong_item_is_reported() {
        let told = decode::<List<u64>>("[a, 1, b]")
            .map(|list| list.len())
            .unwrap_err();
        assert_eq!(told.lines().count(), 2, "{told}");
    }
}
