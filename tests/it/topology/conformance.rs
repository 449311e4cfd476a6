//! What every topology promises: values, leases, locks, notices, the queue, counters, and broad
//! invalidation. One body for all of them.

use std::collections::BTreeSet;
use std::time::Duration;

use cachestorm::clock::Clock;
use cachestorm::engine::data_type::{Key, Limit, LimitAlgorithm};
use cachestorm::engine::invalidation::glob::Glob;
use cachestorm::engine::invalidation::markers::Scope;
use cachestorm::engine::layer::{
    Delivery, Fill, Generation, Leased, Queue, QueueId, Remote, Subscription, Token, Version,
};
use cachestorm::engine::remote::redis::{NodeAddress, Nodes, RedisRemote};
use cachestorm::environment::redis_info::RedisInfo;

use super::{ACTIVITY, ITEM, LAG, TTL, append, connect, entry, items, notice, shows, take, until};
/// What every topology promises.
pub(super) async fn conformance(url: &str) {
    let (remote, other) = tokio::join!(connect(url), connect(url));
    let (remote, other) = (remote.expect("connected"), other.expect("connected"));
    Box::pin(values(&remote)).await;
    Box::pin(leases_and_locks(&remote, &other)).await;
    Box::pin(notices(&remote, &other)).await;
    Box::pin(broad_invalidation(&remote, &other)).await;
    Box::pin(queue(&remote)).await;
    Box::pin(counters(&remote, &other)).await;
}

async fn values(remote: &RedisRemote) {
    let keys = items(100);
    for key in &keys {
        assert_eq!(remote.get(key).await, Ok(None));
        assert_eq!(remote.fill(key, &entry(5), TTL).await, Ok(Fill::Stored));
        assert_eq!(remote.fill(key, &entry(4), TTL).await, Ok(Fill::Refused));
    }
    for key in &keys {
        shows(remote, key, Some(5)).await;
    }
    // Two halves over all slots at once: one with tombstones, one without.
    let (marked, purged) = keys.split_at(50);
    remote
        .invalidate(marked, Version(6))
        .await
        .expect("dropped");
    remote
        .invalidate(purged, Version(0))
        .await
        .expect("dropped");
    for key in &keys {
        shows(remote, key, None).await;
    }
    assert_eq!(
        remote.fill(&marked[0], &entry(5), TTL).await,
        Ok(Fill::Refused)
    );
    assert_eq!(
        remote.fill(&purged[0], &entry(5), TTL).await,
        Ok(Fill::Stored)
    );
    remote
        .overwrite(&marked[0], &entry(1), TTL)
        .await
        .expect("stored");
    shows(remote, &marked[0], Some(1)).await;
}

