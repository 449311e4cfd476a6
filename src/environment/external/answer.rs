//! What the answers of a service that is not ours say about its cache.
//!
//! Caches that others wrote tell in one of three ways whether they had the answer: the `Cache-Status`
//! field of RFC 9211, a word in `X-Cache` or a field like it, which every cache spells in its own way, or
//! `Age` (RFC 9111). Pure: a field's text goes in, an outcome and a layer come out. Whoever says nothing
//! is not guessed at: the outcome is [`Outcome::Unknown`].
//!
//! Seen from outside all caches of a service are one layer, [`Layer::Edge`], unless `Cache-Status` calls
//! them by the names of our layers.

use http::header::{AGE, HeaderMap, HeaderName};

use super::super::cache_status;
use crate::engine::layer::{Layer, Operation, Outcome};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// Where caches write their word; the first that is there counts.
const X_CACHE: [HeaderName; 3] = [
    HeaderName::from_static("x-cache"),
    HeaderName::from_static("x-cache-status"),
    HeaderName::from_static("cf-cache-status"),
];
/// A refused arrival.
const TOO_MANY_REQUESTS: u16 = 429;
const NOT_FOUND: u16 = 404;

/// Where a service says what its cache did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Telling {
    /// Wherever it is found: `Cache-Status`, else `X-Cache`, else `Age`.
    #[default]
    Auto,
    /// In `Cache-Status`.
    CacheStatus,
    /// In `X-Cache`, `X-Cache-Status` or `CF-Cache-Status`.
    XCache,
    /// In `Age`: above 0 is a hit, and an answer without it is a miss.
    Age,
    /// Nowhere.
    None,
    /// In a field of its own.
    Field(OwnField),
}

/// A field of one's own, by its whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnField {
    /// Which.
    pub name: HeaderName,
    /// Its text in a hit; compared without regard to case.
    pub hit: Vec<String>,
    /// Its text in a miss.
    pub miss: Vec<String>,
}

impl Telling {
    /// Its word in scenarios and reports; a field of one's own is called by its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Auto => "auto",
            Self::CacheStatus => "cache-status",
            Self::XCache => "x-cache",
            Self::Age => "age",
            Self::None => "none",
            Self::Field(own) => own.name.as_str(),
        }
    }

    /// How `operation` ended that was answered with an expected `status`, and who answered.
    pub fn read(&self, operation: Operation, status: u16, headers: &HeaderMap) -> (Outcome, Layer) {
        match operation {
            Operation::Get => {
                let told = self.of_read(headers);
                match told.unwrap_or((Outcome::Unknown, Layer::Origin)) {
                    (Outcome::Hit | Outcome::StaleHit, layer) if status == NOT_FOUND => {
                        (Outcome::NegativeHit, layer)
                    }
                    other => other,
                }
            }
            Operation::Admit if status == TOO_MANY_REQUESTS => (Outcome::Refused, Layer::Origin),
            // Writes pass through a cache, whatever it says.
            Operation::Admit
            | Operation::Put
            | Operation::Invalidate
            | Operation::InvalidatePattern
            | Operation::InvalidateAll => (Outcome::Bypass, Layer::Origin),
        }
    }

    fn of_read(&self, headers: &HeaderMap) -> Option<(Outcome, Layer)> {
        match self {
            Self::Auto => of_cache_status(headers)
                .or_else(|| of_x_cache(headers))
                .or_else(|| of_age(headers)),
            Self::CacheStatus => of_cache_status(headers),
            Self::XCache => of_x_cache(headers),
            Self::Age if headers.contains_key(AGE) => of_age(headers),
            Self::Age => Some((Outcome::Miss, Layer::Origin)),
            Self::None => None,
            Self::Field(own) => own.read(headers),
        }
    }
}

impl OwnField {
    fn read(&self, headers: &HeaderMap) -> Option<(Outcome, Layer)> {
        let text = text_of(headers, &self.name)?;
        let is_one_of = |words: &[String]| {
            let mut words = words.iter();
            words.any(|word| word.eq_ignore_ascii_case(text.trim()))
        };
        if is_one_of(&self.hit) {
            Some((Outcome::Hit, Layer::Edge))
        } else if is_one_of(&self.miss) {
            Some((Outcome::Miss, Layer::Origin))
        } else {
            None
        }
    }
}

fn of_cache_status(headers: &HeaderMap) -> Option<(Outcome, Layer)> {
    cache_status::read_foreign(&text_of(headers, &CACHE_STATUS)?)
}

fn of_x_cache(headers: &HeaderMap) -> Option<(Outcome, Layer)> {
    let text = X_CACHE.iter().find_map(|name| text_of(headers, name))?;
    by_words(&text)
}

