//! Entries: kept, and never replaced by older ones.

use std::sync::Arc;

use cachestorm::clock::Clock;
use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::{Fill, Leased, Remote, Token, Version};

use super::{Pair, TTL, entry, items, shows};

pub(super) async fn keeps(clock: &Clock, remote: &impl Remote) {
    assert_eq!(remote.get(&Key::new("a")).await, Ok(None));
    // Values of every kind: absent, empty, with line ends, larger than a read.
    let large = "x".repeat(300_000);
    for (at, value) in [None, Some(""), Some("a\r\nVA 1\r\nb"), Some(&*large)]
        .into_iter()
        .enumerate()
    {
        let (key, entry) = (Key::new(format!("entry:{at}")), entry(clock, 5, value));
        assert_eq!(remote.fill(&key, &entry, TTL).await, Ok(Fill::Stored));
        assert_eq!(remote.get(&key).await, Ok(Some(entry)));
    }
    let key = Key::new("entry:0");
    let older = entry(clock, 1, Some("older"));
    assert_eq!(remote.overwrite(&key, &older, TTL).await, Ok(()));
    assert_eq!(remote.get(&key).await, Ok(Some(older)));
}

pub(super) async fn keeps_newer_ones(clock: &Clock, remote: &impl Remote) {
    let key = Key::new("versions");
    let as_of = async || {
        let held = remote.get(&key).await.expect("an answer");
        held.map(|held| held.row.as_of.0)
    };
    // Around 2^32 and 2^53, where a comparison by the wrong number type would break.
    for base in [10, u64::from(u32::MAX), (1 << 53) - 3] {
        let keys = [key.clone(), Key::new("versions:other")];
        let invalidate = |version| remote.invalidate(&keys, Version(version));
        let fill = async |as_of| {
            remote
                .fill(&key, &entry(clock, as_of, Some("v")), TTL)
                .await
        };
        assert_eq!(invalidate(0).await, Ok(()));
        assert_eq!(fill(base + 1).await, Ok(Fill::Stored));
        assert_eq!(fill(base).await, Ok(Fill::Refused));
        assert_eq!(fill(base + 1).await, Ok(Fill::Stored));
        assert_eq!(invalidate(base).await, Ok(()));
        assert_eq!(as_of().await, Some(base + 1), "older than the entry");
        assert_eq!(invalidate(base + 2).await, Ok(()));
        assert_eq!(as_of().await, None);
        assert_eq!(fill(base + 1).await, Ok(Fill::Refused), "a stale fill");
        assert_eq!(fill(base + 2).await, Ok(Fill::Stored));
        assert_eq!(as_of().await, Some(base + 2));
    }
}

/// A purge knows no commit, and lets nothing in that is older than what was known before it.
pub(super) async fn purges(clock: &Clock, remote: &impl Remote) {
    let key = Key::new("purged");
    let keys = std::slice::from_ref(&key);
    let fill = async |as_of| {
        remote
            .fill(&key, &entry(clock, as_of, Some("v")), TTL)
            .await
    };
    let purge = async || assert_eq!(remote.invalidate(keys, Version(0)).await, Ok(()));
    purge().await;
    assert_eq!(fill(3).await, Ok(Fill::Stored), "nothing was known");
    purge().await;
    assert_eq!(remote.get(&key).await, Ok(None));
    assert_eq!(fill(2).await, Ok(Fill::Refused), "older than the entry");
    assert_eq!(fill(3).await, Ok(Fill::Stored), "the same again");
    assert_eq!(remote.invalidate(keys, Version(5)).await, Ok(()));
    purge().await;
    assert_eq!(fill(4).await, Ok(Fill::Refused), "older than the write");
    let (old, new) = (entry(clock, 4, Some("v")), entry(clock, 5, Some("w")));
    for (number, value, filled) in [(1, &old, Fill::Refused), (2, &new, Fill::Refused)] {
        let take = remote.get_or_lease(&key, Token(number), TTL);
        assert_eq!(take.await, Ok(Leased::Granted));
        purge().await;
        let fill = remote.fill_leased(&key, Token(number), Some((value, TTL)));
        assert_eq!(fill.await, Ok(filled), "the purge took the lease away");
    }
    assert_eq!(fill(4).await, Ok(Fill::Refused), "as before the leases");
    assert_eq!(fill(5).await, Ok(Fill::Stored));
}

/// Over all slots, wherever a store puts them.
pub(super) async fn spread<R: Remote>(pair: &Pair<R>) {
    let Pair { clock, one, other } = pair;
    let keys = items(100);
    let version = |as_of| entry(clock, as_of, Some("v"));
    for key in &keys {
        assert_eq!(one.get(key).await, Ok(None));
        assert_eq!(one.fill(key, &version(5), TTL).await, Ok(Fill::Stored));
        assert_eq!(other.fill(key, &version(4), TTL).await, Ok(Fill::Refused));
    }
    for key in &keys {
        shows(clock, other, key, Some(5)).await;
    }
    let held = other.held(&keys).await.expect("an answer");
    assert_eq!(held, vec![Some(Version(5)); 100]);
    // Two halves over all slots at once: one with tombstones, one without.
    let (marked, purged) = keys.split_at(50);
    one.invalidate(marked, Version(6)).await.expect("dropped");
    one.invalidate(purged, Version(0)).await.expect("dropped");
    for key in &keys {
        shows(clock, other, key, None).await;
    }
    assert_eq!(other.held(&keys).await, Ok(vec![None; 100]));
    let fill = async |key| one.fill(key, &version(5), TTL).await;
    assert_eq!(fill(&marked[0]).await, Ok(Fill::Refused));
    assert_eq!(fill(&purged[0]).await, Ok(Fill::Stored));
    let overwritten = one.overwrite(&marked[0], &version(1), TTL).await;
    overwritten.expect("stored");
    shows(clock, other, &marked[0], Some(1)).await;
}

/// Writers and loaders of one key at once: in the end the newest is there, and no reader ever saw
/// the key go back.
pub(super) async fn survives_a_storm_of_writers(clock: &Clock, remote: Arc<impl Remote>) {
    const WRITES: u64 = 200;
    let key = Key::new("storm");
    let writers = (0..4).map(|writer| {
        let (remote, key, clock) = (Arc::clone(&remote), key.clone(), clock.clone());
        tokio::spawn(async move {
            for write in (writer..WRITES).step_by(4) {
                let entry = entry(&clock, write + 1, Some("v"));
                let written = remote.fill(&key, &entry, TTL).await;
                written.expect("a decision");
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut newest = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        if let Some(held) = remote.get(&key).await.expect("an answer") {
            assert!(held.row.as_of.0 >= newest, "the key went back");
            newest = held.row.as_of.0;
        }
    }
    let held = remote.get(&key).await.expect("an answer");
    assert_eq!(held.map(|held| held.row.as_of.0), Some(WRITES));
}
