//! How a service instance tells over HTTP what became of an operation and which layer answered,
//! and how a driver reads it back: the `Cache-Status` field of RFC 9211, and the status code.
//!
//! [`format()`] is called by the instance, [`read`] by HTTP drivers. Both are pure, and they agree:
//! what one writes the other reads as the same outcome and layer.
//!
//! Members are named `remote`, `local` and `edge` and stand in the order of the RFC, the cache
//! closest to the origin first: `remote; hit, local; fwd=miss`.

use crate::engine::layer::{Layer, Operation, Outcome};

/// The field's value for an operation that ended with `outcome`, answered by `layer`. Pairs that
/// mean nothing, such as a hit of the origin, are written as the nearest that does.
pub fn format(outcome: Outcome, layer: Layer) -> &'static str {
    match (outcome, layer) {
        (Outcome::Hit, Layer::Edge) => "edge; hit",
        (Outcome::Hit, Layer::Local) => "local; hit",
        (Outcome::Hit, Layer::Remote) => "remote; hit, local; fwd=miss",
        // A ttl below zero says "past its time"; how far past is told by Age.
        (Outcome::StaleHit, Layer::Edge) => "edge; hit; ttl=-1",
        (Outcome::StaleHit, Layer::Local) => "local; hit; ttl=-1",
        (Outcome::StaleHit, Layer::Remote) => "remote; hit; ttl=-1, local; fwd=miss",
        (Outcome::NegativeHit, Layer::Edge) => "edge; hit; detail=negative",
        (Outcome::NegativeHit, Layer::Local) => "local; hit; detail=negative",
        (Outcome::NegativeHit, Layer::Remote) => "remote; hit; detail=negative, local; fwd=miss",
        (Outcome::Coalesced, Layer::Edge) => "edge; hit; collapsed",
        (Outcome::Coalesced, Layer::Local) => "local; hit; collapsed",
        (Outcome::Coalesced, Layer::Remote) => "remote; hit, local; fwd=miss; collapsed",
        (Outcome::Coalesced, Layer::Origin) => "remote; fwd=miss, local; fwd=miss; collapsed",
        (Outcome::Refused, Layer::Edge) => "edge; hit; detail=refused",
        (Outcome::Refused, Layer::Local) => "local; hit; detail=refused",
        (Outcome::Refused, _) => "remote; hit; detail=refused, local; fwd=bypass",
        // Our own caches always know.
        (Outcome::Bypass | Outcome::Unknown, _) => "remote; fwd=bypass, local; fwd=bypass",
        (Outcome::Error, _) => "remote; fwd=miss; detail=error, local; fwd=miss; detail=error",
        (Outcome::Miss, _)
        | (Outcome::Hit | Outcome::StaleHit | Outcome::NegativeHit, Layer::Origin) => {
            "remote; fwd=miss, local; fwd=miss"
        }
    }
}

/// What a response with this `status` and `Cache-Status` field says about `operation`.
///
/// Caches and parameters that are not ours are passed over, and a field that breaks the grammar
/// is ignored as a whole, as RFC 9211 wants. A read without the field came straight from the
/// origin: nobody says that a cache was asked.
pub fn read(operation: Operation, status: u16, cache_status: Option<&str>) -> (Outcome, Layer) {
    let told = || cache_status.and_then(parse).unwrap_or_default();
    match (operation, status) {
        (Operation::Admit, 429) => {
            let (_, layer) = answer(&told());
            (Outcome::Refused, or_remote(layer))
        }
        (Operation::Get, 404) => match answer(&told()) {
            (Outcome::Hit | Outcome::StaleHit, layer) => (Outcome::NegativeHit, layer),
            other => other,
        },
        (Operation::Get, 200..=299) => answer(&told()),
        (Operation::Admit, 200..=299) => match answer(&told()) {
            // No cache may hold the answer; that it was counted is what matters.
            (Outcome::Hit | Outcome::StaleHit, layer) => (Outcome::Hit, layer),
            other => other,
        },
        (
            Operation::Put
            | Operation::Invalidate
            | Operation::InvalidatePattern
            | Operation::InvalidateAll,
            200..=299,
        ) => (Outcome::Bypass, Layer::Origin),
        _ => (Outcome::Error, Layer::Origin),
    }
}

/// Counters live in the remote layer unless the response names another.
fn or_remote(layer: Layer) -> Layer {
    if layer == Layer::Origin {
        Layer::Remote
    } else {
        layer
    }
}

/// What one of our caches did with a request.
#[allow(
    clippy::struct_excessive_bools,
    reason = "one for each parameter of the field; the RFC lets them stand in any combination"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Member {
    /// `None` for a cache that is not ours.
    layer: Option<Layer>,
    hit: bool,
    stale: bool,
    bypassed: bool,
    /// It asked the next one, or wanted to.
    forwarded: bool,
    /// What it asked answered with an error of its own.
    forward_failed: bool,
    collapsed: bool,
}

