//! What every store of the remote layer promises: one body, for real servers and for the models of them,
//! in real and in virtual time.
//!
//! Who calls it brings a clock and connections. Nothing here waits but by that clock, and nothing
//! measures time.

pub(crate) mod broad;
mod counters;
mod ends;
mod entries;
mod guards;
mod queue;

use std::time::Duration;

use bytes::Bytes;
use cachestorm::clock::Clock;
use cachestorm::engine::data_type::{DataType, DataTypeId, Key, PolicyTable, Strategy};
use cachestorm::engine::layer::{
    Appended, Entry, Generation, InvalidationEvent, LayerError, Notice, QueuedWrite, Remote, Row,
    Subscription, Version,
};

pub(crate) use queue::take;

pub(crate) const TTL: Duration = Duration::from_mins(5);
/// How long replicas and listeners may take to hear of something, and servers to forget.
pub(crate) const LAG: Duration = Duration::from_secs(5);
/// A TTL whose end is waited for.
const BRIEF: Duration = Duration::from_millis(500);
/// More than any of these tests appends, also in a sixteenth of it.
const QUEUE_MAX: u64 = 100_000;
pub(crate) const ITEM: DataTypeId = DataTypeId(0);
pub(crate) const ACTIVITY: DataTypeId = DataTypeId(1);

/// The keys that all this is about.
pub(crate) fn policies() -> PolicyTable {
    let row = |name: &str, key: &str, strategy| {
        DataType::new(name, key.parse().expect("a key pattern"), strategy, TTL)
    };
    PolicyTable::new(vec![
        row("item", "item:{id}", Strategy::CacheAside),
        row("activity", "activity:{user}:{n}", Strategy::WriteBehind),
    ])
}

/// A clock and what is measured by it: two instances' connections to one store, which has nothing in it.
pub(crate) struct Pair<R> {
    pub(crate) clock: Clock,
    pub(crate) one: R,
    pub(crate) other: R,
}

impl<R: Remote> Pair<R> {
    /// What any store promises that can compare versions.
    pub(crate) async fn keeps_the_basics(&self) {
        Box::pin(entries::keeps(&self.clock, &self.one)).await;
        Box::pin(entries::keeps_newer_ones(&self.clock, &self.one)).await;
        Box::pin(entries::purges(&self.clock, &self.one)).await;
        Box::pin(guards::leases(&self.clock, &self.one)).await;
        Box::pin(guards::locks(&self.one)).await;
        Box::pin(counters::counts(&self.one)).await;
    }

    /// What Redis promises in any topology.
    pub(crate) async fn keeps_everything(&self) {
        self.keeps_what_may_be_late().await;
        self.keeps_the_basics().await;
    }

    /// The same, as far as lookups need not show at once what was just stored: replicas may answer them.
    pub(crate) async fn keeps_what_may_be_late(&self) {
        Box::pin(broad::generations(self)).await;
        Box::pin(entries::spread(self)).await;
        Box::pin(guards::between_instances(self)).await;
        Box::pin(ends::all(self)).await;
        Box::pin(notices(self)).await;
        Box::pin(broad::sweeps(self)).await;
        Box::pin(queue::gives_each_write_once(self)).await;
        Box::pin(queue::gives_again_what_was_not_acknowledged(self)).await;
        Box::pin(queue::is_full(self)).await;
        Box::pin(counters::admit(self)).await;
    }
}

/// Many writers at once: see there.
pub(crate) async fn survives_a_storm_of_writers(clock: &Clock, remote: impl Remote) {
    entries::survives_a_storm_of_writers(clock, std::sync::Arc::new(remote)).await;
}

pub(crate) fn entry(clock: &Clock, as_of: u64, value: Option<&str>) -> Entry {
    let now = clock.now();
    Entry {
        row: Row {
            value: value.map(|value| Bytes::from(value.to_owned())),
            version: Version(as_of),
            committed_at: now,
            as_of: Version(as_of),
        },
        fetched_at: now,
        fresh_until: now + TTL,
        load_time: Duration::from_millis(7),
        generation: Generation(1),
    }
}

