//! What is in a trace: how much, how fast, of what size, and how its keys are asked for.
//!
//! Called by `cachestorm trace stats`. Requests, operations, rates, sizes and TTLs are counted over the
//! whole trace (quantiles to 0.1%). What is told of keys is exact as long as there are at most
//! [`KEYS_MAX`] of them (100 MB). Beyond, keys are sampled by their hash: half of them are dropped for
//! good, and half of those again each time the limit is met, so that every key that is kept was counted
//! from its first request on (spatial sampling: Waldspurger and others, "Efficient MRC Construction with
//! SHARDS", FAST 2015). The statistics say what was sampled. Pure.

mod gaps;

use std::time::Duration;

use hdrhistogram::Histogram;
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use self::gaps::Gaps;
use super::reader::Skipped;
pub use super::zipf_fit::ZipfFit;
use super::{TimeResolution, TraceError, TraceFormat, TraceReader, TraceRecord, zipf_fit};
use crate::engine::layer::Operation;
use crate::seed::mix;

/// The most keys that are counted one by one.
pub const KEYS_MAX: usize = 2_000_000;

/// Rates over time have so many rows at the most.
const ROWS_MAX: usize = 240;
/// For caches of such shares of the keys, in percent, it is told how long their entries would stay.
const RESIDENCE_PERCENT: [u32; 5] = [1, 5, 10, 25, 50];
/// A cache of fewer entries is none.
const RESIDENCE_ENTRIES_MIN: u64 = 10;
/// Below this, Redis' LRU, whose clock ticks once a second, is nearly random.
pub const RESIDENCE_MIN: Duration = Duration::from_secs(20);

/// What is in a trace.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TraceStatistics {
    /// The trace's name.
    pub trace: String,
    /// As what it was read.
    pub format: TraceFormat,
    /// How exact its times are.
    pub time_resolution: TimeResolution,
    /// How many requests.
    pub requests: u64,
    /// What was asked.
    pub operations: Operations,
    /// From the first request to the last.
    pub duration_s: f64,
    /// How fast; not known without times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rates>,
    /// Of the requests that say their value's size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_size_bytes: Option<Quantiles>,
    /// All values asked for or written, those asked for again again.
    pub bytes_total: u64,
    /// Of the requests that say a TTL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<Quantiles>,
    /// How its keys are asked for.
    pub keys: Keys,
    /// How long an entry would stay in a cache that drops what was not asked for the longest.
    pub residence: Vec<Residence>,
    /// What gave no request.
    pub skipped: Skipped,
    #[serde(skip)]
    #[schemars(skip)]
    gaps: Gaps,
}

/// What was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Operations {
    /// Reads.
    pub get: u64,
    /// Writes.
    pub put: u64,
    /// Deletions.
    pub invalidate: u64,
}

/// How fast.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Rates {
    /// All requests over the whole time.
    pub mean_per_s: f64,
    /// The requests of the second that had most.
    pub peak_second_requests: u64,
    /// Which second that was, since the first request.
    pub peak_second_at_s: u64,
    /// How wide a row of `requests_by_row` is.
    pub row_s: u64,
    /// Requests over time.
    pub requests_by_row: Vec<u64>,
}

/// How values are spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Quantiles {
    /// How many there were.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The middle.
    pub p50: f64,
    /// Nine of ten are not above it.
    pub p90: f64,
    /// 99 of 100 are not above it.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// How keys are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Keys {
    /// How many different ones; an estimate if `sampled_one_of` is above 1.
    pub distinct: u64,
    /// One of so many keys was counted; 1 for all of them.
    pub sampled_one_of: u64,
    /// The largest known size of each, together; an estimate if keys were sampled.
    pub bytes_distinct: u64,
    /// The share of the keys that were asked for once.
    pub one_hit_share: f64,
    /// The share of the requests that the most popular key took; not known of a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_popular_share: Option<f64>,
    /// The Zipf popularity that fits; none for too few keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zipf: Option<ZipfFit>,
}

/// How long an entry would stay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Residence {
    /// A cache for this share of the keys,
    pub share_of_keys: f64,
    /// that is, for so many entries,
    pub entries: u64,
    /// keeps an entry so long after it was last asked for, at the trace's own pace; nothing if it never
    /// fills.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residence_s: Option<f64>,
}

