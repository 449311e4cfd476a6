//! A stream with one consumer group, as far as the queue of write-behind needs it: what `XADD`,
//! `XREADGROUP`, `XPENDING`, `XCLAIM`, `XACK` and `XDEL` do to it.
//!
//! A value of the modelled server's keyspace; the remote layer's scripts are written on it. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::collections::{stream_bytes, stream_entry_bytes};
use crate::clock::Timestamp;
use crate::engine::queue::QueuedWrite;

/// An entry's id: a moment in milliseconds, and a number in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) ms: u64,
    pub(super) nth: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.nth)
    }
}

/// A text that is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;
    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (ms, nth) = text.split_once('-').ok_or(NoPlace)?;
        let number = |text: &str| text.parse().map_err(|_| NoPlace);
        Ok(Self {
            ms: number(ms)?,
            nth: number(nth)?,
        })
    }
}

/// To whom an entry was given, when that one was heard of last, and how often it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    consumer: Arc<str>,
    heard_at: Timestamp,
    deliveries: u32,
}

/// What was taken back, and how many were pending whose entries are gone.
pub(super) type Claimed = (Vec<(Place, QueuedWrite, u32)>, u64);

#[derive(Clone, Debug, Default)]
struct Group {
    /// The last entry that was given to anybody.
    given: Place,
    pending: BTreeMap<Place, Pending>,
}

/// The stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    entries: BTreeMap<Place, QueuedWrite>,
    entries_bytes: u64,
    /// The last id given; ids only grow.
    last: Place,
    group: Option<Group>,
}

/// Some of a stream as it stood.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    each: Vec<(Place, Option<QueuedWrite>, Option<Pending>)>,
    last: Place,
    /// What was given last; `None` without a group.
    given: Option<Place>,
}

impl Stream {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn held_bytes(&self) -> u64 {
        let pending = self.group.as_ref().map_or(0, |group| group.pending.len());
        stream_bytes(self.entries_bytes, pending)
    }

    pub(super) fn has_group(&self) -> bool {
        self.group.is_some()
    }

    /// `XGROUP CREATE … 0`: from the first entry on.
    pub(super) fn make_group(&mut self) {
        self.group.get_or_insert_default();
    }

    /// The id that `XADD *` would give at `now`.
    pub(super) fn next_place(&self, now: Timestamp) -> Place {
        let ms = now.as_unix_nanos() / 1_000_000;
        if ms > self.last.ms {
            return Place { ms, nth: 0 };
        }
        Place {
            ms: self.last.ms,
            nth: self.last.nth + 1,
        }
    }

    /// `XADD` with an id that is above all before it.
    pub(super) fn add(&mut self, place: Place, write: QueuedWrite) {
        self.entries_bytes += bytes_of(&write);
        self.last = place;
        self.entries.insert(place, write);
    }

    /// `XADD` and `XDEL`: gives an id away.
    pub(super) fn skip(&mut self, place: Place) {
        self.last = place;
    }

    pub(super) fn first(&self) -> Option<Place> {
        self.entries.first_key_value().map(|(place, _)| *place)
    }

    pub(super) fn at(&self, place: Place) -> Option<&QueuedWrite> {
        self.entries.get(&place)
    }

    /// The ids that nobody was given yet, at most `max`.
    pub(super) fn fresh(&self, max: usize) -> Vec<Place> {
        let Some(group) = &self.group else {
            return Vec::new();
        };
        let after = (
            std::ops::Bound::Excluded(group.given),
            std::ops::Bound::Unbounded,
        );
        let fresh = self.entries.range(after).take(max);
        fresh.map(|(place, _)| *place).collect()
    }

    /// `XREADGROUP … >` of `places`, which are [fresh](Stream::fresh).
    pub(super) fn give(
        &mut self,
        places: &[Place],
        consumer: &Arc<str>,
        now: Timestamp,
    ) -> Vec<(Place, QueuedWrite)> {
        let Some(group) = &mut self.group else {
            return Vec::new();
        };
        let mut given = Vec::with_capacity(places.len());
        for place in places {
            let Some(write) = self.entries.get(place) else {
                continue;
            };
            let pending = Pending {
                consumer: Arc::clone(consumer),
                heard_at: now,
                deliveries: 1,
            };
            group.pending.insert(*place, pending);
            group.given = group.given.max(*place);
            given.push((*place, write.clone()));
        }
        given
    }

    /// What `take_back.lua` chooses: pending for this consumer, or for anybody who has not been heard
    /// of for so long; one that was delivered `alone_from` times or more comes alone.
    pub(super) fn to_take_back(
        &self,
        (consumer, idle): (&str, Option<Duration>),
        (max, alone_from): (usize, u32),
        now: Timestamp,
    ) -> Vec<Place> {
        let Some(group) = &self.group else {
            return Vec::new();
        };
        let is_due = |pending: &Pending| match idle {
            None => &*pending.consumer == consumer,
            Some(idle) => now.since(pending.heard_at) >= idle,
        };
        let due = group.pending.iter().filter(|(_, one)| is_due(one));
        let mut places = Vec::new();
        for (place, one) in due.take(max) {
            let alone = one.deliveries >= alone_from;
            if alone && !places.is_empty() {
                break;
            }
            places.push(*place);
            if alone {
                break;
            }
        }
        places
    }