pub(crate) fn items(count: usize) -> Vec<Key> {
    (0..count).map(|n| Key::new(format!("item:{n}"))).collect()
}

pub(crate) fn notice(key: &str) -> Notice {
    Notice::Invalidated(InvalidationEvent {
        publisher: 1,
        keys: vec![key.to_owned()],
        version: 7,
        ..InvalidationEvent::default()
    })
}

/// Tries until `attempt` gives something; fails the test if it does not within `limit`.
pub(crate) async fn until<T>(
    clock: &Clock,
    what: &str,
    limit: Duration,
    mut attempt: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = clock.now() + limit;
    loop {
        if let Some(done) = attempt().await {
            return done;
        }
        assert!(clock.now() < deadline, "waited in vain: {what}");
        clock.sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a lookup gives the row of this version, or nothing. Replicas need a moment.
pub(crate) async fn shows(clock: &Clock, remote: &impl Remote, key: &Key, version: Option<u64>) {
    let what = format!("{key} at version {version:?}");
    until(clock, &what, LAG, async || {
        let held = remote.get(key).await.expect("an answer");
        (held.map(|entry| entry.row.version.0) == version).then_some(())
    })
    .await;
}

pub(crate) fn write(clock: &Clock, user: usize, n: u64) -> QueuedWrite {
    QueuedWrite {
        data_type: ACTIVITY,
        key: Key::new(format!("activity:{user}:{n}")),
        value: Bytes::from("click"),
        version: Version(0),
        accepted_at: clock.now(),
    }
}

/// Appends a write, and gives the version that the queue gave it.
pub(crate) async fn append(
    clock: &Clock,
    remote: &impl Remote,
    user: usize,
    n: u64,
) -> Result<Version, LayerError> {
    let (write, entry) = (write(clock, user, n), entry(clock, n, Some("click")));
    match remote.append(&write, &entry, TTL, QUEUE_MAX).await? {
        Appended::Queued(version) => Ok(version),
        full @ Appended::Full(_) => panic!("{full:?} with so few writes"),
    }
}

async fn notices<R: Remote>(pair: &Pair<R>) {
    // Whichever node each of them listens to, it hears what is published at any.
    for at in 0..4 {
        let mut subscription = pair.other.subscribe().await.expect("subscribed");
        let told = notice(&format!("item:{at}"));
        pair.one.publish(&told).await.expect("published");
        let heard = pair.clock.timeout(LAG, subscription.next()).await;
        assert_eq!(heard, Ok(Some(told)));
    }
}

/// Waits until all of `keys` were told to have changed.
async fn hears_of(clock: &Clock, subscription: &mut impl Subscription, mut keys: Vec<String>) {
    until(clock, "a notice of every key", LAG, async || {
        let heard = clock.timeout(LAG, subscription.next()).await;
        if let Ok(Some(Notice::Changed(changed))) = heard {
            keys.retain(|key| !changed.contains(key));
        }
        keys.is_empty().then_some(())
    })
    .await;
}

/// What a store tells that tracks `activity:` and `item:`.
pub(crate) async fn tells_of_changes_everywhere(
    clock: &Clock,
    remote: &impl Remote,
    subscription: &mut impl Subscription,
) {
    let activities = (0..40).map(|n| Key::new(format!("activity:{n}:1")));
    let keys: Vec<Key> = items(40).into_iter().chain(activities).collect();
    for key in &keys {
        let filled = remote.fill(key, &entry(clock, 3, Some("v")), TTL).await;
        filled.expect("an answer");
    }
    let names = || keys.iter().map(Key::to_string).collect::<Vec<_>>();
    hears_of(clock, subscription, names()).await;
    // A purge of what is not held must be told, too: another instance may hold it.
    for _ in 0..2 {
        remote.invalidate(&keys, Version(0)).await.expect("dropped");
        hears_of(clock, subscription, names()).await;
    }
    // What instances say comes the same way.
    let told = notice("item:1");
    remote.publish(&told).await.expect("published");
    until(clock, "the notice", LAG, async || {
        let heard = clock.timeout(LAG, subscription.next()).await;
        (heard == Ok(Some(told.clone()))).then_some(())
    })
    .await;
}
