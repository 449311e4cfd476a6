//! How stale reads were (FACTS, invariant 1).
//!
//! The oracle is told of every commit by the database and of every read by the recorder. A read
//! is stale if a newer version was committed before the read was sent; it is stale by the time
//! from that commit to the sending. What a user could see is measured here, nothing is guessed
//! from TTLs.
//!
//! Staleness by itself is no fault: caches trade it for speed, and a gate may say how much is
//! too much. A violation is a read staler than its data type's TTLs can explain: such an entry
//! was served after its life.
//!
//! A key that was not written for so long that no layer can hold what was before is forgotten
//! (see `history.rs`); what is read of it is taken for its newest version.
//!
//! If the commits of a key are forgotten in part, staleness is counted from the oldest that is
//! known: too low, and counted as such. Reads of which nothing can be said are not checked, and
//! counted as such.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::Finding;
use super::history::{Histories, History, Replacement};
use super::monotonic::Monotonic;
use crate::clock::Timestamp;
use crate::engine::data_type::{DataTypeId, Key, PolicyTable, Strategy};
use crate::engine::layer::Version;
use crate::environment::CommitListener;
use crate::measure::histogram::Histogram;
use crate::measure::query::Phases;
use crate::measure::{PhaseId, Schedule, Staleness};
use crate::units::{short, thousands};

/// How much longer than any layer should hold it a key is remembered: an entry that is served after
/// its life is found out if it is read within this time.
const REMEMBER_FOR: Duration = Duration::from_hours(1);

/// Reads of one data type in one phase.
type Place = (PhaseId, DataTypeId);

/// How many reads were looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Looked {
    checked: u64,
    /// The commits of their keys had to be forgotten.
    unchecked: u64,
}

/// What the commits of a key tell about a read.
struct Seen {
    newest: Option<Version>,
    /// The commit before the read that made it stale.
    replaced_by: Option<Replacement>,
}

/// The stale reads of one place.
#[derive(Debug, Default)]
struct Stale {
    by: Histogram,
    /// Those whose staleness is a lower bound.
    lower_bounds: u64,
    /// Those staler than TTLs can explain.
    beyond_bound: u64,
    worst: Option<Worst>,
}

/// A stale read.
#[derive(Clone, Debug)]
struct Worst {
    key: Key,
    read: Version,
    newest: Version,
    by: Duration,
    replaced_by: Replacement,
    bound: Duration,
}

/// Watches how stale reads are, and that versions grow ([`super::monotonic`]).
#[derive(Debug)]
pub struct StalenessOracle {
    policies: Arc<PolicyTable>,
    histories: Histories<FxHashMap<Place, Looked>>,
    stale: Mutex<BTreeMap<Place, Stale>>,
    monotonic: Monotonic,
}

impl StalenessOracle {
    /// An oracle for the data types of `policies`.
    pub fn new(policies: Arc<PolicyTable>) -> Self {
        Self {
            policies,
            histories: Histories::new(),
            stale: Mutex::default(),
            monotonic: Monotonic::default(),
        }
    }

    #[cfg(test)]
    fn with_keys_max(policies: Arc<PolicyTable>, keys_max: usize) -> Self {
        Self {
            histories: Histories::with_keys_max(keys_max),
            ..Self::new(policies)
        }
    }

    /// A read of `key`, sent at `read_start`, gave `version`.
    pub fn read(
        &self,
        data_type: DataTypeId,
        key: &Key,
        version: Version,
        read_start: Timestamp,
        phase: PhaseId,
    ) {
        let place = (phase, data_type);
        let Seen {
            newest,
            replaced_by,
        } = self.look(place, key, version, read_start);
        let Some(newest) = newest else { return };
        if version > newest && !self.is_queued(data_type) {
            self.monotonic.read_from_nowhere(key, version, newest);
        }
        if let Some(replaced_by) = replaced_by {
            let worst = Worst {
                key: key.clone(),
                read: version,
                newest,
                by: read_start.since(replaced_by.at),
                replaced_by,
                bound: self.bound(data_type),
            };
            self.stale.lock().entry(place).or_default().count(worst);
        }
    }

    /// What the commits tell about a read; counts whether they tell enough.
    fn look(&self, place: Place, key: &Key, version: Version, read_start: Timestamp) -> Seen {
        let mut shard = self.histories.shard(key);
        let history = shard.history(key);
        let left_out = history.is_err();
        let known = history.ok().flatten();
        let newer = known.and_then(|known| known.replacement(version));
        let newest = known.and_then(History::newest);
        if newer.is_some() {
            // An old version is about, and a read may make it live longer (sliding expiry).
            shard.keep(key, read_start + self.keep_for(place.1));
        }
        let replaced_by = newer.filter(|newer| newer.at < read_start);
        // The forgotten commit that came first may have been before the read or after it.
        let unclear = replaced_by.is_none() && newer.is_some_and(|newer| newer.perhaps_earlier);
        let unchecked = left_out || unclear;
        let looked = shard.beside.entry(place).or_default();
        looked.checked += u64::from(!unchecked);
        looked.unchecked += u64::from(unchecked);
        Seen {
            newest,
            replaced_by,
        }
    }

    fn is_queued(&self, data_type: DataTypeId) -> bool {
        self.policies.get(data_type).strategy == Strategy::WriteBehind
    }

