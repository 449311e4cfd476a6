//! How large values are: one law for each data type, and from it the size of every key's value.
//!
//! A key's value has one size, whoever writes it and however often: a pure function of the run's
//! seed, the data type and the key. So a row keeps its size, and real and virtual time agree on it.
//! Called by drivers for what they write, by the mock database for rows that nobody has written,
//! and by whoever reckons with memory ([`ValueSize::mean`]). Draws nothing from any stream.
//!
//! Where a trace is replayed with its own sizes, what it says of a key is the law of that key
//! ([`Recorded`]); the runner puts that into the plan before anything is started.

use std::f64::consts::TAU;
use std::sync::Arc;

use crate::engine::data_type::{DataTypeId, Key, KeyPattern};
use crate::seed::{Seed, fnv1a};
use crate::units::ByteSize;
use crate::workload::trace::sizes::TraceSizes;

/// The 99th percentile of the standard normal distribution.
const Z_P99: f64 = 2.326_347_874_040_841;
/// The largest value; a log-normal draw far out in the tail is cut here.
pub const VALUE_SIZE_MAX: ByteSize = ByteSize(64 << 20);
/// Shares are counted in these, so that a table is exact and can be compared.
pub const SHARE_WHOLE: u32 = 100_000_000;

/// How large the values of a data type are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueSize {
    /// All alike.
    Constant(ByteSize),
    /// Each size from the first to the second as often as any other.
    Uniform(ByteSize, ByteSize),
    /// Log-normal with this median and 99th percentile: many small ones, few large ones.
    LogNormal {
        /// Half of the values are smaller.
        median: ByteSize,
        /// One of a hundred is larger.
        p99: ByteSize,
    },
    /// By its quantiles, with straight lines between them.
    Quantiles(Quantiles),
    /// As a trace says, key by key.
    Recorded(Recorded),
}

/// A distribution by its quantiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantiles(Arc<[(u32, ByteSize)]>);

impl Quantiles {
    /// Shares, of [`SHARE_WHOLE`], and the size that this share of all values does not exceed.
    /// `None` if there are none, if shares or sizes do not ascend, or if the last is not the whole.
    pub fn new(points: Vec<(u32, ByteSize)>) -> Option<Self> {
        let ascending = |pair: &[(u32, ByteSize)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
        let whole = points.last()?.0 == SHARE_WHOLE;
        (whole && points.windows(2).all(ascending)).then(|| Self(points.into()))
    }

    /// The shares and sizes, ascending.
    pub fn points(&self) -> &[(u32, ByteSize)] {
        &self.0
    }

    /// The size that the `share` of all does not exceed.
    fn at(&self, share: f64) -> f64 {
        let above = self.0.partition_point(|(at, _)| f64::from(*at) < share);
        let (to, high) = self.0[above.min(self.0.len() - 1)];
        let Some(&(from, low)) = above.checked_sub(1).and_then(|at| self.0.get(at)) else {
            return high.0 as f64;
        };
        let part = (share - f64::from(from)) / f64::from(to - from);
        low.0 as f64 + (high.0 - low.0) as f64 * part.min(1.0)
    }

    fn mean(&self) -> f64 {
        let (first, smallest) = self.0[0];
        let below = f64::from(first) * smallest.0 as f64;
        let parts = self.0.windows(2).map(|pair| {
            let ((from, low), (to, high)) = (pair[0], pair[1]);
            f64::from(to - from) * (low.0 + high.0) as f64 / 2.0
        });
        (below + parts.sum::<f64>()) / f64::from(SHARE_WHOLE)
    }
}

/// The sizes that a trace says of the values of a data type whose keys have one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    sizes: Arc<TraceSizes>,
    /// What stands before and behind the number in a key.
    around: (Box<str>, Box<str>),
    /// For keys of which the trace says nothing.
    others: Box<ValueSize>,
}

impl Recorded {
    /// `sizes` for keys that follow `pattern`, which has one parameter, and `others` for those of which
    /// the trace says nothing.
    pub fn new(sizes: Arc<TraceSizes>, pattern: &KeyPattern, others: ValueSize) -> Self {
        let without = pattern.render::<u64>(&[], None);
        let (head, tail) = without.as_str().split_at(pattern.head().len());
        Self {
            sizes,
            around: (head.into(), tail.into()),
            others: Box::new(others),
        }
    }

    /// What the trace says.
    pub fn sizes(&self) -> &TraceSizes {
        &self.sizes
    }

    /// The law of keys of which the trace says nothing.
    pub fn others(&self) -> &ValueSize {
        &self.others
    }

    /// What the trace says of `key`.
    fn of(&self, key: &Key) -> Option<ByteSize> {
        let (head, tail) = &self.around;
        let number = key.as_str().strip_prefix(&**head)?.strip_suffix(&**tail)?;
        self.sizes.of(decimal(number)?)
    }