async fn leases_and_locks(remote: &RedisRemote, other: &RedisRemote) {
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
        let offered = entry(3);
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

async fn notices(remote: &RedisRemote, other: &RedisRemote) {
    // Whichever node each of them listens to, it hears what is published at any.
    for at in 0..4 {
        let mut subscription = other.subscribe().await.expect("subscribed");
        let told = notice(&format!("item:{at}"));
        remote.publish(&told).await.expect("published");
        let heard = Clock::real().timeout(LAG, subscription.next()).await;
        assert_eq!(heard, Ok(Some(told)));
    }
}

/// Keys on every primary, and those that are written behind beside their streams.
async fn broad_invalidation(remote: &RedisRemote, other: &RedisRemote) {
    let mine = |n: usize| [format!("swept:7:{n}"), format!("activity:7:{n}")].map(Key::new);
    let theirs = |n: usize| [format!("swept:8:{n}"), format!("activity:8:{n}")].map(Key::new);
    let swept: Vec<Key> = (0..40).flat_map(mine).collect();
    let kept: Vec<Key> = (0..40).flat_map(theirs).collect();
    for key in swept.iter().chain(&kept) {
        assert_eq!(remote.fill(key, &entry(5), TTL).await, Ok(Fill::Stored));
    }
    let globs: Vec<Glob> = ["swept:7:*", "activity:?:*"]
        .map(|glob| glob.parse().expect("a pattern"))
        .into();
    // The pattern alone would take more.
    let belongs = |key: &Key| !key.as_str().starts_with("activity:8:");
    assert_eq!(remote.sweep(&globs, belongs).await, Ok(80));
    assert_eq!(remote.sweep(&globs, belongs).await, Ok(0));
    let held = remote.held(&swept).await.expect("an answer");
    assert_eq!(held, vec![None; 80]);
    let held = remote.held(&kept).await.expect("an answer");
    assert_eq!(held, vec![Some(Version(5)); 80]);

    let first = remote.raise(&Scope::DataType(ITEM), Generation(0)).await;
    let first = first.expect("raised");
    let second = other.raise(&Scope::DataType(ACTIVITY), first).await;
    let second = second.expect("raised");
    assert!(second > first);
    let known = remote.reconcile(&[]).await.expect("an answer");
    let floors: BTreeSet<Generation> = known.iter().map(|marker| marker.generation).collect();
    assert!(
        floors.contains(&first) && floors.contains(&second),
        "{known:?}"
    );
}

async fn queue(remote: &RedisRemote) {
    // Opened before the writes and after them: both must do.
    drop(remote.queue("c1").await.expect("a queue"));
    let mut newest = Version(0);
    for n in 1..=3 {
        for user in 0..20 {
            let version = append(remote, user, n).await.expect("accepted");
            if (user, n) == (7, 3) {
                newest = version;
            }
        }
    }
    shows(remote, &Key::new("activity:7:3"), Some(newest.0)).await;
    // A consumer that takes some and dies before it acknowledges gets them again, and others after
    // a while, too.
    let mut dying = remote.queue("c1").await.expect("a queue");
    let given = until("a first batch", LAG, async || {
        let batch = dying.next_batch(10).await.expect("an answer");
        (!batch.is_empty()).then_some(batch)
    })
    .await;
    drop(dying);
    let mut reborn = remote.queue("c1").await.expect("a queue");
    let again = take_back(&mut reborn, None).await;
    assert_eq!(names(&again), names(&given));
    let buried = &again[0];
    reborn.bury(buried, "a test").await.expect("buried");
    let mut heir = remote.queue("c2").await.expect("a queue");
    let inherited = take_back(&mut heir, Some(Duration::ZERO)).await;
    assert_eq!(names(&inherited), names(&again[1..]));
    let ids: Vec<QueueId> = inherited.iter().map(|given| given.id.clone()).collect();
    assert_eq!(heir.keep(&ids).await, Ok(true));
    heir.acknowledge(&ids).await.expect("acknowledged");
    let rest = 60 - given.len();
    let waiting = heir.waiting().await.expect("an answer");
    assert_eq!((waiting.writes, waiting.dead_letters), (rest as u64, 1));
    let taken = take(remote, "c1", rest).await;
    assert_eq!(taken.len(), rest);
    let mut all: BTreeSet<&str> = taken.iter().map(|write| write.key.as_str()).collect();
    let given = names(&given);
    all.extend(given.iter().map(String::as_str));
    assert_eq!(all.len(), 60, "none is lost and none comes twice");
    let mut empty = remote.queue("c1").await.expect("a queue");
    assert_eq!(empty.next_batch(10).await.expect("an answer"), []);
}

/// All that is delivered again, whichever streams it is in.
async fn take_back(queue: &mut impl Queue, idle: Option<Duration>) -> Vec<Delivery> {
    let mut all: Vec<Delivery> = Vec::new();
    // What is taken back stays with its consumer, so it comes again and again.
    for _ in 0..40 {
        let back = queue.take_back(idle, 10, u32::MAX).await;
        let back = back.expect("an answer");
        assert_eq!(back.vanished, 0);
        for given in back.deliveries {
            if all.iter().all(|known| known.id != given.id) {
                all.push(given);
            }
        }
    }
    all
}

fn names(deliveries: &[Delivery]) -> BTreeSet<String> {
    let writes = deliveries.iter().map(|given| given.write.as_ref());
    let keys = writes.map(|write| write.expect("readable").key.to_string());
    keys.collect()
}

async fn counters(remote: &RedisRemote, other: &RedisRemote) {
    let limit = Limit {
        requests: 5,
        window: Duration::from_mins(1),
        algorithm: LimitAlgorithm::SlidingBuckets,
    };
    for user in 0..10 {
        let key = Key::new(format!("ratelimit:{user}:60"));
        let mut admitted = 0;
        for _ in 0..4 {
            for instance in [remote, other] {
                let decision = instance.admit(&key, limit).await.expect("a decision");
                admitted += u64::from(decision.admitted);
            }
        }
        assert_eq!(admitted, limit.requests);
    }
}

/// How many `GET`s each of `addresses` has answered.
pub(super) async fn gets(url: &str, addresses: impl Iterator<Item = &NodeAddress>) -> u64 {
    let nodes = Nodes::open(url).expect("a URL of ours");
    let mut sum = 0;
    for address in addresses {
        let connection = nodes.connect(address, Duration::from_secs(1)).await;
        let mut connection = connection.expect("connected");
        let info = RedisInfo::fetch(&mut connection, &Clock::real(), LAG).await;
        sum += info.expect("INFO").calls_of("get");
    }
    sum
}
