//! Patterns of keys as Redis writes them: `inventory:17:*`.
//!
//! The engine matches keys itself where it does not ask Redis to, and both must agree: a live test
//! holds this file against `SCAN … MATCH`. Pure. Never recurses, so that no pattern takes longer
//! than its length times the key's.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest pattern in bytes: no key of ours comes near it.
const BYTES_MAX: usize = 256;

/// A pattern: `*` any text, `?` any byte, `[a-c]` one of these, `[^a-c]` none of these, `\*` a star.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob(Arc<str>);

/// A text that is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// It would match the empty key alone, which there is none of.
    #[error("an empty pattern matches no key; write * for every key")]
    Empty,
    /// It is too long.
    #[error("a pattern has at most {BYTES_MAX} bytes, not {0}")]
    TooLong(usize),
}

impl FromStr for Glob {
    type Err = GlobError;
    fn from_str(text: &str) -> Result<Self, GlobError> {
        match text.len() {
            0 => Err(GlobError::Empty),
            1..=BYTES_MAX => Ok(Self(text.into())),
            bytes => Err(GlobError::TooLong(bytes)),
        }
    }
}

impl TryFrom<String> for Glob {
    type Error = GlobError;
    fn try_from(text: String) -> Result<Self, GlobError> {
        text.parse()
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.0.to_string()
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Glob {
    /// The pattern of every key.
    pub fn all() -> Self {
        Self("*".into())
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `key` as a whole follows the pattern.
    pub fn matches(&self, key: &str) -> bool {
        matches(self.0.as_bytes(), key.as_bytes())
    }
}

/// `text` as a pattern that it alone matches.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Where to go on if what follows the last star does not match after all.
struct Star {
    pattern: usize,
    text: usize,
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None::<Star>);
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some(Star {
                pattern: p,
                text: t,
            });
            continue;
        }
        let here = match (pattern.get(p..), text.get(t)) {
            (Some([]) | None, None) => return true,
            (Some(rest @ [_, ..]), Some(byte)) => match_one(rest, *byte),
            _ => None,
        };
        match (here, &mut star) {
            (Some(used), _) => {
                p += used;
                t += 1;
            }
            // The last star takes one byte more. Stars before it need not: what stood between has
            // been matched as early as can be.
            (None, Some(star)) if star.text < text.len() => {
                star.text += 1;
                p = star.pattern;
                t = star.text;
            }
            (None, _) => return false,
        }
    }
}

/// How many bytes of `pattern` matched `byte`, if its first element does.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', set @ ..] => match_set(set, byte).map(|used| used + 1),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
        [] => None,
    }
}

/// The same for what follows a `[`. One that is never closed ends with the pattern, as in Redis.
fn match_set(set: &[u8], byte: u8) -> Option<usize> {
    let negated = set.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match set.get(at..).unwrap_or_default() {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [from, b'-', to, ..] => {
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                at += 3;
            }
            [one, ..] => {
                found |= *one == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glob(text: &str) -> Glob {
        text.parse().expect(text)
    }

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, key, expected) in [
            ("inventory:17:*", "inventory:17:3", true),
            ("inventory:17:*", "inventory:17:", true),
            ("inventory:17:*", "inventory:170:3", false),
            ("*:3", "inventory:17:3", true),
            ("*1*2*", "a1b1c2", true),
            ("*1*2", "a1b2c", false),
            ("?", "", false),
            ("quote:[0-4]?", "quote:37", true),
            ("quote:[^0-4]?", "quote:37", false),
            ("quote:[4-0]?", "quote:37", true),
            ("quote:\\*", "quote:*", true),
            ("quote:\\*", "quote:1", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("a[b", "ab", true),
        ] {
            assert_eq!(
                glob(pattern).matches(key),
                expected,
                "{pattern} against {key}"
            );
        }
    }

    #[test]
    fn a_pattern_made_to_take_for_ever_does_not() {
        let hostile = glob(&"a*".repeat(100));
        assert!(!hostile.matches(&format!("{}b", "a".repeat(99))));
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        assert_eq!("".parse::<Glob>(), Err(GlobError::Empty));
        assert_eq!(
            "x".repeat(257).parse::<Glob>(),
            Err(GlobError::TooLong(257))
        );
    }

    proptest! {
        #[test]
        fn escaped_text_matches_itself_alone(text in "[a-c*?\\[\\]\\\\^-]{1,8}", other in "[a-c*?\\[\\]\\\\^-]{1,8}") {
            let escaped = glob(&escape(&text));
            prop_assert!(escaped.matches(&text));
            prop_assert_eq!(escaped.matches(&other), text == other);
        }

        #[test]
        fn a_star_stands_for_any_text(head in "[a-c]{0,4}", middle in "[a-c]{0,4}", tail in "[a-c]{0,4}") {
            let text = format!("{head}{middle}{tail}");
            let pattern = format!("{head}*{tail}");
            prop_assert!(glob(&pattern).matches(&text));
        }
    }
}
