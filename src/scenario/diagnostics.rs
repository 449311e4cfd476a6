//! What is wrong with a scenario: every error at once, each with its place, what stands there and
//! what would be right.
//!
//! Filled by the rest of the scenario room, printed by the command line. Decides nothing about
//! scenarios, only how errors are told.

use std::fmt::{self, Write as _};
use std::sync::Arc;

/// How many errors are printed in full; the rest is counted.
const PRINTED_MAX: usize = 100;
/// How many characters of a long line are shown.
const EXCERPT_CHARS_MAX: usize = 100;
/// How far left of the error an excerpt of a long line begins.
const EXCERPT_LEAD: usize = 30;

/// Where something was written. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the scenario file.
    Source {
        /// The line.
        line: usize,
        /// The column of its first character.
        column: usize,
        /// How many characters it takes on that line, at least 1.
        width: usize,
    },
    /// In an argument of the command line, spelled out: `--set instances=0`.
    Argument(Arc<str>),
    /// The file as a whole.
    Whole,
}

impl Place {
    /// The place of an argument.
    pub(super) fn argument(text: impl Into<Arc<str>>) -> Self {
        Self::Argument(text.into())
    }

    /// The line, if it is in the file.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Source { line, .. } => Some(*line),
            Self::Argument(_) | Self::Whole => None,
        }
    }

    /// Arguments after everything in the file, the file as a whole before.
    fn order(&self) -> (u8, usize, usize) {
        match self {
            Self::Whole => (0, 0, 0),
            Self::Source { line, column, .. } => (1, *line, *column),
            Self::Argument(_) => (2, 0, 0),
        }
    }
}

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    place: Place,
    message: String,
    label: String,
    notes: Vec<(String, Place)>,
    help: Vec<String>,
}

impl Diagnostic {
    pub(super) fn new(place: &Place, message: impl Into<String>) -> Self {
        Self {
            place: place.clone(),
            message: message.into(),
            label: String::new(),
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    /// A few words that stand right at the place.
    #[must_use]
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Another place that has to do with it.
    #[must_use]
    pub(super) fn note(mut self, note: impl Into<String>, place: &Place) -> Self {
        self.notes.push((note.into(), place.clone()));
        self
    }

    /// What to do.
    #[must_use]
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What would be right: the words at the place and the help below it, one a line.
    pub fn advice(&self) -> String {
        let label = Some(&self.label).filter(|label| !label.is_empty());
        let lines: Vec<&str> = label.into_iter().chain(&self.help).map(|l| &**l).collect();
        lines.join("\n")
    }
}

/// Errors on their way to [`Diagnostics`].
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<Diagnostic>);

impl Errors {
    pub(super) fn push(&mut self, error: Diagnostic) {
        self.0.push(error);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are so far.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The errors, in the order found.
    pub(super) fn into_iter(self) -> impl Iterator<Item = Diagnostic> {
        self.0.into_iter()
    }

    /// With the source they belong to, in the order of their places.
    pub(super) fn of(mut self, source_name: &str, text: &str) -> Diagnostics {
        self.0.sort_by_key(|error| error.place.order());
        Diagnostics {
            source_name: source_name.into(),
            text: text.into(),
            errors: self.0,
        }
    }
}

/// Every error of a scenario, with the text they are about. Printed as a person reads them; with
/// `iter` for those who want to do something else.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    source_name: Arc<str>,
    text: Arc<str>,
    errors: Vec<Diagnostic>,
}

impl std::error::Error for Diagnostics {}

impl Diagnostics {
    /// One error about the file as a whole.
    pub(super) fn whole(source_name: &str, message: String, help: &str) -> Self {
        let mut errors = Errors::default();
        errors.push(Diagnostic::new(&Place::Whole, message).help(help));
        errors.of(source_name, "")
    }

    /// How many errors there are; never none.
    #[allow(
        clippy::len_without_is_empty,
        reason = "there is always at least one error, or there would be a plan"
    )]
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// The errors in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.errors.iter()
    }

    fn place_text(&self, place: &Place) -> String {
        match place {
            Place::Source { line, column, .. } => {
                format!("{}:{line}:{column}", self.source_name)
            }
            Place::Argument(text) => text.to_string(),
            Place::Whole => self.source_name.to_string(),
        }
    }

    fn render(&self, error: &Diagnostic, out: &mut String) -> fmt::Result {
        let gutter = match error.place {
            Place::Source { line, .. } => line.to_string().len(),
            _ => 1,
        };
        writeln!(out, "error: {}", error.message)?;
        let place = self.place_text(&error.place);
        writeln!(out, "{:gutter$}--> {place}", "")?;
        let excerpt = self.excerpt(&error.place);
        if let Some(excerpt) = &excerpt {
            writeln!(out, "{:gutter$} |", "")?;
            writeln!(out, "{:>gutter$} | {}", excerpt.line, excerpt.text)?;
            let carets = "^".repeat(excerpt.width);
            let under = format!("{:indent$}{carets}", "", indent = excerpt.indent);
            let gap = if error.label.is_empty() { "" } else { " " };
            writeln!(out, "{:gutter$} | {under}{gap}{}", "", error.label)?;
        } else if !error.label.is_empty() {
            writeln!(out, "{:gutter$} = {}", "", error.label)?;
        }
        for (note, place) in &error.notes {
            writeln!(
                out,
                "{:gutter$} = note: {note}: {}",
                "",
                self.place_text(place)
            )?;
        }
        for help in &error.help {
            writeln!(out, "{:gutter$} = help: {help}", "")?;
        }
        Ok(())
    }

    fn excerpt(&self, place: &Place) -> Option<Excerpt> {
        let Place::Source {
            line,
            column,
            width,
        } = *place
        else {
            return None;
        };
        let text = self.text.lines().nth(line.checked_sub(1)?)?;
        let at = column.saturating_sub(1);
        let length = text.chars().count();
        let first = if length <= EXCERPT_CHARS_MAX {
            0
        } else {
            at.saturating_sub(EXCERPT_LEAD)
        };
        // A tab or another control character is as wide as the terminal likes: one space is safe.
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        let shown: String = text
            .chars()
            .skip(first)
            .take(EXCERPT_CHARS_MAX)
            .map(visible)
            .collect();
        let cut_left = if first > 0 { "…" } else { "" };
        let cut_right = if length > first + EXCERPT_CHARS_MAX {
            "…"
        } else {
            ""
        };
        let indent = at - first + cut_left.chars().count();
        let room = (EXCERPT_CHARS_MAX + 1).saturating_sub(indent).max(1);
        Some(Excerpt {
            line,
            text: format!("{cut_left}{shown}{cut_right}")
                .trim_end()
                .to_owned(),
            indent,
            width: width.clamp(1, room),
        })
    }
}