/// The outcome and the layer that `members` add up to. The answer came from the hit closest to
/// the user: what stands before it may be older than this request, kept with a stored response.
fn answer(members: &[Member]) -> (Outcome, Layer) {
    let (mut collapsed, mut asked) = (false, false);
    for member in members.iter().rev() {
        let Some(layer) = member.layer else { continue };
        collapsed |= member.collapsed;
        asked |= !member.bypassed;
        if member.hit {
            let outcome = match (collapsed, member.stale) {
                (true, _) => Outcome::Coalesced,
                (false, true) => Outcome::StaleHit,
                (false, false) => Outcome::Hit,
            };
            return (outcome, layer);
        }
    }
    let outcome = match (collapsed, asked) {
        (true, _) => Outcome::Coalesced,
        (false, true) => Outcome::Miss,
        (false, false) => Outcome::Bypass,
    };
    (outcome, Layer::Origin)
}

/// What the field of a service that is not ours says about a read that was answered: whatever its caches
/// are called, they count. One that has the name of one of our layers is that layer, any other is the
/// edge: it is a cache in front of something, seen from outside. `None` if the field breaks the grammar or
/// says nothing.
///
/// A cache that went to the origin and got an error there, and yet there is a good answer, served a
/// stale one (`fwd=stale; fwd-status=503`). One that only asked whether its entry is still good
/// (`fwd=stale; fwd-status=304`) missed: the origin was asked, and the user waited for it.
pub fn read_foreign(field: &str) -> Option<(Outcome, Layer)> {
    let members = parse(field)?;
    let of_use = |member: &&Member| member.hit || member.forwarded || member.collapsed;
    let members: Vec<Member> = members.iter().filter(of_use).copied().collect();
    let edge = |layer: Option<Layer>| layer.unwrap_or(Layer::Edge);
    let saved = |member: &&Member| !member.hit && member.forward_failed;
    if let Some(member) = members.iter().rev().find(saved)
        && !members.iter().any(|member| member.hit)
    {
        return Some((Outcome::StaleHit, edge(member.layer)));
    }
    let named = members.iter().map(|member| Member {
        layer: Some(edge(member.layer)),
        ..*member
    });
    let named: Vec<Member> = named.collect();
    (!named.is_empty()).then(|| answer(&named))
}

/// The members of a `Cache-Status` field: a List of RFC 9651 whose items are Tokens or Strings.
/// `None` if it breaks the grammar.
fn parse(field: &str) -> Option<Vec<Member>> {
    let mut input = Input { rest: field };
    input.skip(" ");
    let mut members = vec![];
    while !input.rest.is_empty() {
        members.push(input.member()?);
        input.skip(" \t");
        if input.rest.is_empty() {
            break;
        }
        input.expect(',')?;
        input.skip(" \t");
        if input.rest.is_empty() {
            return None;
        }
    }
    Some(members)
}

/// A bare item, as far as it matters here.
#[derive(Debug, PartialEq)]
enum BareItem<'a> {
    Token(&'a str),
    Text(String),
    Number(f64),
    Boolean(bool),
    Other,
}

struct Input<'a> {
    rest: &'a str,
}

impl<'a> Input<'a> {
    fn skip(&mut self, blanks: &str) {
        self.rest = self.rest.trim_start_matches(|c| blanks.contains(c));
    }

    fn expect(&mut self, wanted: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    /// Takes what `belongs`, at least one character.
    fn take(&mut self, belongs: impl Fn(char) -> bool) -> Option<&'a str> {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!taken.is_empty()).then_some(taken)
    }

    fn member(&mut self) -> Option<Member> {
        let name = match self.bare_item()? {
            BareItem::Token(name) => name.to_owned(),
            BareItem::Text(name) => name,
            _ => return None,
        };
        let ours = [Layer::Edge, Layer::Local, Layer::Remote];
        let mut member = Member {
            layer: ours.into_iter().find(|layer| layer.name() == name),
            ..Member::default()
        };
        loop {
            // The grammar has no blanks before the semicolon; people write them.
            self.skip(" \t");
            if self.expect(';').is_none() {
                break;
            }
            self.skip(" \t");
            let key = self.key()?;
            let value = if self.rest.starts_with('=') {
                self.expect('=')?;
                self.bare_item()?
            } else {
                BareItem::Boolean(true)
            };
            // Of a parameter that stands twice the last one counts.
            match (key, value) {
                ("hit", value) => member.hit = value == BareItem::Boolean(true),
                ("collapsed", value) => member.collapsed = value == BareItem::Boolean(true),
                ("ttl", BareItem::Number(ttl)) => member.stale = ttl < 0.0,
                ("fwd", value) => {
                    member.forwarded = true;
                    member.bypassed = value == BareItem::Token("bypass");
                }
                ("fwd-status", BareItem::Number(status)) => {
                    member.forward_failed = status >= 500.0;
                }
                _ => {}
            }
        }
        Some(member)
    }

