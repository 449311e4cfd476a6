//! The policy table: for each data type its key pattern, TTL, strategy and invalidation.
//!
//! One row of the table is one row of "Cache Strategies by Data Type" in the ADR. Everything the
//! engine decides per data type, it decides by a value in here; the engine knows no data type by
//! name. Built by the scenario, or by hand by those who use the engine alone.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::invalidation::glob::escape;
pub use super::sliding::Sliding;
use crate::units::Ratio;

/// A key of the cache, as it stands in Redis after the run's prefix. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key spelled `text`.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A row's place in the [`PolicyTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataTypeId(pub u16);

impl DataTypeId {
    /// The place as an index into tables that run beside the policy table.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// How reads and writes of a data type go through the layers (ADR, "Caching Patterns").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Read: cache, else origin and fill. Write: origin, then invalidate.
    CacheAside,
    /// Read as cache-aside. Write: origin, then the new value into the cache if it is newer.
    WriteThrough,
    /// Write: the cache and a queue at once, the origin later, by a consumer.
    WriteBehind,
    /// No value: arrivals are counted in a window and admitted or refused.
    Counter,
}

/// What ends an entry's life before its TTL does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Invalidation {
    /// Nothing: entries live until their TTL ends.
    #[default]
    Time,
    /// A write: it is published, and every instance drops its local entry.
    Event,
}

/// What keeps many requests from loading the same key at once (ADR, "Cache Stampede").
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Stampede {
    /// Nothing: everyone who misses loads.
    None,
    /// One load per key and instance.
    #[default]
    SingleFlight,
    /// The ADR's `get_with_lock`, with its constants: a control, not advice.
    AdrLock,
    /// One load per key over all instances: a lock with an owner, renewed while the load lasts;
    /// waiters are woken, and have a deadline.
    Lock,
    /// One load per key over all instances: a lease on the data key itself. Its holder alone may
    /// fill, and an invalidation takes the lease away.
    Lease,
    /// Single-flight, and a reader now and then loads before the TTL ends (`XFetch`).
    EarlyRefresh {
        /// How eagerly; 1 is optimal in theory, more loads earlier.
        beta: f64,
    },
    /// Past its TTL an entry is served at once while one reader loads anew. Needs `serve_stale`.
    StaleWhileRevalidate,
}

/// What keeps an old value from replacing a newer one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// Layers compare what they are offered with what they know, and invalidations leave
    /// tombstones.
    #[default]
    Versioned,
    /// The ADR's code: `SETEX` and `DEL`, whoever comes last wins. A control, not advice.
    Naive,
}

/// How a counter decides. What each promises, exactly, stands in [`rate_limit`](super::rate_limit)
/// and in `docs/engine/limits.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LimitAlgorithm {
    /// The window in sub-buckets, the oldest counted in full: never over the limit.
    #[default]
    SlidingBuckets,
    /// The time of every admitted request: never over the limit, and room is given back at once.
    SlidingLog,
    /// Requests evenly apart, with leave to come up to `burst` of them early.
    Gcra {
        /// How many may come at once; from 1 to the limit's requests.
        burst: u64,
    },
    /// The last two windows, the older one by its share that is still in sight: up to twice the
    /// limit.
    TwoBuckets,
    /// One count a window, from zero again in the next: up to twice the limit. A control, not
    /// advice.
    FixedWindow,
}

/// How many requests a key of a counter may make in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The most that should be admitted in any one window; at least 1, and 0 is taken for 1.
    pub requests: u64,
    /// The window's length.
    pub window: Duration,
    /// How it is decided.
    pub algorithm: LimitAlgorithm,
}

impl Limit {
    /// `requests` in any `window`, decided by the algorithm that is meant where none is named.
    pub fn new(requests: u64, window: Duration) -> Self {
        Self {
            requests,
            window,
            algorithm: LimitAlgorithm::default(),
        }
    }
}