    /// `XCLAIM`: they are this consumer's from now on, and delivered once more. What is not in the
    /// stream any more is not pending any more either.
    pub(super) fn claim(
        &mut self,
        places: &[Place],
        consumer: &Arc<str>,
        now: Timestamp,
    ) -> Claimed {
        let (mut given, mut vanished) = (Vec::new(), 0);
        let Some(group) = &mut self.group else {
            return (given, vanished);
        };
        for place in places {
            let Some(pending) = group.pending.get_mut(place) else {
                continue;
            };
            let Some(write) = self.entries.get(place) else {
                group.pending.remove(place);
                vanished += 1;
                continue;
            };
            pending.consumer = Arc::clone(consumer);
            pending.heard_at = now;
            pending.deliveries += 1;
            given.push((*place, write.clone(), pending.deliveries));
        }
        (given, vanished)
    }

    /// `XCLAIM … JUSTID`: the same, without counting a delivery.
    pub(super) fn keep(&mut self, places: &[Place], consumer: &Arc<str>, now: Timestamp) {
        let Some(group) = &mut self.group else { return };
        for place in places {
            if !self.entries.contains_key(place) {
                group.pending.remove(place);
            } else if let Some(pending) = group.pending.get_mut(place) {
                pending.consumer = Arc::clone(consumer);
                pending.heard_at = now;
            }
        }
    }

    /// `XACK` and `XDEL`.
    pub(super) fn take_out(&mut self, places: &[Place]) {
        for place in places {
            if let Some(group) = &mut self.group {
                group.pending.remove(place);
            }
            if let Some(write) = self.entries.remove(place) {
                self.entries_bytes -= bytes_of(&write);
            }
        }
    }

    /// These entries, and what is known of the whole.
    pub(super) fn rows(&self, places: &[Place]) -> Rows {
        let pending = |place: &Place| self.group.as_ref()?.pending.get(place).cloned();
        let row = |place: &Place| (*place, self.at(*place).cloned(), pending(place));
        Rows {
            each: places.iter().map(row).collect(),
            last: self.last,
            given: self.group.as_ref().map(|group| group.given),
        }
    }

    /// Puts them back.
    pub(super) fn restore(&mut self, rows: Rows) {
        self.last = rows.last;
        match rows.given {
            None => self.group = None,
            Some(given) => self.group.get_or_insert_default().given = given,
        }
        for (place, write, pending) in rows.each {
            if let Some(gone) = self.entries.remove(&place) {
                self.entries_bytes -= bytes_of(&gone);
            }
            if let Some(write) = write {
                self.entries_bytes += bytes_of(&write);
                self.entries.insert(place, write);
            }
            if let Some(group) = &mut self.group {
                group.pending.remove(&place);
                group
                    .pending
                    .extend(pending.map(|pending| (place, pending)));
            }
        }
    }
}

fn bytes_of(write: &QueuedWrite) -> u64 {
    stream_entry_bytes(write.key.as_str().len() + write.value.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::data_type::{DataTypeId, Key};
    use crate::engine::layer::Version;
    use bytes::Bytes;

    const NOW: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);

    fn write() -> QueuedWrite {
        QueuedWrite {
            data_type: DataTypeId(0),
            key: Key::new("activity:1:1"),
            value: Bytes::from("click"),
            version: Version(1),
            accepted_at: NOW,
        }
    }

    #[test]
    fn places_only_grow_also_when_time_goes_back() {
        let mut stream = Stream::default();
        let first = stream.next_place(NOW);
        assert_eq!(first.to_string(), "1800000000000-0");
        stream.add(first, write());
        assert_eq!(stream.next_place(NOW).to_string(), "1800000000000-1");
        let earlier = NOW - Duration::from_secs(5);
        assert_eq!(stream.next_place(earlier).to_string(), "1800000000000-1");
        stream.skip(Place {
            ms: 1_900_000_000_000,
            nth: 7,
        });
        assert_eq!(stream.next_place(NOW).to_string(), "1900000000000-8");
        assert_eq!(stream.len(), 1, "a place that is given away holds nothing");
        assert_eq!("1800000000000-0".parse(), Ok(first));
        for foreign in ["", "7", "a-0", "1-x"] {
            assert_eq!(foreign.parse::<Place>(), Err(NoPlace), "{foreign}");
        }
    }

    #[test]
    fn what_was_deleted_is_told_as_vanished_once() {
        let mut stream = Stream::default();
        stream.make_group();
        let place = stream.next_place(NOW);
        stream.add(place, write());
        let (mine, theirs): (Arc<str>, Arc<str>) = (Arc::from("a"), Arc::from("b"));
        let fresh = stream.fresh(10);
        assert_eq!(stream.give(&fresh, &mine, NOW).len(), 1);
        assert_eq!(stream.fresh(10), []);
        // Somebody trims it.
        let gone = stream.entries.remove(&place).expect("an entry");
        stream.entries_bytes -= bytes_of(&gone);
        let due = stream.to_take_back(("b", Some(Duration::ZERO)), (10, 3), NOW);
        assert_eq!(due, [place]);
        assert_eq!(stream.claim(&due, &theirs, NOW), (vec![], 1));
        assert_eq!(stream.claim(&due, &theirs, NOW), (vec![], 0));
        let mut empty = Stream::default();
        empty.make_group();
        assert_eq!(stream.held_bytes(), empty.held_bytes());
    }
}
