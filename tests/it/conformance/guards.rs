//! Leases and locks: one loads, and what came meanwhile counts.

use std::time::Duration;

use cachestorm::clock::Clock;
use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::{Fill, Leased, Remote, Token, Version};

use super::{Pair, TTL, entry};

pub(super) async fn leases(clock: &Clock, remote: &impl Remote) {
    let key = Key::new("lease");
    let (ours, theirs) = (Token(1 << 100 | 7), Token(8));
    let take = |token| remote.get_or_lease(&key, token, TTL);
    assert_eq!(take(ours).await, Ok(Leased::Granted));
    assert_eq!(take(theirs).await, Ok(Leased::Taken));
    assert_eq!(remote.get(&key).await, Ok(None), "a lease is no entry");
    let value = entry(clock, 5, Some("v"));
    let fill = |token, entry| remote.fill_leased(&key, token, entry);
    assert_eq!(fill(theirs, Some((&value, TTL))).await, Ok(Fill::Refused));
    assert_eq!(fill(ours, Some((&value, TTL))).await, Ok(Fill::Stored));
    assert_eq!(take(theirs).await, Ok(Leased::Found(value.clone())));

    // A write takes the lease away, and its floor goes on in the next lease.
    let invalidate = |version| remote.invalidate(std::slice::from_ref(&key), Version(version));
    assert_eq!(invalidate(6).await, Ok(()));
    assert_eq!(take(ours).await, Ok(Leased::Granted));
    assert_eq!(invalidate(7).await, Ok(()));
    assert_eq!(fill(ours, Some((&value, TTL))).await, Ok(Fill::Refused));
    assert_eq!(take(theirs).await, Ok(Leased::Granted));
    assert_eq!(fill(theirs, Some((&value, TTL))).await, Ok(Fill::Refused));
    assert_eq!(fill(theirs, None).await, Ok(Fill::Stored), "given back");
    let stale = remote.fill(&key, &value, TTL).await;
    assert_eq!(stale, Ok(Fill::Refused), "the tombstone is there again");
    assert_eq!(take(ours).await, Ok(Leased::Granted));
    let newer = entry(clock, 7, Some("w"));
    assert_eq!(fill(ours, Some((&newer, TTL))).await, Ok(Fill::Stored));
    assert_eq!(remote.get(&key).await, Ok(Some(newer)));
}

pub(super) async fn locks(remote: &impl Remote) {
    let key = Key::new("locked");
    let (ours, theirs) = (Token(u128::MAX), Token(3));
    assert_eq!(remote.lock(&key, ours, TTL).await, Ok(true));
    assert_eq!(remote.lock(&key, theirs, TTL).await, Ok(false));
    assert_eq!(remote.renew_lock(&key, theirs, TTL).await, Ok(false));
    assert_eq!(remote.renew_lock(&key, ours, TTL).await, Ok(true));
    assert_eq!(remote.unlock(&key, Some(theirs)).await, Ok(()));
    assert_eq!(
        remote.lock(&key, theirs, TTL).await,
        Ok(false),
        "not theirs"
    );
    assert_eq!(remote.unlock(&key, Some(ours)).await, Ok(()));
    assert_eq!(remote.lock(&key, theirs, TTL).await, Ok(true));
    assert_eq!(remote.unlock(&key, None).await, Ok(()));
    assert_eq!(remote.renew_lock(&key, theirs, TTL).await, Ok(false));
}

/// What one instance holds, another does not get.
pub(super) async fn between_instances<R: Remote>(pair: &Pair<R>) {
    let Pair {
        clock,
        one: remote,
        other,
    } = pair;
    let second = Duration::from_secs(1);
    for n in 0..10 {
        let key = Key::new(format!("leased:{n}"));
        let (mine, theirs) = (Token(1), Token(2));
        assert_eq!(
            remote.get_or_lease(&key, mine, TTL).await,
            Ok(Leased::Granted)
        );
        assert_eq!(
            other.get_or_lease(&key, theirs, TTL).await,
            Ok(Leased::Taken)
        );
        let offered = entry(clock, 3, Some("v"));
        let filled = remote.fill_leased(&key, mine, Some((&offered, TTL))).await;
        assert_eq!(filled, Ok(Fill::Stored));
        let found = other.get_or_lease(&key, theirs, TTL).await;
        assert!(matches!(found, Ok(Leased::Found(_))), "{found:?}");
        assert_eq!(remote.lock(&key, mine, second).await, Ok(true));
        assert_eq!(other.lock(&key, theirs, second).await, Ok(false));
        assert_eq!(other.renew_lock(&key, theirs, second).await, Ok(false));
        remote.unlock(&key, Some(mine)).await.expect("unlocked");
        assert_eq!(other.lock(&key, theirs, second).await, Ok(true));
    }
}
