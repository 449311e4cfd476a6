//! A table of short texts, laid out for a terminal or written as Markdown.
//!
//! Widths are those on the screen, not bytes or letters. A table that is too wide gives up what
//! matters least first: luxury columns, then air, then the ends of long names, then more columns.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a text means, told by colour where there is colour; the words must tell it without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Good,
    Bad,
    Doubtful,
    Faint,
}

impl Tone {
    /// `text` in this tone, with ANSI colours if asked.
    pub(super) fn paint(self, text: &str, color: bool) -> String {
        let code = match self {
            Self::Good => "32",
            Self::Bad => "1;31",
            Self::Doubtful => "33",
            Self::Faint => "2",
            Self::Plain => return text.to_owned(),
        };
        if color && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A column: names to the left, figures to the right.
#[derive(Clone, Debug)]
pub(super) struct Column {
    title: String,
    right: bool,
    /// Cut down to this width if need be.
    width_min: Option<usize>,
    rank: u8,
}

/// Columns of this rank and above go before anything else is given up.
const LUXURY: u8 = 9;

impl Column {
    /// A column of figures that always stays.
    pub(super) fn figures(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            right: true,
            width_min: None,
            rank: 0,
        }
    }

    /// A column of names that always stays.
    pub(super) fn names(title: impl Into<String>) -> Self {
        Self {
            right: false,
            ..Self::figures(title)
        }
    }

    /// Its texts may be cut down to this width.
    pub(super) fn cut_to(self, width_min: usize) -> Self {
        Self {
            width_min: Some(width_min),
            ..self
        }
    }

    /// May be left out; the higher the rank, the sooner.
    pub(super) fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    /// Left out as soon as it costs anything.
    pub(super) fn luxury(self) -> Self {
        self.rank(LUXURY)
    }
}

/// A text and its tone.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(super) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

#[derive(Clone, Debug)]
struct Row {
    /// Stands before the row, where the eye looks first.
    mark: Option<(char, Tone)>,
    cells: Vec<Cell>,
}

/// Rows of as many cells as there are columns.
#[derive(Clone, Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

/// What is printed of a table: which columns, how wide, how far apart.
struct Layout {
    shown: Vec<(usize, usize)>,
    gap: usize,
}

impl Layout {
    fn width(&self) -> usize {
        let gaps = self.gap * self.shown.len().saturating_sub(1);
        self.shown.iter().map(|(_, width)| width).sum::<usize>() + gaps
    }
}

const INDENT: usize = 2;

impl Table {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, mark: Option<(char, Tone)>, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "one cell for each column");
        self.rows.push(Row { mark, cells });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines of the table, at most `width` columns wide if that can be.
    pub(super) fn lines(&self, width: usize, color: bool) -> Vec<String> {
        let layout = self.layout(width.saturating_sub(INDENT));
        let title = |column: &Column| Cell::toned(column.title.clone(), Tone::Faint);
        let titles = Row {
            mark: None,
            cells: self.columns.iter().map(title).collect(),
        };
        std::iter::once(&titles)
            .chain(&self.rows)
            .map(|row| self.line(row, &layout, color))
            .collect()
    }

    fn line(&self, row: &Row, layout: &Layout, color: bool) -> String {
        let mut line = match row.mark {
            Some((mark, tone)) => tone.paint(&mark.to_string(), color) + " ",
            None => " ".repeat(INDENT),
        };
        for (at, (column, width)) in layout.shown.iter().enumerate() {
            if at > 0 {
                line += &" ".repeat(layout.gap);
            }
            let cell = &row.cells[*column];
            let text = cut(&cell.text, *width);
            let air = " ".repeat(width - text.width());
            let text = cell.tone.paint(&text, color);
            let (before, after) = if self.columns[*column].right {
                (air.as_str(), "")
            } else {
                ("", air.as_str())
            };
            line.extend([before, &text, after]);
        }
        line.truncate(line.trim_end().len());
        line
    }

    fn layout(&self, width: usize) -> Layout {
        let widest = |(at, column): (usize, &Column)| {
            let cells = self.rows.iter().map(|row| row.cells[at].text.width());
            (at, cells.fold(column.title.width(), usize::max))
        };
        let shown = self.columns.iter().enumerate().map(widest).collect();
        let mut layout = Layout { shown, gap: 2 };
        while layout.width() > width && self.drop_column(&mut layout, LUXURY) {}
        if layout.width() > width {
            layout.gap = 1;
        }
        self.shrink(&mut layout, width);
        while layout.width() > width && self.drop_column(&mut layout, 1) {}
        layout
    }

    /// Leaves out the column of the highest rank, of equals the last; false if none may go.
    fn drop_column(&self, layout: &mut Layout, rank_min: u8) -> bool {
        let ranks = layout
            .shown
            .iter()
            .map(|(column, _)| self.columns[*column].rank);
        let highest = ranks
            .enumerate()
            .filter(|(_, rank)| *rank >= rank_min)
            .max_by_key(|r| r.1);
        if let Some((at, _)) = highest {
            layout.shown.remove(at);
        }
        highest.is_some()
    }