/// One row of the policy table.
#[derive(Clone, Debug)]
pub struct DataType {
    /// As the scenario calls it: `customer`.
    pub name: Arc<str>,
    /// Where its entries stand: `customer:360:{customer_id}`.
    pub key: KeyPattern,
    /// Keys made from the same row, invalidated together with it.
    pub related: Vec<KeyPattern>,
    /// How reads and writes go through the layers.
    pub strategy: Strategy,
    /// How long the remote layer keeps an entry.
    pub ttl: Duration,
    /// How long the local layer keeps an entry; `None` keeps this data type out of it.
    pub local_ttl: Option<Duration>,
    /// What ends an entry's life early.
    pub invalidation: Invalidation,
    /// How long the absence of a row is remembered; `None`: it is not.
    pub negative_ttl: Option<Duration>,
    /// Each TTL is shortened by a random share of up to this, so that entries filled together do
    /// not expire together.
    pub ttl_jitter: Ratio,
    /// The limit of a counter; `Some` exactly for [`Strategy::Counter`].
    pub limit: Option<Limit>,
    /// What keeps many requests from loading the same key at once.
    pub stampede: Stampede,
    /// How long past its TTL an entry may still be served, where that is better than an error or a
    /// wait; `None`: never.
    pub serve_stale: Option<Duration>,
    /// What keeps an old value from replacing a newer one.
    pub consistency: Consistency,
    /// Whether a read makes an entry live for its TTL again, and how often at the most.
    pub sliding: Option<Sliding>,
}

impl DataType {
    /// A data type that is kept in the remote layer alone, by the simplest means: entries live
    /// until their TTL ends, absence is not remembered, one load per key and instance. What is
    /// wanted beside this is set field by field.
    pub fn new(
        name: impl Into<Arc<str>>,
        key: KeyPattern,
        strategy: Strategy,
        ttl: Duration,
    ) -> Self {
        Self {
            name: name.into(),
            key,
            related: Vec::new(),
            strategy,
            ttl,
            local_ttl: None,
            invalidation: Invalidation::Time,
            negative_ttl: None,
            ttl_jitter: Ratio(0.0),
            limit: None,
            stampede: Stampede::default(),
            serve_stale: None,
            consistency: Consistency::default(),
            sliding: None,
        }
    }
}

/// Every data type of a system, in the order of the scenario.
#[derive(Clone, Debug, Default)]
pub struct PolicyTable {
    rows: Vec<DataType>,
}

impl PolicyTable {
    /// A table of these rows; a row's place is its [`DataTypeId`].
    pub fn new(rows: Vec<DataType>) -> Self {
        Self { rows }
    }

    /// The row at `id`, which must come from this table.
    pub fn get(&self, id: DataTypeId) -> &DataType {
        &self.rows[id.index()]
    }

    /// The place of the row called `name`.
    pub fn id_of(&self, name: &str) -> Option<DataTypeId> {
        self.iter()
            .find(|(_, row)| &*row.name == name)
            .map(|(id, _)| id)
    }

    /// All rows with their places.
    pub fn iter(&self) -> impl Iterator<Item = (DataTypeId, &DataType)> {
        (0..).map(DataTypeId).zip(&self.rows)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// The placeholder that the engine fills itself with the length of a counter's window.
const WINDOW: &str = "window";

/// A key with named holes: `inventory:{product_id}:{warehouse_id}`.
///
/// `{window}` is filled by the engine with the window of the data type's limit; every other
/// placeholder is a parameter that the caller gives, in the order in which they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    text: Arc<str>,
    /// Literal, hole, literal, hole, …, literal: always one more literal than holes.
    literals: Vec<Box<str>>,
    holes: Vec<Box<str>>,
}

/// A key pattern that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyPatternError {
    /// A `{` without its `}`, or the reverse.
    #[error("{0:?} has a brace without its partner; write a placeholder as {{customer_id}}")]
    Unbalanced(String),
    /// A placeholder with an empty or impossible name.
    #[error("{0:?} is no name for a placeholder; use letters, digits and _")]
    BadName(String),
    /// The same placeholder twice.
    #[error("the placeholder {{{0}}} stands twice")]
    Repeated(String),
    /// Two placeholders with nothing between them, so that a key could be read in two ways.
    #[error("{0:?} has two placeholders side by side; put a ':' between them")]
    Adjacent(String),
}

