//! How large a trace's values are: one size for each key, learned in one pass before the trace is
//! replayed.
//!
//! In a run a key's value has one size throughout, whoever writes it, and in a trace it may have
//! several. Taken is the **largest** that the trace says of the key. That does not depend on the order
//! of requests, and errs to one side only: values are never smaller here than they were, so memory is
//! never understated and a hit ratio under a bound of bytes never flattered. How much it errs is told:
//! how many keys change, and the mean that the first size of each key would have had ([`SizeCounts`]).
//! A size of 0 is none, for so formats say that they do not know.
//!
//! Called by the runner, which says how far the trace is replayed. Streams; kept are 13 bytes for each
//! place of a hash table, 15 to 30 for a key, and no more than [`KEYS_MAX`] keys. Pure.

use std::collections::hash_map::Entry;
use std::fmt;

use rustc_hash::FxHashMap;

use super::{TraceError, TraceRecord};
use crate::units::ByteSize;
use crate::workload::size::VALUE_SIZE_MAX;

/// The most keys whose sizes are kept: 440 MB, and half as much again while the table grows for the
/// last time.
pub const KEYS_MAX: usize = 28_000_000;

/// The size, in the low bits of what is kept of a key.
const SIZE: u32 = (1 << 30) - 1;
/// Beside it: the trace says different sizes.
const CHANGED: u32 = 1 << 31;
/// Beside it: the trace says a size above [`VALUE_SIZE_MAX`].
const CUT: u32 = 1 << 30;
/// [`VALUE_SIZE_MAX`], as it is kept.
const LARGEST: u32 = VALUE_SIZE_MAX.0 as u32;

/// A key's number in four-byte units, so that it and its size take 12 bytes and not 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(Rust, packed(4))]
struct Packed(u64);

/// What was learned of the sizes of a trace's values, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeCounts {
    /// Keys, in the part that was read.
    pub keys: u64,
    /// Those of which it says a size.
    pub sized: u64,
    /// Those of which it says different sizes; they have their largest.
    pub changing: u64,
    /// Those of which it says a size that no value has here; they have [`VALUE_SIZE_MAX`].
    pub cut: u64,
    /// The sum of the sizes that keys have.
    pub bytes: u64,
    /// The sum of the sizes that the trace says first.
    pub bytes_first: u64,
}

impl SizeCounts {
    /// Keys of which the trace says no size.
    pub fn unsized_keys(&self) -> u64 {
        self.keys - self.sized
    }

    /// The mean of the sizes that keys have, in bytes; 0 without any.
    pub fn mean(&self) -> f64 {
        self.bytes as f64 / self.sized.max(1) as f64
    }

    /// The mean of the sizes that the trace says first of each key.
    pub fn mean_first(&self) -> f64 {
        self.bytes_first as f64 / self.sized.max(1) as f64
    }

    /// Learns of one `size` of a key of which `held` is kept; 0 is kept of a key without any.
    fn learn(&mut self, held: &mut u32, size: u32) {
        if size == 0 {
            return;
        }
        if size > LARGEST && *held & CUT == 0 {
            *held |= CUT;
            self.cut += 1;
        }
        let (before, size) = (*held & SIZE, size.min(LARGEST));
        if before == 0 {
            self.sized += 1;
            self.bytes_first += u64::from(size);
        } else if before != size && *held & CHANGED == 0 {
            *held |= CHANGED;
            self.changing += 1;
        }
        if size > before {
            self.bytes += u64::from(size - before);
            *held = *held & !SIZE | size;
        }
    }
}

/// The sizes of a trace's values, by key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TraceSizes {
    by_key: FxHashMap<Packed, u32>,
    counts: SizeCounts,
}

impl fmt::Debug for TraceSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // There may be millions.
        f.debug_struct("TraceSizes")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl TraceSizes {
    /// Learns from the records of the trace called `name` for as long as `goes_on` with them, by their
    /// numbers from 0.
    ///
    /// # Errors
    /// If it cannot be read, has too many keys, or says no value's size.
    pub fn learn(
        name: &str,
        trace: impl IntoIterator<Item = Result<TraceRecord, TraceError>>,
        goes_on: impl FnMut(u64, &TraceRecord) -> bool,
    ) -> Result<Self, TraceError> {
        Self::learn_up_to(KEYS_MAX, name, trace, goes_on)
    }

    fn learn_up_to(
        keys_max: usize,
        name: &str,
        trace: impl IntoIterator<Item = Result<TraceRecord, TraceError>>,
        mut goes_on: impl FnMut(u64, &TraceRecord) -> bool,
    ) -> Result<Self, TraceError> {
        let mut learned = Self::default();
        for (number, record) in (0..).zip(trace) {
            let record = record?;
            if !goes_on(number, &record) {
                break;
            }
            if !learned.take(&record, keys_max) {
                return Err(TraceError::TooManyKeys {
                    trace: name.to_owned(),
                    keys_max,
                });
            }
        }
        let counts = &mut learned.counts;
        counts.keys = learned.by_key.len() as u64;
        if counts.keys > 0 && counts.sized == 0 {
            return Err(TraceError::NoSizes {
                trace: name.to_owned(),
            });
        }
        Ok(learned)
    }

    /// Whether there was room for its key.
    fn take(&mut self, record: &TraceRecord, keys_max: usize) -> bool {
        let full = self.by_key.len() >= keys_max;
        let held = match self.by_key.entry(Packed(record.key)) {
            Entry::Vacant(_) if full => return false,
            entry => entry.or_default(),
        };
        self.counts.learn(held, record.value_size);
        true
    }

    /// The size of the value of the key with this number, if the trace says one.
    pub fn of(&self, key: u64) -> Option<ByteSize> {
        let size = self.by_key.get(&Packed(key))? & SIZE;
        (size > 0).then_some(ByteSize(size.into()))
    }

    /// What was learned, in numbers.
    pub fn counts(&self) -> SizeCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests;