    fn key(&mut self) -> Option<&'a str> {
        if !self
            .rest
            .starts_with(|c: char| c.is_ascii_lowercase() || c == '*')
        {
            return None;
        }
        self.take(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c))
    }

    fn bare_item(&mut self) -> Option<BareItem<'a>> {
        match self.rest.chars().next()? {
            '"' => self.text().map(BareItem::Text),
            '?' => {
                self.expect('?')?;
                match self.take(|c| c.is_ascii_digit())? {
                    "0" => Some(BareItem::Boolean(false)),
                    "1" => Some(BareItem::Boolean(true)),
                    _ => None,
                }
            }
            c if c == '-' || c.is_ascii_digit() => {
                let digits = self.take(|c| c == '-' || c == '.' || c.is_ascii_digit())?;
                digits.parse().ok().map(BareItem::Number)
            }
            c if c == '*' || c.is_ascii_alphabetic() => {
                let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c);
                self.take(token).map(BareItem::Token)
            }
            // Byte sequences, dates and display strings: none says anything here.
            ':' => {
                self.expect(':')?;
                self.rest = self.rest.split_once(':')?.1;
                Some(BareItem::Other)
            }
            '@' => {
                self.expect('@')?;
                self.take(|c| c == '-' || c.is_ascii_digit())?;
                Some(BareItem::Other)
            }
            '%' => {
                self.expect('%')?;
                self.text().map(|_| BareItem::Other)
            }
            _ => None,
        }
    }

    fn text(&mut self) -> Option<String> {
        self.expect('"')?;
        let mut text = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => text.push(chars.next().filter(|c| "\"\\".contains(*c))?),
                c if c == ' ' || c.is_ascii_graphic() => text.push(c),
                _ => return None,
            }
        }
        self.rest = chars.as_str();
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CACHES: [Layer; 3] = [Layer::Edge, Layer::Local, Layer::Remote];

    /// Every operation with the statuses and the pairs that an instance may answer it with.
    fn meaningful() -> Vec<(Operation, u16, Outcome, Layer)> {
        let mut pairs = vec![
            (Operation::Get, 200, Outcome::Miss, Layer::Origin),
            (Operation::Get, 404, Outcome::Miss, Layer::Origin),
            (Operation::Get, 200, Outcome::Bypass, Layer::Origin),
            (Operation::Get, 404, Outcome::Bypass, Layer::Origin),
            (Operation::Get, 200, Outcome::Coalesced, Layer::Origin),
            (Operation::Get, 404, Outcome::Coalesced, Layer::Origin),
            (Operation::Get, 503, Outcome::Error, Layer::Origin),
            (Operation::Put, 204, Outcome::Bypass, Layer::Origin),
            (Operation::Put, 503, Outcome::Error, Layer::Origin),
            (Operation::Invalidate, 204, Outcome::Bypass, Layer::Origin),
            (Operation::Invalidate, 500, Outcome::Error, Layer::Origin),
            (Operation::Admit, 204, Outcome::Bypass, Layer::Origin),
            (Operation::Admit, 204, Outcome::Miss, Layer::Origin),
            (Operation::Admit, 504, Outcome::Error, Layer::Origin),
        ];
        for layer in CACHES {
            pairs.extend([
                (Operation::Get, 200, Outcome::Hit, layer),
                (Operation::Get, 200, Outcome::StaleHit, layer),
                (Operation::Get, 404, Outcome::NegativeHit, layer),
                (Operation::Get, 200, Outcome::Coalesced, layer),
                (Operation::Admit, 204, Outcome::Hit, layer),
                (Operation::Admit, 429, Outcome::Refused, layer),
            ]);
        }
        pairs
    }

    #[test]
    fn what_an_instance_tells_a_driver_reads() {
        for (operation, status, outcome, layer) in meaningful() {
            let field = format(outcome, layer);
            assert_eq!(
                read(operation, status, Some(field)),
                (outcome, layer),
                "{operation:?} {status} {field}"
            );
        }
    }

    #[test]
    fn every_pair_has_a_well_formed_field() {
        for outcome in Outcome::ALL {
            for layer in Layer::ALL {
                let field = format(outcome, layer);
                let members = parse(field).expect(field);
                assert!(
                    members.iter().all(|member| member.layer.is_some()),
                    "{field}"
                );
            }
        }
    }

    #[test]
    fn foreign_spellings_are_understood() {
        let get = |field| read(Operation::Get, 200, Some(field));
        let remote_hit = (Outcome::Hit, Layer::Remote);
        assert_eq!(get("remote;hit,local;fwd=miss"), remote_hit);
        assert_eq!(get("  remote ;hit"), remote_hit);
        assert_eq!(
            get("remote;   hit=?1 \t,\t local; fwd=uri-miss; stored"),
            remote_hit
        );
        assert_eq!(
            get("\"remote\"; hit; ttl=30.5; key=\"a\\\"b, c\""),
            remote_hit
        );
        assert_eq!(
            get("remote; hit, ExampleCDN; fwd=miss; fwd-status=200"),
            remote_hit
        );
        assert_eq!(
            get("ExampleCDN; hit, remote; fwd=stale"),
            (Outcome::Miss, Layer::Origin)
        );
        assert_eq!(
            get("remote; hit; x=:YWJj:; y=@1659578233; z=*a/b"),
            remote_hit
        );
        // Tokens and keys are case-sensitive: these are another cache and a broken field.
        assert_eq!(get("Remote; hit"), (Outcome::Bypass, Layer::Origin));
        assert_eq!(get("remote; HIT"), (Outcome::Bypass, Layer::Origin));
        assert_eq!(get("remote; hit=?0"), (Outcome::Miss, Layer::Origin));
        assert_eq!(
            get("local; hit; ttl=-12"),
            (Outcome::StaleHit, Layer::Local)
        );
    }

    #[test]
    fn caches_that_are_not_ours_are_one_edge() {
        let stale = Some((Outcome::StaleHit, Layer::Edge));
        let miss = Some((Outcome::Miss, Layer::Origin));
        for (field, read) in [
            ("ExampleCDN; hit", Some((Outcome::Hit, Layer::Edge))),
            ("nginx; hit; ttl=-3", stale),
            ("nginx; fwd=uri-miss; stored", miss),
            ("nginx; fwd=stale; fwd-status=200", miss),
            ("nginx; fwd=stale; fwd-status=304", miss),
            ("nginx; fwd=stale; fwd-status=503", stale),
            (
                "shield; hit, pop; fwd=miss",
                Some((Outcome::Hit, Layer::Edge)),
            ),
            ("shield; fwd=miss, pop; fwd=miss", miss),
            (
                "pop; fwd=miss; collapsed",
                Some((Outcome::Coalesced, Layer::Origin)),
            ),
            ("pop; fwd=bypass", Some((Outcome::Bypass, Layer::Origin))),
            (
                "remote; hit, local; fwd=miss",
                Some((Outcome::Hit, Layer::Remote)),
            ),
            ("pop; detail=warm", None),
            ("", None),
            ("pop; hit,", None),
        ] {
            assert_eq!(read_foreign(field), read, "{field}");
        }
    }

    #[test]
    fn the_hit_closest_to_the_user_answered() {
        let stored_with_the_response = "remote; hit, local; fwd=miss; collapsed, edge; hit";
        assert_eq!(
            read(Operation::Get, 200, Some(stored_with_the_response)),
            (Outcome::Hit, Layer::Edge)
        );
    }

    #[test]
    fn without_the_field_nothing_was_cached() {
        assert_eq!(
            read(Operation::Get, 200, None),
            (Outcome::Bypass, Layer::Origin)
        );
        assert_eq!(
            read(Operation::Get, 404, None),
            (Outcome::Bypass, Layer::Origin)
        );
        assert_eq!(
            read(Operation::Admit, 429, None),
            (Outcome::Refused, Layer::Remote)
        );
        assert_eq!(
            read(Operation::Get, 418, None),
            (Outcome::Error, Layer::Origin)
        );
        assert_eq!(
            read(Operation::Put, 429, None),
            (Outcome::Error, Layer::Origin)
        );
    }

    #[test]
    fn broken_fields_are_ignored_as_a_whole() {
        for broken in [
            "local; hit,",
            ",",
            "local; hit; \"x\"",
            "17; hit",
            "local; hit; a=\"b",
            "é",
        ] {
            assert_eq!(parse(broken), None, "{broken}");
        }
        assert_eq!(parse(""), Some(vec![]));
    }

    proptest! {
        #[test]
        fn reading_never_panics(status: u16, field in ".{0,60}") {
            for operation in Operation::ALL {
                let _ = read(operation, status, Some(&field));
            }
        }

        #[test]
        fn nearly_good_fields_never_panic(field in "(remote|local|\"|;|,| |hit|fwd=|miss|ttl=|-|1|\\\\|\\?|:|@|%){0,24}") {
            let _ = read(Operation::Get, 200, Some(&field));
        }
    }
}
