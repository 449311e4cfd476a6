//! Texts with holes: what stands in a request to a service that is not ours.
//!
//! `{name}` is a hole, as in `/products/{product_id}`; `{{name}}` is the text `{name}`. Any other brace
//! stands for itself, so that JSON can be written as it is. Read once, when a scenario is; filled for
//! each request. Pure.

use std::fmt;
use std::io::Write as _;

use bytes::Bytes;

use crate::engine::data_type::DataType;
use crate::engine::layer::Operation;
use crate::units::ByteSize;
use crate::workload::Request;
use crate::workload::value::value;

/// What can stand in a hole beside the parameters of the key.
pub const WORDS: [&str; 4] = ["user", "sequence", "value", "key"];

/// A text with holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: Box<str>,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Hole(Hole),
}

/// What stands in a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hole {
    /// The parameter of the key at this place.
    Param(usize),
    /// Who asks.
    User,
    /// The how-manieth request of who asks it is.
    Sequence,
    /// A value to write.
    Value,
    /// The key as it is spelled.
    Key,
}

/// Whether what is filled in must be escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As it is.
    Plain,
    /// By percent signs, as a part of a URL.
    Url,
}

/// A request that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// What is asked.
    pub request: &'a Request,
    /// The data type that is asked for.
    pub data_type: &'a DataType,
    /// Who asks.
    pub user: u64,
    /// The how-manieth request of who asks it is.
    pub sequence: u64,
    /// The size of a value to write.
    pub value_size: ByteSize,
}

impl Template {
    /// Reads `text`, whose holes may be `params` in their order, and [`WORDS`]; a parameter of the same
    /// name hides a word.
    ///
    /// # Errors
    /// The names that are neither.
    pub fn parse(text: &str, params: &[&str]) -> Result<Self, Vec<String>> {
        let mut pieces = Vec::new();
        let mut unknown = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            literal.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some((name, length)) = escaped(rest) {
                literal.push('{');
                literal.push_str(name);
                literal.push('}');
                rest = &rest[length..];
            } else if let Some(name) = name_in_braces(rest) {
                match hole(name, params) {
                    Some(hole) => {
                        push_text(&mut pieces, &mut literal);
                        pieces.push(Piece::Hole(hole));
                    }
                    None => unknown.push(name.to_owned()),
                }
                rest = &rest[name.len() + 2..];
            } else {
                literal.push('{');
                rest = &rest[1..];
            }
        }
        literal.push_str(rest);
        push_text(&mut pieces, &mut literal);
        if unknown.is_empty() {
            Ok(Self {
                source: text.into(),
                pieces,
            })
        } else {
            Err(unknown)
        }
    }

    /// `text` as it is, without holes.
    pub fn verbatim(text: &str) -> Self {
        let mut pieces = Vec::new();
        push_text(&mut pieces, &mut text.to_owned());
        Self {
            source: text.into(),
            pieces,
        }
    }

    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether a value stands in it.
    pub fn has_value(&self) -> bool {
        self.pieces.contains(&Piece::Hole(Hole::Value))
    }

    /// Whether the text is sent as it was written.
    pub fn is_verbatim(&self) -> bool {
        match &*self.pieces {
            [] => true,
            [Piece::Text(text)] => **text == *self.source,
            _ => false,
        }
    }

    /// The parts that stand in each request as they are.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(&**text),
            Piece::Hole(_) => None,
        })
    }

    /// The text for one request.
    pub fn fill(&self, asking: &Asking<'_>, escape: Escape) -> Bytes {
        // A value alone is not copied.
        if let ([Piece::Hole(Hole::Value)], Escape::Plain) = (&*self.pieces, escape) {
            return asking.value();
        }
        let mut filled = Vec::with_capacity(self.source.len() + 32);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => filled.extend_from_slice(text.as_bytes()),
                Piece::Hole(hole) => asking.push(*hole, escape, &mut filled),
            }
        }
        filled.into()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Asking<'_> {
    /// The value to write.
    pub fn value(&self) -> Bytes {
        value(self.value_size, self.user, self.sequence)
    }

    /// The key; of what concerns many keys, their pattern.
    fn key(&self) -> String {
        let pattern = &self.data_type.key;
        let window = self.data_type.limit.map(|limit| limit.window);
        match self.request.operation {
            Operation::InvalidateAll => pattern.glob::<u64>(&[]),
            Operation::InvalidatePattern => self.request.key_glob(pattern),
            Operation::Get | Operation::Put | Operation::Invalidate | Operation::Admit => {
                let params = self.request.params.as_slice();
                pattern.render(params, window).to_string()
            }
        }
    }

    fn push(&self, hole: Hole, escape: Escape, filled: &mut Vec<u8>) {
        let number = match hole {
            // A pattern has fewer of them than a key.
            Hole::Param(at) => self.request.params.as_slice().get(at).copied(),
            Hole::User => Some(self.user),
            Hole::Sequence => Some(self.sequence),
            Hole::Value => return push_bytes(&self.value(), escape, filled),
            Hole::Key => return push_bytes(self.key().as_bytes(), escape, filled),
        };
        if let Some(number) = number {
            let written = write!(filled, "{number}");
            debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
        }
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &mut String) {
    if !text.is_empty() {
        pieces.push(Piece::Text(std::mem::take(text).into()));
    }
}

