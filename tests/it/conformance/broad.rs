//! Broad invalidation: generations, and the search for keys.

use cachestorm::engine::data_type::Key;
use cachestorm::engine::invalidation::glob::Glob;
use cachestorm::engine::invalidation::markers::{Marker, Scope};
use cachestorm::engine::layer::{Fill, Generation, Leased, Remote, Token, Version};

use super::{ACTIVITY, ITEM, Pair, TTL, entry};

/// On a store that has never been asked.
pub(super) async fn generations<R: Remote>(pair: &Pair<R>) {
    let Pair { one, other, .. } = pair;
    let told = |scope, generation| Marker { scope, generation };
    // Nobody knows anything, so everything may be outdated.
    let known = one.reconcile(&[]).await.expect("an answer");
    let [Marker { scope, generation }] = &*known else {
        panic!("{known:?}");
    };
    let (start, is_all) = (*generation, *scope == Scope::Everything);
    assert!(is_all && start > Generation(0));
    assert_eq!(other.reconcile(&known).await, Ok(vec![]), "nothing is new");

    let raise = async |remote: &R, scope: &Scope, known| {
        let raised = remote.raise(scope, known).await;
        raised.expect("raised")
    };
    let some = Scope::Pattern(ITEM, "item:7*".parse().expect("a pattern"));
    let pattern = raise(one, &some, Generation(0)).await;
    let item = raise(other, &Scope::DataType(ITEM), pattern).await;
    let far = Generation(item.0 + 1_000_000_000);
    let activity = raise(one, &Scope::DataType(ACTIVITY), far).await;
    assert!(start < pattern && pattern < item && far < activity);
    // The wider scope says all that the pattern did.
    let mut news = other.reconcile(&known).await.expect("an answer");
    news.sort_by(|a, b| a.scope.cmp(&b.scope));
    let expected = [
        told(Scope::DataType(ITEM), item),
        told(Scope::DataType(ACTIVITY), activity),
    ];
    assert_eq!(news, expected);
    // Who knows more tells, and who knows less is told.
    let farther = told(Scope::DataType(ITEM), Generation(activity.0 + 5));
    let back = one.reconcile(std::slice::from_ref(&farther)).await;
    let back = back.expect("an answer");
    assert!(back.iter().all(|marker| marker.scope != farther.scope));
    let news = other.reconcile(&known).await.expect("an answer");
    assert!(news.contains(&farther), "{news:?}");
    let everything = raise(other, &Scope::Everything, Generation(0)).await;
    assert!(everything > farther.generation);
    let news = one.reconcile(&[]).await.expect("an answer");
    assert_eq!(news, [told(Scope::Everything, everything)]);
}

/// Keys on every primary, and those that are written behind beside their streams.
pub(super) async fn sweeps<R: Remote>(pair: &Pair<R>) {
    let Pair { clock, one, .. } = pair;
    let mine = |n: usize| [format!("swept:7:{n}"), format!("activity:7:{n}")].map(Key::new);
    let theirs = |n: usize| [format!("swept:8:{n}"), format!("activity:8:{n}")].map(Key::new);
    let swept: Vec<Key> = (0..40).flat_map(mine).collect();
    let kept: Vec<Key> = (0..40).flat_map(theirs).collect();
    for key in swept.iter().chain(&kept) {
        let filled = one.fill(key, &entry(clock, 5, Some("v")), TTL).await;
        assert_eq!(filled, Ok(Fill::Stored));
    }
    let globs: Vec<Glob> = ["swept:7:*", "activity:?:*"]
        .map(|glob| glob.parse().expect("a pattern"))
        .into();
    // The pattern alone would take more.
    let belongs = |key: &Key| !key.as_str().starts_with("activity:8:");
    assert_eq!(one.sweep(&globs, belongs).await, Ok(80));
    assert_eq!(one.sweep(&globs, belongs).await, Ok(0));
    let held = one.held(&swept).await.expect("an answer");
    assert_eq!(held, vec![None; 80]);
    let held = one.held(&kept).await.expect("an answer");
    assert_eq!(held, vec![Some(Version(5)); 80]);
    tombstones_stay(pair).await;
}

/// What keeps old values out is not swept, and of a lease it stays.
async fn tombstones_stay<R: Remote>(pair: &Pair<R>) {
    let Pair { clock, one, .. } = pair;
    let marked = ["marked:1", "marked:2", "marked:3"].map(Key::new);
    let [_, leased, free] = &marked;
    let dropped = one.invalidate(&marked[..2], Version(6)).await;
    dropped.expect("dropped");
    for key in [leased, free] {
        let taken = one.get_or_lease(key, Token(1), TTL).await;
        assert_eq!(taken, Ok(Leased::Granted));
    }
    let all: Glob = "marked:*".parse().expect("a pattern");
    let removed = one.sweep(std::slice::from_ref(&all), |_| true).await;
    assert_eq!(removed, Ok(2), "the leases");
    let value = entry(clock, 5, Some("v"));
    for (key, expected) in [
        (&marked[0], Fill::Refused),
        (leased, Fill::Refused),
        (free, Fill::Stored),
    ] {
        let late = one.fill_leased(key, Token(1), Some((&value, TTL))).await;
        assert_eq!(late, Ok(Fill::Refused), "the right to fill {key} is gone");
        assert_eq!(one.fill(key, &value, TTL).await, Ok(expected), "{key}");
    }
}
