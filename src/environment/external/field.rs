//! The value of a header field, and whether it is a secret.
//!
//! A secret is sent and never shown: not in a report, not on a screen, not by `Debug`. What comes from the
//! environment is one whatever its name; what was written is one if the field's name looks so. Made by the
//! scenario, sent by the HTTP driver's face. Pure: whoever makes a value has read the environment.

use std::fmt;

use http::header::HeaderName;

use super::template::Template;

/// What stands in the place of a secret.
pub const HIDDEN: &str = "…";

/// A field whose name has one of these in it carries a secret.
const PARTS: [&str; 14] = [
    "authentic",
    "authoriz",
    "bearer",
    "cookie",
    "credential",
    "csrf",
    "jwt",
    "key",
    "passw",
    "pwd",
    "secret",
    "session",
    "signature",
    "token",
];
/// As does one with one of these as a word of its name.
const WORDS: [&str; 3] = ["auth", "pass", "sig"];
/// Less of a secret gives nothing away, and is in other words, too.
const TELLING_BYTES_MIN: usize = 8;

/// Whether what stands in the field `name` is a secret, by all that one can tell.
pub fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    PARTS.iter().any(|part| name.contains(part)) || words.any(|word| WORDS.contains(&word))
}

/// The value of a header field.
#[derive(Clone, PartialEq, Eq)]
pub struct FieldValue {
    template: Template,
    variable: Option<Variable>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name of the environment variable.
    pub name: String,
    /// What stands before its value; empty for nothing.
    pub prefix: String,
}

impl FieldValue {
    /// What was written.
    pub fn written(template: Template) -> Self {
        Self {
            template,
            variable: None,
        }
    }

    /// The `value` of an environment variable, in which nothing is filled in.
    pub fn from_environment(variable: Variable, value: &str) -> Self {
        Self {
            template: Template::verbatim(&format!("{}{value}", variable.prefix)),
            variable: Some(variable),
        }
    }

    /// What is sent.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// The environment variable that it came from, if it did.
    pub fn variable(&self) -> Option<&Variable> {
        self.variable.as_ref()
    }

    /// Whether it is a secret in the field `name`. What is only filled in for each request is none.
    pub fn is_secret(&self, name: &HeaderName) -> bool {
        let written = |text: &str| text.contains(|c: char| c.is_ascii_alphanumeric());
        self.variable.is_some()
            || looks_secret(name.as_str()) && self.template.literals().any(written)
    }

    /// What may be shown of it in the field `name`.
    pub fn shown(&self, name: &HeaderName) -> &str {
        if self.is_secret(name) {
            HIDDEN
        } else {
            self.template.source()
        }
    }

    /// Whether a `word` that was seen elsewhere gives it away: a word of it stands in there, or begins at the
    /// end of it, which may have been cut.
    pub fn is_given_away_by(&self, word: &str) -> bool {
        let mut own = self.template.literals().flat_map(str::split_whitespace);
        own.any(|own| {
            let begins = |end: &[u8]| own.as_bytes().starts_with(end);
            let mut ends = (0..word.len()).map(|at| &word.as_bytes()[at..]);
            own.len() >= TELLING_BYTES_MIN
                && (word.contains(own)
                    || ends.any(|end| end.len() >= TELLING_BYTES_MIN && begins(end)))
        })
    }
}

impl fmt::Debug for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.variable {
            Some(variable) => variable.fmt(f),
            None => f.write_str(HIDDEN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &'static str, text: &str) -> String {
        let value = FieldValue::written(Template::parse(text, &[]).expect("a template"));
        value.shown(&HeaderName::from_static(name)).to_owned()
    }

    #[test]
    fn a_name_tells_a_secret() {
        for name in [
            "authorization",
            "Proxy-Authorization",
            "Cookie",
            "x-api-key",
            "apikey",
            "x-auth",
            "X-Shop-Token",
            "client_secret",
            "x-password",
            "x-csrf",
        ] {
            assert!(looks_secret(name), "{name}");
        }
        for name in [
            "accept",
            "content-type",
            "x-author",
            "host",
            "user-agent",
            "x-design",
            "x-request-id",
            "x-compass",
        ] {
            assert!(!looks_secret(name), "{name}");
        }
    }

    #[test]
    fn secrets_are_hidden_and_what_is_made_for_each_request_is_none() {
        insta::assert_snapshot!(shown("authorization", "Bearer abc"), @"…");
        insta::assert_snapshot!(shown("cookie", "session={user}"), @"…");
        insta::assert_snapshot!(shown("idempotency-key", "{user}-{sequence}"), @"{user}-{sequence}");
        insta::assert_snapshot!(shown("accept", "application/json"), @"application/json");
    }

    #[test]
    fn what_comes_from_the_environment_is_sent_as_it_is_and_never_shown() {
        let variable = Variable {
            name: "SHOP_TOKEN".to_owned(),
            prefix: "Bearer ".to_owned(),
        };
        let value = FieldValue::from_environment(variable, "ab{user}cd");
        assert_eq!(value.template().source(), "Bearer ab{user}cd");
        assert!(value.template().is_verbatim());
        assert_eq!(value.shown(&HeaderName::from_static("accept")), HIDDEN);
        let debug = format!("{value:?}");
        assert!(
            debug.contains("SHOP_TOKEN") && !debug.contains("cd"),
            "{debug}"
        );
        let written = FieldValue::written(Template::verbatim("hush"));
        assert_eq!(format!("{written:?}"), HIDDEN);
    }

    #[test]
    fn a_word_that_holds_a_secret_gives_it_away_even_if_it_is_cut() {
        let value = FieldValue::written(Template::verbatim("Bearer 0123456789abcdef"));
        for word in [
            "0123456789abcdef",
            "t=\"0123456789abcdef\".",
            "t=\"0123456789",
        ] {
            assert!(value.is_given_away_by(word), "{word}");
        }
        for word in ["Bearer", "0123", "é0123456", "abcdef", ""] {
            assert!(!value.is_given_away_by(word), "{word}");
        }
    }
}