    /// Over all keys of the trace.
    fn mean(&self) -> f64 {
        let counts = self.sizes.counts();
        let others = counts.unsized_keys() as f64 * self.others.mean().0 as f64;
        match counts.keys {
            0 => self.others.mean().0 as f64,
            keys => (counts.bytes as f64 + others) / keys as f64,
        }
    }
}

/// The number that `text` is, written as keys write them: without sign or leading zero.
fn decimal(text: &str) -> Option<u64> {
    let plain = text == "0" || text.starts_with(|first| matches!(first, '1'..='9'));
    plain.then(|| text.parse().ok()).flatten()
}

impl ValueSize {
    /// The size that belongs to `draw`, a number with all its bits random. The same draw gives the
    /// same size.
    #[allow(
        clippy::cast_sign_loss,
        reason = "sizes are not negative, and the cast saturates"
    )]
    pub fn of(&self, draw: u64) -> ByteSize {
        match self {
            Self::Constant(size) => *size,
            Self::Uniform(min, max) => {
                let sizes = u128::from(max.0.saturating_sub(min.0)) + 1;
                ByteSize(min.0 + ((u128::from(draw) * sizes) >> 64) as u64)
            }
            Self::LogNormal { median, p99 } => {
                let size = (log_normal(*median, *p99, draw).round() as u64).max(1);
                ByteSize(size.min(VALUE_SIZE_MAX.0))
            }
            Self::Quantiles(quantiles) => {
                let share = (draw as f64 / (u64::MAX as f64)) * f64::from(SHARE_WHOLE);
                ByteSize(quantiles.at(share).round() as u64)
            }
            // Drawn for keys of which the trace says nothing.
            Self::Recorded(recorded) => recorded.others.of(draw),
        }
    }

    /// The mean.
    #[allow(
        clippy::cast_sign_loss,
        reason = "sizes are not negative, and the cast saturates"
    )]
    pub fn mean(&self) -> ByteSize {
        let mean = match self {
            Self::Constant(size) => return *size,
            Self::Uniform(min, max) => (min.0 + max.0) as f64 / 2.0,
            Self::LogNormal { median, p99 } => {
                let sigma = sigma(*median, *p99);
                median.0 as f64 * (sigma * sigma / 2.0).exp()
            }
            Self::Quantiles(quantiles) => quantiles.mean(),
            Self::Recorded(recorded) => recorded.mean(),
        };
        ByteSize((mean.round() as u64).min(VALUE_SIZE_MAX.0))
    }
}

/// The standard deviation of the logarithm.
fn sigma(median: ByteSize, p99: ByteSize) -> f64 {
    (p99.0 as f64 / median.0.max(1) as f64).ln().max(0.0) / Z_P99
}

/// By Box and Muller ("A note on the generation of random normal deviates", 1958), from the two
/// halves of one number.
fn log_normal(median: ByteSize, p99: ByteSize, draw: u64) -> f64 {
    const HALF: f64 = 4_294_967_296.0;
    // From above 0 up to 1, so that its logarithm is finite.
    let radius = ((draw >> 32) as f64 + 1.0) / HALF;
    let angle = (draw & 0xffff_ffff) as f64 / HALF;
    let normal = (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos();
    median.0 as f64 * (sigma(median, p99) * normal).exp()
}

/// The sizes of all values of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueSizes {
    seed: Seed,
    laws: Arc<[ValueSize]>,
}

impl ValueSizes {
    /// The sizes by these laws, in the order of the policy table, in a run of this `seed`.
    pub fn new(seed: Seed, laws: impl IntoIterator<Item = ValueSize>) -> Self {
        Self {
            seed: seed.fork("value-size"),
            laws: laws.into_iter().collect(),
        }
    }

    /// All values of a data type alike, in the order of the policy table.
    pub fn constant(sizes: &[ByteSize]) -> Self {
        Self::new(Seed(0), sizes.iter().copied().map(ValueSize::Constant))
    }

    /// The size of the value of `key`; nothing for a data type without a law.
    pub fn of(&self, data_type: DataTypeId, key: &Key) -> ByteSize {
        let law = match self.laws.get(data_type.index()) {
            None => return ByteSize::default(),
            Some(ValueSize::Constant(size)) => return *size,
            Some(law) => law,
        };
        if let ValueSize::Recorded(recorded) = law
            && let Some(size) = recorded.of(key)
        {
            return size;
        }
        let own = self.seed.fork_index(data_type.0.into());
        let Seed(draw) = own.fork_index(fnv1a(key.as_str().as_bytes()));
        law.of(draw)
    }

    /// How many data types have a law.
    pub fn count(&self) -> usize {
        self.laws.len()
    }

    /// The size where all values of a data type are alike, for which no key needs to be spelled.
    pub fn constant_of(&self, data_type: DataTypeId) -> Option<ByteSize> {
        match self.laws.get(data_type.index()) {
            None => Some(ByteSize::default()),
            Some(ValueSize::Constant(size)) => Some(*size),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