/// A line of the source with the error's place in it, cut to what a terminal shows.
struct Excerpt {
    line: usize,
    text: String,
    indent: usize,
    width: usize,
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        for error in self.errors.iter().take(PRINTED_MAX) {
            self.render(error, &mut out)?;
            out.push('\n');
        }
        let count = self.errors.len();
        if count > PRINTED_MAX {
            writeln!(out, "… and {} more\n", count - PRINTED_MAX)?;
        }
        let errors = if count == 1 { "error" } else { "errors" };
        write!(out, "{count} {errors} in {}", self.source_name)?;
        f.write_str(&out)
    }
}

/// The one of `candidates` that was probably meant by `found`.
pub(super) fn closest<'c>(
    found: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let found = found.to_lowercase();
    // Longer than any name that is right; the distance of long texts takes long.
    if found.chars().count() > 64 {
        return None;
    }
    let distance_max = (found.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&found, &c.to_lowercase()), c))
        .filter(|(distance, c)| *distance <= distance_max && *distance < c.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// "did you mean `x`?" if one of `candidates` is close to `found`, else what there is.
pub(super) fn did_you_mean<'c>(
    found: &str,
    what: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(close) = closest(found, candidates.iter().copied()) {
        return format!("did you mean `{close}`?");
    }
    match candidates.as_slice() {
        [] => format!("there is no {what}"),
        [one] => format!("the only {what} is {one}"),
        [most @ .., last] if candidates.len() <= 24 => {
            format!("{what} is one of {} and {last}", most.join(", "))
        }
        _ => format!("no {what} has this name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize, width: usize) -> Place {
        Place::Source {
            line,
            column,
            width,
        }
    }

    #[test]
    fn errors_are_printed_in_order_with_what_stands_there() {
        let mut errors = Errors::default();
        errors.push(Diagnostic::new(
            &Place::argument("--users 0"),
            "there are no users",
        ));
        errors.push(
            Diagnostic::new(&at(2, 3, 5), "unknown key `usres`")
                .label("did you mean `users`?")
                .note("the other", &at(1, 1, 7))
                .help("see the documentation"),
        );
        insta::assert_snapshot!(errors.of("a.yaml", "traffic:\n  usres: 3\n"), @r"
        error: unknown key `usres`
         --> a.yaml:2:3
          |
        2 |   usres: 3
          |   ^^^^^ did you mean `users`?
          = note: the other: a.yaml:1:1
          = help: see the documentation

        error: there are no users
         --> --users 0

        2 errors in a.yaml
        ");
    }

    #[test]
    fn a_long_line_is_cut_around_the_error() {
        let mut errors = Errors::default();
        errors.push(Diagnostic::new(&at(1, 501, 2_000), "wrong"));
        let text = format!("{}{}", "a".repeat(500), "b".repeat(500_000));
        let printed = errors.of("long.yaml", &text).to_string();
        assert!(
            printed.lines().all(|l| l.chars().count() < 120),
            "{printed}"
        );
        let excerpt = printed.lines().nth(3).expect("an excerpt");
        let carets = printed.lines().nth(4).expect("carets");
        let column = |line: &str, c: char| line.chars().position(|found| found == c);
        assert_eq!(column(excerpt, 'b'), column(carets, '^'));
    }

    #[test]
    fn a_flood_of_errors_is_counted_but_not_printed() {
        let mut errors = Errors::default();
        for _ in 0..10_000 {
            errors.push(Diagnostic::new(&Place::Whole, "wrong"));
        }
        let printed = errors.of("a.yaml", "").to_string();
        assert!(printed.ends_with("… and 9900 more\n\n10000 errors in a.yaml"));
    }

    #[test]
    fn suggestions_are_close_or_not_made() {
        let names = ["customer", "product", "inventory"];
        assert_eq!(closest("custmer", names), Some("customer"));
        assert_eq!(closest("Product", names), Some("product"));
        assert_eq!(closest("banana", names), None);
        assert_eq!(
            did_you_mean("banana", "data type", names),
            "data type is one of customer, product and inventory"
        );
    }
}