impl std::str::FromStr for KeyPattern {
    type Err = KeyPatternError;
    fn from_str(text: &str) -> Result<Self, KeyPatternError> {
        let unbalanced = || KeyPatternError::Unbalanced(text.to_owned());
        let mut parts = text.split('{');
        let first = parts.next().unwrap_or_default();
        let (mut literals, mut holes): (Vec<Box<str>>, Vec<Box<str>>) =
            (vec![first.into()], vec![]);
        for part in parts {
            let (name, literal) = part.split_once('}').ok_or_else(unbalanced)?;
            let named =
                !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !named {
                return Err(KeyPatternError::BadName(name.to_owned()));
            }
            if holes.iter().any(|hole| **hole == *name) {
                return Err(KeyPatternError::Repeated(name.to_owned()));
            }
            holes.push(name.into());
            literals.push(literal.into());
        }
        if literals.iter().any(|literal| literal.contains('}')) {
            return Err(unbalanced());
        }
        // A pattern without holes has one literal, and none of it stands between two holes.
        let inner = literals.get(1..literals.len() - 1).unwrap_or_default();
        if inner.iter().any(|literal| literal.is_empty()) {
            return Err(KeyPatternError::Adjacent(text.to_owned()));
        }
        Ok(Self {
            text: text.into(),
            literals,
            holes,
        })
    }
}