/// One key.
#[derive(Clone, Copy, Debug)]
struct Seen {
    requests: u32,
    size: u32,
    latest_ns: u64,
}

/// Counts the records of a trace, one after the other.
#[derive(Debug)]
pub struct Collector {
    keys_max: usize,
    /// A key is counted if its mixed number is not above it.
    threshold: u64,
    halvings: u32,
    keys: FxHashMap<u64, Seen>,
    gaps: Gaps,
    requests: u64,
    operations: Operations,
    bytes_total: u64,
    sizes: Histogram<u64>,
    ttls_ms: Histogram<u64>,
    rows: Rows,
    end_ns: u64,
}

impl Collector {
    /// Counts at most `keys_max` keys one by one.
    pub fn new(keys_max: usize) -> Self {
        Self {
            keys_max: keys_max.max(1),
            threshold: u64::MAX,
            halvings: 0,
            keys: FxHashMap::default(),
            gaps: Gaps::default(),
            requests: 0,
            operations: Operations::default(),
            bytes_total: 0,
            sizes: growing(),
            ttls_ms: growing(),
            rows: Rows::default(),
            end_ns: 0,
        }
    }

    /// Counts a record; they come in the order of their times.
    pub fn add(&mut self, record: &TraceRecord) {
        let at_ns = u64::try_from(record.at.as_nanos()).unwrap_or(u64::MAX);
        self.end_ns = self.end_ns.max(at_ns);
        self.requests += 1;
        match record.operation {
            Operation::Put => self.operations.put += 1,
            Operation::Invalidate => self.operations.invalidate += 1,
            _ => self.operations.get += 1,
        }
        if record.value_size > 0 {
            self.bytes_total += u64::from(record.value_size);
            count(&mut self.sizes, u64::from(record.value_size));
        }
        if let Some(ttl) = record.ttl {
            count(&mut self.ttls_ms, ttl.as_millis() as u64);
        }
        self.rows.add(record.at.as_secs());
        self.add_key(record, at_ns);
    }

    fn add_key(&mut self, record: &TraceRecord, at_ns: u64) {
        // Mixed once more: who sampled the trace itself did so by the same numbers.
        if mix(record.key) > self.threshold {
            return;
        }
        let mut again = true;
        let seen = self.keys.entry(record.key).or_insert_with(|| {
            again = false;
            Seen {
                requests: 0,
                size: 0,
                latest_ns: at_ns,
            }
        });
        seen.requests = seen.requests.saturating_add(1);
        seen.size = seen.size.max(record.value_size);
        if again {
            self.gaps.add(at_ns.saturating_sub(seen.latest_ns));
            seen.latest_ns = at_ns;
        }
        while self.keys.len() > self.keys_max {
            self.threshold /= 2;
            self.halvings += 1;
            let threshold = self.threshold;
            self.keys.retain(|key, _| mix(*key) <= threshold);
            self.gaps.halve();
        }
    }

    /// What was counted, of the trace that `reader` read.
    pub fn finish(mut self, reader: &TraceReader) -> TraceStatistics {
        let resolution = reader.resolution();
        let duration_s = self.end_ns as f64 / 1e9;
        let timed = resolution != TimeResolution::Absent && duration_s > 0.0;
        for seen in self.keys.values() {
            self.gaps.add(self.end_ns - seen.latest_ns);
        }
        self.gaps.close(self.end_ns, 1 << self.halvings);
        let keys = self.keys();
        let shares = RESIDENCE_PERCENT.into_iter().filter(|_| timed);
        let residence = shares.map(|percent| {
            let entries = keys.distinct * u64::from(percent) / 100;
            let residence = self.gaps.residence(entries);
            Residence {
                share_of_keys: f64::from(percent) / 100.0,
                entries,
                residence_s: residence.map(|time| time.as_secs_f64()),
            }
        });
        let residence = residence.filter(|residence| residence.entries >= RESIDENCE_ENTRIES_MIN);
        TraceStatistics {
            trace: reader.name().to_owned(),
            format: reader.format(),
            time_resolution: resolution,
            requests: self.requests,
            operations: self.operations,
            duration_s,
            residence: residence.collect(),
            rate: timed.then(|| self.rows.rates(self.requests as f64 / duration_s)),
            value_size_bytes: quantiles(&self.sizes, 1.0),
            bytes_total: self.bytes_total,
            ttl_s: quantiles(&self.ttls_ms, 1e3),
            keys,
            skipped: reader.skipped().clone(),
            gaps: self.gaps,
        }
    }

