//! Lines of any input, one at a time, each of bounded length. Pure over what it reads from.

use std::io::{self, BufRead, Read as _};

/// The longest line: Redis shows the values that are written, with up to four letters a byte.
pub(super) const LINE_BYTES_MAX: usize = 64 << 20;
/// What a buffer that once held a long line may keep.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Lines without their ends.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// As it stands, without its end.
    Whole(&'l [u8]),
    /// Longer than [`LINE_BYTES_MAX`]; it was passed over.
    TooLong,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            line: Vec::new(),
            number: 0,
        }
    }

    /// How many lines were read.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line that is not empty.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.line.clear();
            self.line.shrink_to(KEPT_BYTES_MAX);
            let mut bounded = (&mut self.input).take(LINE_BYTES_MAX as u64);
            if bounded.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.line.len() == LINE_BYTES_MAX && !self.line.ends_with(b"\n") {
                self.input.skip_until(b'\n')?;
                return Ok(Some(Line::TooLong));
            }
            let length = ended(&self.line).len();
            if length > 0 {
                return Ok(Some(Line::Whole(&self.line[..length])));
            }
        }
    }
}

fn ended(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_without_their_ends_and_are_counted_with_the_empty_ones() {
        let mut lines = Lines::new(&b"a\r\n\n\nb\nlast"[..]);
        let mut found = vec![];
        while let Some(line) = lines.next().expect("memory can be read") {
            let Line::Whole(line) = line else {
                panic!("{line:?}")
            };
            found.push(String::from_utf8_lossy(line).into_owned());
        }
        assert_eq!(found, ["a", "b", "last"]);
        assert_eq!(lines.number(), 5);
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let input = [&vec![b'x'; LINE_BYTES_MAX + 7][..], b"\nshort\n"].concat();
        let mut lines = Lines::new(&input[..]);
        assert_eq!(lines.next().expect("memory"), Some(Line::TooLong));
        assert_eq!(lines.next().expect("memory"), Some(Line::Whole(b"short")));
        assert_eq!(lines.next().expect("memory"), None);
    }
}