impl KeyPattern {
    /// The names of the parameters that a caller gives, in order.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.holes
            .iter()
            .map(|hole| &**hole)
            .filter(|hole| *hole != WINDOW)
    }

    /// The key with `params` in its holes, in the order of [`KeyPattern::params`]. Parameters
    /// that are missing leave their hole empty.
    pub fn render<P: fmt::Display>(&self, params: &[P], window: Option<Duration>) -> Key {
        let mut params = params.iter();
        self.fill(|hole, key| {
            use fmt::Write as _;
            let written = if hole == WINDOW {
                window.map_or(Ok(()), |window| write!(key, "{}", window.as_secs()))
            } else {
                params.next().map_or(Ok(()), |param| write!(key, "{param}"))
            };
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        })
    }

    /// The text before the first placeholder.
    pub fn head(&self) -> &str {
        &self.literals[0]
    }

    /// The pattern, as [`Glob`](super::invalidation::glob::Glob) spells it, of all keys that have
    /// `params` in the first of their holes.
    pub fn glob<P: fmt::Display>(&self, params: &[P]) -> String {
        let mut params = params.iter();
        let mut glob = escape(&self.literals[0]);
        for (hole, literal) in self.holes.iter().zip(&self.literals[1..]) {
            match params.next().filter(|_| **hole != *WINDOW) {
                Some(param) => glob.push_str(&escape(&param.to_string())),
                None => glob.push('*'),
            }
            glob.push_str(&escape(literal));
        }
        glob
    }

    /// The parameters of `key` by name, or `None` if it does not follow this pattern.
    pub fn read<'k>(&self, key: &'k Key) -> Option<Vec<(&str, &'k str)>> {
        let mut rest = key.as_str().strip_prefix(&*self.literals[0])?;
        let mut values = Vec::with_capacity(self.holes.len());
        for (at, hole) in self.holes.iter().enumerate() {
            let literal = &*self.literals[at + 1];
            let last = at + 1 == self.holes.len();
            let end = match (last, literal.is_empty()) {
                (true, true) => rest.len(),
                (true, false) => rest.strip_suffix(literal)?.len(),
                (false, _) => rest.find(literal)?,
            };
            values.push((&**hole, &rest[..end]));
            rest = &rest[end + literal.len()..];
        }
        rest.is_empty().then_some(values)
    }

    /// The key with the named `values` in its holes; a hole without a value stays empty.
    pub fn render_named(&self, values: &[(&str, &str)]) -> Key {
        self.fill(|hole, key| {
            if let Some((_, value)) = values.iter().find(|(name, _)| *name == hole) {
                key.push_str(value);
            }
        })
    }

    fn fill(&self, mut write_hole: impl FnMut(&str, &mut String)) -> Key {
        let mut key = String::with_capacity(self.text.len() + 16);
        key.push_str(&self.literals[0]);
        for (hole, literal) in self.holes.iter().zip(&self.literals[1..]) {
            write_hole(hole, &mut key);
            key.push_str(literal);
        }
        Key::new(key)
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> KeyPattern {
        text.parse().expect(text)
    }

    #[test]
    fn a_pattern_renders_and_reads_back() {
        let inventory = pattern("inventory:{product_id}:{warehouse_id}");
        let key = inventory.render(&[17, 3], None);
        assert_eq!(key.as_str(), "inventory:17:3");
        assert_eq!(
            inventory.read(&key),
            Some(vec![("product_id", "17"), ("warehouse_id", "3")])
        );
        assert_eq!(inventory.read(&Key::new("inventory:17")), None);
        assert_eq!(inventory.read(&Key::new("product:17:3")), None);
    }

    #[test]
    fn related_keys_take_their_parameters_by_name() {
        let key = Key::new("customer:360:17");
        let primary = pattern("customer:360:{customer_id}");
        let values = primary.read(&key).expect("the pattern's own key");
        assert_eq!(
            pattern("customer:basic:{customer_id}")
                .render_named(&values)
                .as_str(),
            "customer:basic:17"
        );
    }

    #[test]
    fn the_window_is_not_a_parameter() {
        let limit = pattern("ratelimit:{api_key}:{endpoint}:{window}");
        assert_eq!(limit.params().collect::<Vec<_>>(), ["api_key", "endpoint"]);
        let key = limit.render(&[4, 2], Some(Duration::from_hours(1)));
        assert_eq!(key.as_str(), "ratelimit:4:2:3600");
    }

    #[test]
    fn a_pattern_may_have_no_parameters() {
        let prices = pattern("prices:all");
        assert_eq!(prices.params().count(), 0);
        let key = prices.render::<u64>(&[], None);
        assert_eq!(key.as_str(), "prices:all");
        assert_eq!(prices.read(&key), Some(vec![]));
        assert_eq!(prices.read(&Key::new("prices:all:2")), None);
    }

    #[test]
    fn a_pattern_becomes_a_pattern_of_keys() {
        let inventory = pattern("inventory:{product_id}:{warehouse_id}");
        assert_eq!(inventory.glob(&[17]), "inventory:17:*");
        assert_eq!(inventory.glob::<u64>(&[]), "inventory:*:*");
        assert_eq!(inventory.glob(&[17, 3]), "inventory:17:3");
        assert_eq!(pattern("what?:{id}").glob(&["*"]), "what\\?:\\*");
        assert_eq!(inventory.head(), "inventory:");
    }

    #[test]
    fn impossible_patterns_say_why() {
        let error = |text: &str| text.parse::<KeyPattern>().expect_err(text);
        assert!(matches!(error("a:{b"), KeyPatternError::Unbalanced(_)));
        assert!(matches!(error("a:b}"), KeyPatternError::Unbalanced(_)));
        assert!(matches!(error("a:{}"), KeyPatternError::BadName(_)));
        assert!(matches!(error("a:{b}:{b}"), KeyPatternError::Repeated(_)));
        assert!(matches!(error("a:{b}{c}"), KeyPatternError::Adjacent(_)));
    }
}
