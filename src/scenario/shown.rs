//! Changes of a scenario as they are told to people: on one line, and without secrets.
//!
//! Called for variants, for the command line's arguments, and by the command line for the report.

use super::diagnostics::Errors;
use super::yaml::{self, Kind, Node};
use crate::environment::external::field::{HIDDEN, looks_secret};

/// `--set path=value` as it was typed, but for the secrets in it.
pub fn argument(path: &str, value: &str) -> String {
    let mut errors = Errors::default();
    let node = yaml::read(value, &mut errors);
    match node.filter(|_| errors.is_empty()) {
        Some(node) => {
            let shown = change(path, &node);
            let hidden = |text: &str| text.matches(HIDDEN).count();
            // Only then: on one line it may have lost its quotes.
            if hidden(&shown) > hidden(path) + hidden(value) {
                return format!("--set {shown}");
            }
        }
        // Nobody knows what is in there.
        None if path.contains("headers") || value.contains("headers") => {
            return format!("--set {path}={HIDDEN}");
        }
        None => {}
    }
    format!("--set {path}={value}")
}

/// What is changed, as `path=value`.
pub(super) fn change(path: &str, value: &Node) -> String {
    format!("{path}={}", at("", path, value))
}

/// What stands at `path`, below the key `parent`.
fn at(parent: &str, path: &str, node: &Node) -> String {
    let (parents, key) = path.rsplit_once('.').unwrap_or((parent, path));
    let is_header = parents.rsplit('.').next() == Some("headers");
    match &node.kind {
        Kind::Scalar(_) if is_header && looks_secret(key) => HIDDEN.to_owned(),
        Kind::Null => "null".to_owned(),
        Kind::Scalar(text) => text.to_string(),
        Kind::Sequence(items) => {
            let items: Vec<String> = items.iter().map(|item| at(parent, path, item)).collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Mapping(entries) => {
            let entries = entries
                .iter()
                .map(|(name, value)| format!("{}: {}", name.text, at(key, &name.text, value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_told_as_typed_but_for_their_secrets() {
        let told = |text: &str| {
            let (path, value) = text.split_once('=').expect("an assignment");
            argument(path, value)
        };
        for plain in [
            "traffic.ramp=1s",
            "target.headers.accept=text/plain",
            "target.headers.authorization={ env: SHOP_TOKEN, prefix: 'Bearer ' }",
            "baseline={ for: \"5s\" }",
            "name=[",
        ] {
            assert_eq!(told(plain), format!("--set {plain}"));
        }
        insta::assert_snapshot!(told("target.headers.authorization=Bearer hush"), @"--set target.headers.authorization=…");
        insta::assert_snapshot!(told("target={ url: 'http://a', headers: { x-token: hush, accept: '*/*' } }"), @"--set target={ url: http://a, headers: { x-token: …, accept: */* } }");
        insta::assert_snapshot!(told("variants.b.set={ target.headers.cookie: hush }"), @"--set variants.b.set={ target.headers.cookie: … }");
        insta::assert_snapshot!(told("target.operations.a.get.headers={ cookie: hu\"sh"), @"--set target.operations.a.get.headers=…");
    }
}