/// An age above 0 was spent in a cache. One of 0 is what Varnish says of a miss; a hit within the first
/// second says it, too, and is taken for one.
fn of_age(headers: &HeaderMap) -> Option<(Outcome, Layer)> {
    let text = text_of(headers, &AGE)?;
    let seconds: u64 = text.trim().parse().ok()?;
    Some(if seconds > 0 {
        (Outcome::Hit, Layer::Edge)
    } else {
        (Outcome::Miss, Layer::Origin)
    })
}

/// What a list of words says, one from each cache on the way, the one closest to the user last
/// (`HIT, MISS`: the shield had it, the edge not). Any hit answered; else the origin did.
fn by_words(text: &str) -> Option<(Outcome, Layer)> {
    let words: Vec<Outcome> = text.split(',').filter_map(by_word).collect();
    let hit = |outcome: &&Outcome| matches!(outcome, Outcome::Hit | Outcome::StaleHit);
    if let Some(hit) = words.iter().rev().find(hit) {
        return Some((*hit, Layer::Edge));
    }
    let outcome = if words.contains(&Outcome::Miss) {
        Outcome::Miss
    } else {
        *words.last()?
    };
    Some((outcome, Layer::Origin))
}

/// The first word of `text`: `HIT` (Varnish, nginx, Fastly), `Hit from cloudfront`, `HIT from
/// proxy.example` (Squid), `TCP_MEM_HIT` (Squid's log, Akamai).
///
/// What was asked for again is a miss even if the origin only said that it is still good (`REVALIDATED`,
/// `RefreshHit`): the user waited for the origin. `UPDATING` is how nginx says that it gave a stale answer
/// while somebody else fetches a new one.
fn by_word(text: &str) -> Option<Outcome> {
    let first = text.split_whitespace().next()?.to_ascii_uppercase();
    let word = first.strip_prefix("TCP_").unwrap_or(&first);
    Some(match word {
        "HIT" | "MEM_HIT" | "IMS_HIT" | "REMOTE_HIT" | "INMEM_HIT" | "HIT-CLUSTER" | "CACHED"
        | "ORIGINSHIELDHIT" => Outcome::Hit,
        "STALE" | "UPDATING" | "HIT-STALE" | "STALE_HIT" | "HIT_STALE" | "REFRESH_FAIL_HIT"
        | "REFRESH_FAIL_OLD" => Outcome::StaleHit,
        "MISS"
        | "EXPIRED"
        | "REVALIDATED"
        | "REFRESHHIT"
        | "REFRESH_HIT"
        | "REFRESH_UNMODIFIED"
        | "REFRESH_MISS"
        | "REFRESH_MODIFIED"
        | "EXPIRED_HIT"
        | "EXPIRED_MISS"
        | "MISS-CLUSTER"
        | "CLIENT_REFRESH_MISS" => Outcome::Miss,
        "BYPASS" | "PASS" | "DYNAMIC" | "HITPASS" | "HIT-FOR-PASS" | "UNCACHED"
        | "CONFIG_NOCACHE" | "SYNTH" => Outcome::Bypass,
        _ => return None,
    })
}