    /// As stale as an entry may be that is dropped when its time ends: it was read from the
    /// origin just before the commit, the local layer took it from the remote one at the end of
    /// its time there, and kept it for its own.
    fn bound(&self, data_type: DataTypeId) -> Duration {
        let policy = self.policies.get(data_type);
        policy.ttl + policy.local_ttl.unwrap_or_default()
    }

    /// How long a commit matters: as long as any layer may hold an entry that was read from the
    /// origin before it, and some time more.
    fn keep_for(&self, data_type: DataTypeId) -> Duration {
        let stale = self.policies.get(data_type).serve_stale;
        self.bound(data_type) + stale.unwrap_or_default() + REMEMBER_FOR
    }

    /// How stale the stale reads of `data_type` (`None`: of all) were in `phases`.
    pub fn staleness(
        &self,
        data_type: Option<DataTypeId>,
        phases: Phases,
        schedule: &Schedule,
    ) -> Histogram {
        let chosen = |place: Place| chosen(place, data_type, phases, schedule);
        let stale = self.stale.lock();
        stale
            .iter()
            .filter(|(place, _)| chosen(**place))
            .map(|(_, stale)| &stale.by)
            .collect()
    }

    /// The same in milliseconds, with how many reads could be checked.
    pub fn staleness_ms(
        &self,
        data_type: Option<DataTypeId>,
        phases: Phases,
        schedule: &Schedule,
    ) -> Staleness {
        let by = self.staleness(data_type, phases, schedule);
        let summary = by.summary_us();
        let chosen = |place: Place| chosen(place, data_type, phases, schedule);
        Staleness {
            checked: self.looked(chosen).checked,
            stale: by.count(),
            p50: summary.p50 / 1e3,
            p99: summary.p99 / 1e3,
            max: summary.max / 1e3,
        }
    }

    fn looked(&self, chosen: impl Fn(Place) -> bool) -> Looked {
        let mut sum = Looked::default();
        for shard in self.histories.each() {
            for (_, looked) in shard.beside.iter().filter(|(place, _)| chosen(**place)) {
                sum.checked += looked.checked;
                sum.unchecked += looked.unchecked;
            }
        }
        sum
    }

    /// Reads in `phases` that were staler than TTLs can explain. `worst` tells of the stalest
    /// read also if it was within its bound.
    pub fn finding(&self, phases: Phases, schedule: &Schedule) -> Finding {
        let chosen = |place: Place| chosen(place, None, phases, schedule);
        let Looked { checked, unchecked } = self.looked(chosen);
        let stale = self.stale.lock();
        let stale: Vec<&Stale> = stale
            .iter()
            .filter(|(place, _)| chosen(**place))
            .map(|(_, stale)| stale)
            .collect();
        let mut words = Vec::new();
        let worst = stale.iter().filter_map(|stale| stale.worst.as_ref());
        if let Some(worst) = worst.max_by_key(|worst| worst.rank()) {
            words.push(worst.describe());
        }
        let lower_bounds: u64 = stale.iter().map(|stale| stale.lower_bounds).sum();
        if lower_bounds > 0 {
            let count = thousands(lower_bounds);
            words.push(format!(
                "stale reads counted too low because older commits were forgotten: {count}"
            ));
        }
        if unchecked > 0 {
            let count = thousands(unchecked);
            words.push(format!(
                "reads not checked because not all commits could be remembered: {count}"
            ));
        }
        Finding {
            checked,
            violations: stale.iter().map(|stale| stale.beyond_bound).sum(),
            worst: words.join("; "),
        }
    }

    /// Whether versions grew and no read gave one from nowhere, over the whole run
    /// ([`super::monotonic`]).
    pub fn monotonic(&self) -> Finding {
        let reads = self.looked(|(_, data_type)| !self.is_queued(data_type));
        self.monotonic.finding(reads.checked)
    }
}

impl CommitListener for StalenessOracle {
    fn committed(&self, data_type: DataTypeId, key: &Key, version: Version, at: Timestamp) {
        // A key that is left out is known to be: its reads are counted as unchecked.
        let keep_for = self.keep_for(data_type);
        if let Ok(told) = self.histories.commit(key, (version, at), keep_for) {
            self.monotonic.committed(key, told);
        }
    }
}

fn chosen(
    (phase, of): Place,
    data_type: Option<DataTypeId>,
    phases: Phases,
    schedule: &Schedule,
) -> bool {
    data_type.is_none_or(|wanted| wanted == of) && phases.include(Some(phase), schedule)
}

impl Stale {
    fn count(&mut self, read: Worst) {
        self.by.record(read.by);
        self.lower_bounds += u64::from(read.replaced_by.perhaps_earlier);
        self.beyond_bound += u64::from(read.by > read.bound);
        if self
            .worst
            .as_ref()
            .is_none_or(|worst| read.rank() > worst.rank())
        {
            self.worst = Some(read);
        }
    }
}

impl Worst {
    /// Reads beyond their bound are worse than all others.
    fn rank(&self) -> (bool, Duration) {
        (self.by > self.bound, self.by)
    }

    fn describe(&self) -> String {
        let relation = if self.by > self.bound {
            "beyond"
        } else {
            "within"
        };
        format!(
            "{} was read at version {}, {} after version {} was committed (version {} is the \
             newest), {relation} the {} that its TTLs allow",
            self.key,
            self.read,
            short(self.by),
            self.replaced_by.version,
            self.newest,
            short(self.bound),
        )
    }
}

#[cfg(test)]
mod tests;