    fn shrink(&self, layout: &mut Layout, width: usize) {
        for at in 0..layout.shown.len() {
            let too_much = layout.width().saturating_sub(width);
            let (column, column_width) = layout.shown[at];
            if let Some(width_min) = self.columns[column].width_min {
                let spare = column_width.saturating_sub(width_min);
                layout.shown[at].1 -= spare.min(too_much);
            }
        }
    }

    /// The table in GitHub's Markdown, all columns of it.
    pub(super) fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let titles = self
            .columns
            .iter()
            .map(|column| markdown_text(&column.title))
            .collect();
        let rule = |column: &Column| if column.right { "--:" } else { ":--" }.to_owned();
        let mut text = line(titles) + &line(self.columns.iter().map(rule).collect());
        for row in &self.rows {
            let cell = |cell: &Cell| match cell.tone {
                Tone::Bad | Tone::Doubtful => format!("**{}**", markdown_text(&cell.text)),
                _ => markdown_text(&cell.text),
            };
            text += &line(row.cells.iter().map(cell).collect());
        }
        text
    }
}

/// `text` so that Markdown shows it as it is, on one line and in one cell. A `<` that begins no tag
/// and a `_` inside a word stay as they are, for those who read the source.
pub(super) fn markdown_text(text: &str) -> String {
    let text = super::words::plain(text);
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let after = letters.peek().copied().unwrap_or(' ');
        let special = match letter {
            '|' | '\\' | '`' | '*' | '[' | ']' | '#' => true,
            '<' => after.is_alphabetic() || "/!?".contains(after),
            '_' => !(before.is_alphanumeric() && after.is_alphanumeric()),
            _ => false,
        };
        if special {
            escaped.push('\\');
        }
        escaped.push(letter);
        before = letter;
    }
    escaped
}

/// `text` cut to `width` on the screen, with an ellipsis if something was cut.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for letter in text.chars() {
        if kept.width() + letter.width().unwrap_or(0) + 1 > width {
            break;
        }
        kept.push(letter);
    }
    kept.truncate(kept.trim_end().len());
    if width > 0 {
        kept.push('…');
    }
    kept
}

/// `text` in lines of at most `width`; a word that is longer stands alone.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(name: &str) -> Table {
        let columns = vec![
            Column::names("name").cut_to(8),
            Column::figures("p95"),
            Column::figures("p99").rank(2),
            Column::figures("samples").luxury(),
        ];
        let mut table = Table::new(columns);
        table.push(
            None,
            vec![name.into(), "38 µs".into(), "1.2 ms".into(), "1,204".into()],
        );
        let lost = Cell::toned("2.3 s", Tone::Bad);
        let mark = Some(('✗', Tone::Bad));
        table.push(mark, vec!["日本|語".into(), lost, "–".into(), "7".into()]);
        table
    }

    #[test]
    fn what_matters_least_goes_first() {
        let show = |width| table("a rather long name").lines(width, false).join("\n");
        insta::assert_snapshot!(show(80), @r#"
          name                  p95     p99  samples
          a rather long name  38 µs  1.2 ms    1,204
        ✗ 日本|語             2.3 s       –        7
        "#);
        insta::assert_snapshot!(show(36), @r#"
          name                  p95     p99
          a rather long name  38 µs  1.2 ms
        ✗ 日本|語             2.3 s       –
        "#);
        insta::assert_snapshot!(show(30), @r#"
          name              p95    p99
          a rather long…  38 µs 1.2 ms
        ✗ 日本|語         2.3 s      –
        "#);
        insta::assert_snapshot!(show(16), @r#"
          name       p95
          a rathe… 38 µs
        ✗ 日本|語  2.3 s
        "#);
    }

    #[test]
    fn colours_change_no_width() {
        let painted = table("x").lines(80, true).join("\n");
        assert!(
            painted.contains("\u{1b}[1;31m2.3 s\u{1b}[0m"),
            "{painted:?}"
        );
        let mut bare = painted;
        for code in ["\u{1b}[1;31m", "\u{1b}[2m", "\u{1b}[0m"] {
            bare = bare.replace(code, "");
        }
        assert_eq!(bare, table("x").lines(80, false).join("\n"));
    }

    #[test]
    fn markdown_cells_keep_their_pipes_to_themselves() {
        insta::assert_snapshot!(table("a_b*c\n`d` \\ <e> < _f_").markdown(), @r#"
        | name | p95 | p99 | samples |
        | :-- | --: | --: | --: |
        | a_b\*c \`d\` \\ \<e> < \_f\_ | 38 µs | 1.2 ms | 1,204 |
        | 日本\|語 | **2.3 s** | – | 7 |
        "#);
    }

    proptest! {
        #[test]
        fn a_table_keeps_to_its_width(name in "\\PC{0,40}", width in 18usize..120) {
            for line in table(&name).lines(width, false) {
                prop_assert!(line.width() <= width, "{line:?}");
            }
        }

        #[test]
        fn wrapping_loses_no_word(text in "[a-zµ日 ]{0,80}", width in 1usize..40) {
            let lines = wrap(&text, width);
            let words: Vec<&str> = lines.iter().flat_map(|line| line.split(' ')).collect();
            prop_assert_eq!(words, text.split_whitespace().collect::<Vec<_>>());
            for line in lines {
                prop_assert!(line.width() <= width || !line.contains(' '));
            }
        }
    }
}