/// A field as one text; one that stands on several lines is joined, as lists are. `None` if it is
/// missing or not in plain characters.
fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut lines = headers.get_all(name).iter();
    let mut text = lines.next()?.to_str().ok()?.to_owned();
    for line in lines {
        text.push_str(", ");
        text.push_str(line.to_str().ok()?);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNKNOWN: (Outcome, Layer) = (Outcome::Unknown, Layer::Origin);
    const HIT: (Outcome, Layer) = (Outcome::Hit, Layer::Edge);
    const MISS: (Outcome, Layer) = (Outcome::Miss, Layer::Origin);

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect(value));
        }
        headers
    }

    fn read(telling: &Telling, lines: &[(&'static str, &str)]) -> (Outcome, Layer) {
        telling.read(Operation::Get, 200, &headers(lines))
    }

    #[test]
    fn every_cache_spells_it_in_its_own_way() {
        let stale = (Outcome::StaleHit, Layer::Edge);
        let bypass = (Outcome::Bypass, Layer::Origin);
        for (text, wanted) in [
            // nginx, $upstream_cache_status
            ("HIT", HIT),
            ("MISS", MISS),
            ("EXPIRED", MISS),
            ("STALE", stale),
            ("UPDATING", stale),
            ("REVALIDATED", MISS),
            ("BYPASS", bypass),
            // Varnish, as its documentation's VCL writes it
            ("hit", HIT),
            ("miss", MISS),
            ("pass", bypass),
            ("HIT (3)", HIT),
            // CloudFront
            ("Hit from cloudfront", HIT),
            ("Miss from cloudfront", MISS),
            ("RefreshHit from cloudfront", MISS),
            ("OriginShieldHit from cloudfront", HIT),
            ("Error from cloudfront", UNKNOWN),
            // Fastly: the shield first
            ("HIT, HIT", HIT),
            ("HIT, MISS", HIT),
            ("MISS, HIT", HIT),
            ("MISS, MISS", MISS),
            ("PASS, MISS", MISS),
            // Squid
            ("HIT from proxy.example", HIT),
            ("MISS from proxy.example:3128", MISS),
            ("TCP_MEM_HIT from a1", HIT),
            ("TCP_REFRESH_MISS from a1", MISS),
            ("TCP_EXPIRED_HIT from a1", MISS),
            // nobody
            ("whatever", UNKNOWN),
            ("", UNKNOWN),
            (",", UNKNOWN),
        ] {
            for telling in [Telling::XCache, Telling::Auto] {
                assert_eq!(read(&telling, &[("x-cache", text)]), wanted, "{text}");
            }
        }
        let two_lines = [("x-cache", "MISS"), ("x-cache", "HIT")];
        assert_eq!(read(&Telling::XCache, &two_lines), HIT);
    }

    #[test]
    fn the_field_that_says_most_is_read_first() {
        let auto = |lines: &[(&'static str, &str)]| read(&Telling::Auto, lines);
        let miss = ("cache-status", "pop; fwd=uri-miss");
        assert_eq!(auto(&[("x-cache", "HIT"), ("age", "7"), miss]), MISS);
        assert_eq!(auto(&[("age", "7"), ("x-cache", "MISS")]), MISS);
        assert_eq!(auto(&[("x-cache", "??"), ("age", "7")]), HIT);
        assert_eq!(auto(&[("cache-status", "\""), ("age", "7")]), HIT);
        assert_eq!(auto(&[("cf-cache-status", "HIT")]), HIT);
        assert_eq!(auto(&[("age", "0")]), MISS);
        assert_eq!(auto(&[("age", "old")]), UNKNOWN);
        assert_eq!(auto(&[]), UNKNOWN);
    }

    #[test]
    fn only_the_field_that_is_named_is_read() {
        let all = [
            ("cache-status", "a; hit"),
            ("x-cache", "MISS"),
            ("age", "7"),
        ];
        assert_eq!(read(&Telling::CacheStatus, &all), HIT);
        assert_eq!(read(&Telling::XCache, &all), MISS);
        assert_eq!(read(&Telling::Age, &all), HIT);
        assert_eq!(read(&Telling::None, &all), UNKNOWN);
        assert_eq!(read(&Telling::CacheStatus, &[("age", "7")]), UNKNOWN);
        assert_eq!(read(&Telling::Age, &[]), MISS);
    }

    #[test]
    fn a_field_of_ones_own_is_compared_as_a_whole() {
        let own = Telling::Field(OwnField {
            name: HeaderName::from_static("x-mine"),
            hit: vec!["warm".to_owned(), "hot one".to_owned()],
            miss: vec!["cold".to_owned()],
        });
        assert_eq!(read(&own, &[("x-mine", "WARM")]), HIT);
        assert_eq!(read(&own, &[("x-mine", "hot one")]), HIT);
        assert_eq!(read(&own, &[("x-mine", "cold")]), MISS);
        assert_eq!(read(&own, &[("x-mine", "hot")]), UNKNOWN);
        assert_eq!(read(&own, &[("x-cache", "HIT")]), UNKNOWN);
    }

    #[test]
    fn statuses_and_operations_have_their_say() {
        let hit = headers(&[("x-cache", "HIT")]);
        let read = |operation, status| Telling::Auto.read(operation, status, &hit);
        assert_eq!(
            read(Operation::Get, 404),
            (Outcome::NegativeHit, Layer::Edge)
        );
        for write in [Operation::Put, Operation::Invalidate, Operation::Admit] {
            assert_eq!(read(write, 200), (Outcome::Bypass, Layer::Origin));
        }
        assert_eq!(
            read(Operation::Admit, 429),
            (Outcome::Refused, Layer::Origin)
        );
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "[ -~]{0,40}", status: u16) {
            for name in ["cache-status", "x-cache", "age"] {
                let headers = headers(&[(name, &text)]);
                for operation in Operation::ALL {
                    let _ = Telling::Auto.read(operation, status, &headers);
                }
            }
        }
    }
}