fn push_bytes(bytes: &[u8], escape: Escape, filled: &mut Vec<u8>) {
    if escape == Escape::Plain {
        filled.extend_from_slice(bytes);
        return;
    }
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            filled.push(*byte);
        } else {
            let written = write!(filled, "%{byte:02X}");
            debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
        }
    }
}

fn hole(name: &str, params: &[&str]) -> Option<Hole> {
    if let Some(at) = params.iter().position(|param| *param == name) {
        return Some(Hole::Param(at));
    }
    match name {
        "user" => Some(Hole::User),
        "sequence" => Some(Hole::Sequence),
        "value" => Some(Hole::Value),
        "key" => Some(Hole::Key),
        _ => None,
    }
}

/// The name in `{name}` at the beginning of `text`.
fn name_in_braces(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('{')?;
    let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
    let named = inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (named && inner[end..].starts_with('}')).then(|| &inner[..end])
}

/// The name in `{{name}}` at the beginning of `text`, and how long that is.
fn escaped(text: &str) -> Option<(&str, usize)> {
    let name = name_in_braces(text.strip_prefix('{')?)?;
    let length = name.len() + 4;
    text[name.len() + 3..]
        .starts_with('}')
        .then_some((name, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    use crate::engine::data_type::{DataTypeId, Strategy};
    use crate::workload::KeyParams;

    fn stock() -> DataType {
        let key = "stock:{product_id}:{warehouse}".parse().expect("a pattern");
        DataType::new("stock", key, Strategy::CacheAside, Duration::from_mins(1))
    }

    fn filled(text: &str, operation: Operation, escape: Escape) -> String {
        let template = Template::parse(text, &["product_id", "warehouse"]).expect(text);
        let request = Request {
            data_type: DataTypeId(0),
            operation,
            params: KeyParams::new(&[17, 3]),
        };
        let asking = Asking {
            request: &request,
            data_type: &stock(),
            user: 5,
            sequence: 9,
            value_size: ByteSize(4),
        };
        String::from_utf8(template.fill(&asking, escape).to_vec()).expect("UTF-8")
    }

    #[test]
    fn holes_are_filled() {
        let path = |text| filled(text, Operation::Get, Escape::Url);
        insta::assert_snapshot!(path("/stock/{product_id}?in={warehouse}"), @"/stock/17?in=3");
        insta::assert_snapshot!(path("/{key}/{user}-{sequence}"), @"/stock%3A17%3A3/5-9");
        insta::assert_snapshot!(path("/put?{value}"), @"/put?%22ab%22");
        let body = |text| filled(text, Operation::Put, Escape::Plain);
        insta::assert_snapshot!(body("{value}"), @r#""ab""#);
        insta::assert_snapshot!(body(r#"{"key":"{key}","of":{"user":{user}}}"#), @r#"{"key":"stock:17:3","of":{"user":5}}"#);
    }

    #[test]
    fn what_concerns_many_keys_has_a_pattern_for_its_key() {
        let of = |operation| filled("{key}", operation, Escape::Plain);
        assert_eq!(of(Operation::InvalidatePattern), "stock:17:*");
        assert_eq!(of(Operation::InvalidateAll), "stock:*:*");
    }

    #[test]
    fn braces_that_are_no_holes_stand_for_themselves() {
        let body = |text| filled(text, Operation::Put, Escape::Plain);
        for text in [
            "{",
            "}",
            "{}",
            "{ user }",
            "{\"a\":{}}",
            "{1}",
            "{{",
            "{user",
        ] {
            assert_eq!(body(text), text);
        }
        assert_eq!(body("{{user}}"), "{user}");
        assert_eq!(body("{{{user}}}"), "{{user}}");
        assert_eq!(body("{{user}"), "{5");
    }

    #[test]
    fn every_unknown_name_is_told() {
        let unknown = Template::parse("/{product}/{user}/{wharehouse}", &["product_id"]);
        assert_eq!(
            unknown,
            Err(vec!["product".to_owned(), "wharehouse".to_owned()])
        );
    }

    #[test]
    fn a_parameter_hides_a_word() {
        let template = Template::parse("{user}", &["user"]).expect("a template");
        assert_eq!(template.pieces, [Piece::Hole(Hole::Param(0))]);
        assert!(!template.is_verbatim());
    }

    proptest! {
        #[test]
        fn any_text_without_names_is_kept(text in "[{}\":a1 ]{0,20}") {
            match Template::parse(&text, &[]) {
                Ok(template) => prop_assert!(template.is_verbatim() || text.contains("{{")),
                Err(unknown) => prop_assert!(unknown.iter().all(|name| name.starts_with('a'))),
            }
        }
    }
}