    fn keys(&self) -> Keys {
        let mut counts: Vec<u32> = self.keys.values().map(|seen| seen.requests).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let once = counts.iter().rev().take_while(|count| **count == 1).count();
        let most = counts.first().filter(|_| self.halvings == 0);
        let bytes: u64 = self.keys.values().map(|seen| u64::from(seen.size)).sum();
        Keys {
            distinct: (counts.len() as u64) << self.halvings,
            sampled_one_of: 1 << self.halvings,
            bytes_distinct: bytes << self.halvings,
            one_hit_share: once as f64 / counts.len().max(1) as f64,
            most_popular_share: most.map(|most| f64::from(*most) / self.requests as f64),
            zipf: zipf_fit::fit(&counts),
        }
    }
}

impl TraceStatistics {
    /// Reads a trace to its end and counts it.
    ///
    /// # Errors
    /// The first of the trace.
    pub fn of(reader: &mut TraceReader) -> Result<Self, TraceError> {
        let mut collector = Collector::new(KEYS_MAX);
        for record in reader.by_ref() {
            collector.add(&record?);
        }
        if collector.requests == 0 {
            let trace = reader.name().to_owned();
            return Err(TraceError::NoRequests { trace });
        }
        Ok(collector.finish(reader))
    }

    /// How long an LRU cache of so many entries keeps an entry after it was last asked for, at the
    /// trace's own pace: the time within which, on average, so many different keys are asked for
    /// (Denning, "The working set model for program behavior", CACM 11(5), 1968). `None` if it never
    /// fills.
    pub fn residence(&self, entries: u64) -> Option<Duration> {
        self.gaps.residence(entries)
    }
}

/// Requests by second and by row.
#[derive(Debug, Default)]
struct Rows {
    second: u64,
    in_second: u64,
    peak: (u64, u64),
    row_s: u64,
    counts: Vec<u64>,
}

impl Rows {
    fn add(&mut self, second: u64) {
        if second != self.second {
            (self.second, self.in_second) = (second, 0);
        }
        self.in_second += 1;
        if self.in_second > self.peak.0 {
            self.peak = (self.in_second, second);
        }
        self.row_s = self.row_s.max(1);
        while second / self.row_s >= ROWS_MAX as u64 {
            self.row_s *= 2;
            let pairs = self.counts.chunks(2).map(|pair| pair.iter().sum());
            self.counts = pairs.collect();
        }
        let row = (second / self.row_s) as usize;
        if self.counts.len() <= row {
            self.counts.resize(row + 1, 0);
        }
        self.counts[row] += 1;
    }

    fn rates(&self, mean_per_s: f64) -> Rates {
        Rates {
            mean_per_s,
            peak_second_requests: self.peak.0,
            peak_second_at_s: self.peak.1,
            row_s: self.row_s,
            requests_by_row: self.counts.clone(),
        }
    }
}

#[allow(
    clippy::expect_used,
    reason = "the one error is a number of digits above five"
)]
fn growing() -> Histogram<u64> {
    Histogram::new(3).expect("between zero and five digits")
}

fn count(histogram: &mut Histogram<u64>, value: u64) {
    // A histogram that grows holds half of all 64-bit values, in one direction of the sign.
    let recorded = histogram.record(value.min(u64::MAX / 2));
    debug_assert!(recorded.is_ok(), "it grows");
}

/// In units of `one`.
fn quantiles(histogram: &Histogram<u64>, one: f64) -> Option<Quantiles> {
    let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / one;
    (!histogram.is_empty()).then(|| Quantiles {
        count: histogram.len(),
        mean: histogram.mean() / one,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        max: histogram.max() as f64 / one,
    })
}

#[cfg(test)]
mod tests;
