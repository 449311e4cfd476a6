//! Sessions: entries that live for as long as they are read, and end all the same.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cachestorm::clock::Clock;
use cachestorm::engine::Engine;
use cachestorm::engine::data_type::{DataType, DataTypeId, Key, Sliding, Stampede, Strategy};
use cachestorm::engine::layer::{Layer, Outcome, Remote, Version};
use cachestorm::engine::remote::split::Split;
use cachestorm::environment::EvictionPolicy;
use cachestorm::environment::database::MockDatabase;
use cachestorm::units::ByteSize;

use crate::support::scene::{Scene, limited_redis, redis, remote};

const SESSION: DataTypeId = DataTypeId(0);
const MINUTE_MS: i64 = 60_000;

async fn scene(ttl: Duration, max_lifetime: Duration, change: fn(&mut DataType)) -> Scene {
    let key = "session:{session_id}".parse().expect("a key pattern");
    let mut session = DataType::new("session", key, Strategy::WriteThrough, ttl);
    session.sliding = Some(Sliding { max_lifetime });
    change(&mut session);
    Scene::new(vec![session]).await
}

async fn hours(ttl: u64, max_lifetime: u64) -> Scene {
    let hours = |hours| Duration::from_hours(hours);
    scene(hours(ttl), hours(max_lifetime), |_| {}).await
}

async fn left_ms(scene: &Scene, key: &str) -> i64 {
    scene.ask(&["PTTL", &format!("scene:{key}")]).await
}

async fn age(scene: &Scene, key: &str) {
    let key = format!("scene:{key}");
    let _: i64 = scene.ask(&["PEXPIRE", &key, "60000"]).await;
}

#[tokio::test]
async fn live_a_read_lets_a_session_live_for_its_ttl_again_in_one_round_trip() {
    for stampede in [
        Stampede::SingleFlight,
        Stampede::None,
        Stampede::Lock,
        Stampede::Lease,
    ] {
        let scene = hours(1, 24).await;
        let mut policies = (*scene.policies).clone();
        let mut row = policies.get(SESSION).clone();
        row.stampede = stampede;
        policies = cachestorm::engine::data_type::PolicyTable::new(vec![row]);
        let scene = Scene {
            policies: Arc::new(policies),
            ..scene
        };
        let engine = scene.instance(0).await;
        let key = Key::new("session:1");
        let put = engine.put(SESSION, &key, Bytes::from("a")).await;
        put.expect("a commit");
        age(&scene, "session:1").await;
        // The scripts are known by now, or not: this read makes sure.
        engine.get(SESSION, &key).await.expect("an answer");
        age(&scene, "session:1").await;
        let before = calls(&scene).await;
        let answer = engine.get(SESSION, &key).await.expect("an answer");
        let after = calls(&scene).await;
        assert_eq!(
            (answer.outcome, answer.layer),
            (Outcome::Hit, Layer::Remote)
        );
        let left = left_ms(&scene, "session:1").await;
        assert!(left > 50 * MINUTE_MS, "{stampede:?}: {left} ms left");
        assert_eq!(after - before, 1, "{stampede:?}");
    }
}

/// Scripts that Redis was asked to run; nothing else of a read reaches it.
async fn calls(scene: &Scene) -> u64 {
    let info: String = scene.ask(&["INFO", "commandstats"]).await;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_get:calls="));
    let count = line.and_then(|line| line.split(',').next());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn live_neither_reads_nor_writes_move_the_absolute_end() {
    let scene = hours(2, 2).await;
    let engine = scene.instance(0).await;
    let key = Key::new("session:2");
    let put = engine.put(SESSION, &key, Bytes::from("a")).await;
    let end = put.expect("a commit").committed_at + Duration::from_hours(2);
    let until = |now| end.since(now).as_millis() as i64;
    for value in ["b", "c"] {
        scene.clock.sleep(Duration::from_millis(30)).await;
        let put = engine.put(SESSION, &key, Bytes::from(value)).await;
        put.expect("a commit");
        let answer = engine.get(SESSION, &key).await.expect("an answer");
        assert_eq!(answer.entry.row.value.as_deref(), Some(value.as_bytes()));
        assert_eq!(answer.entry.fresh_until, end, "as of the first write");
        let bound = until(scene.clock.now());
        // Redis reckons in whole milliseconds.
        let left = left_ms(&scene, "session:2").await;
        assert!(left <= bound + 1, "{left} ms left, not more than {bound}");
    }
}

#[tokio::test]
async fn live_a_session_whose_time_is_over_does_not_exist_any_more() {
    let second = Duration::from_secs(1);
    let scene = scene(second, second, |session| {
        session.negative_ttl = Some(Duration::from_mins(1));
    })
    .await;
    let engine = scene.instance(0).await;
    let key = Key::new("session:3");
    let put = engine.put(SESSION, &key, Bytes::from("a")).await;
    let end = put.expect("a commit").committed_at + second;
    while scene.clock.now() <= end {
        let answer = engine.get(SESSION, &key).await.expect("an answer");
        if scene.clock.now() < end {
            assert!(answer.entry.row.value.is_some());
        }
        scene.clock.sleep(Duration::from_millis(50)).await;
    }
    // The database still has its row; its time is over all the same.
    let answer = engine.get(SESSION, &key).await.expect("an answer");
    assert_eq!(answer.entry.row.value, None);
    // Logging in makes it anew.
    let put = engine.put(SESSION, &key, Bytes::from("b")).await;
    put.expect("a commit");
    let answer = engine.get(SESSION, &key).await.expect("an answer");
    assert_eq!(answer.entry.row.value.as_deref(), Some(&b"b"[..]));
}

#[tokio::test]
async fn live_the_local_layer_leaves_sessions_out() {
    let hour = Duration::from_hours(1);
    let scene = scene(hour, hour * 2, |session| {
        session.local_ttl = Some(Duration::from_mins(1));
    })
    .await;
    let engine = scene.instance(0).await;
    let key = Key::new("session:4");
    for _ in 0..3 {
        engine.get(SESSION, &key).await.expect("an answer");
    }
    let answer = engine.get(SESSION, &key).await.expect("an answer");
    assert_eq!(
        (answer.outcome, answer.layer),
        (Outcome::Hit, Layer::Remote)
    );
    assert_eq!(engine.local_entries(), 0);
}

/// Extending a tombstone would keep fills out, extending a lease would keep all readers waiting.
#[tokio::test]
async fn live_tombstones_and_leases_are_not_extended() {
    let scene = hours(1, 24).await;
    let remote = remote(&scene.redis).await;
    let key = Key::new("session:5");
    let told = remote
        .invalidate(std::slice::from_ref(&key), Version(5))
        .await;
    told.expect("invalidated");
    let hour = Duration::from_hours(1);
    let found = remote.get_and_extend(&key, hour).await;
    assert_eq!(found, Ok(None));
    assert!(left_ms(&scene, "session:5").await <= MINUTE_MS);
    let key = Key::new("session:6");
    let token = cachestorm::engine::layer::Token(7);
    let ten_seconds = Duration::from_secs(10);
    let leased = remote.get_or_lease(&key, token, ten_seconds).await;
    leased.expect("a lease");
    assert_eq!(remote.get_and_extend(&key, hour).await, Ok(None));
    assert!(left_ms(&scene, "session:6").await <= 10_000);
}

/// What users put, and how much of it is still in the cache after the flood of something else.
async fn survivors<R: Remote>(
    scene: &Scene,
    engine: &Engine<R, MockDatabase>,
    sessions: usize,
) -> usize {
    let key = |n: usize| Key::new(format!("session:{n}"));
    for n in 0..sessions {
        let put = engine.put(SESSION, &key(n), Bytes::from("a")).await;
        put.expect("a commit");
    }
    // Twice what the cache's Redis has room for.
    let product = Bytes::from(vec![b'x'; 16 << 10]);
    for n in 0..500 {
        let key = Key::new(format!("product:{n}"));
        let put = engine.put(PRODUCT, &key, product.clone()).await;
        put.expect("a commit");
    }
    let evicted: String = scene.ask(&["INFO", "stats"]).await;
    assert!(!evicted.contains("evicted_keys:0\r"), "no pressure at all");
    let mut alive = 0;
    for n in 0..sessions {
        let answer = engine.get(SESSION, &key(n)).await.expect("an answer");
        alive += usize::from(answer.outcome == Outcome::Hit);
    }
    alive
}

const PRODUCT: DataTypeId = DataTypeId(1);
const SESSIONS: usize = 300;

/// A Redis with room for little, in front of a database of sessions and products.
async fn pressed() -> Scene {
    let hour = Duration::from_hours(1);
    let row = |name: &str, key: &str| {
        let key = key.parse().expect("a key pattern");
        DataType::new(name, key, Strategy::WriteThrough, hour)
    };
    let mut session = row("session", "session:{session_id}");
    session.sliding = Some(Sliding {
        max_lifetime: hour * 8,
    });
    let clock = Clock::real();
    let room = Some(ByteSize(4 << 20));
    let redis = limited_redis(&clock, room, EvictionPolicy::AllkeysLru).await;
    Scene::over(
        clock,
        redis,
        vec![session, row("product", "product:{product_id}")],
    )
}

/// The control: sessions in the cache's own Redis go with everything else.
#[tokio::test]
async fn live_sessions_in_the_cache_s_redis_are_evicted() {
    let scene = pressed().await;
    let engine = scene.instance(0).await;
    let alive = survivors(&scene, &engine, SESSIONS).await;
    assert!(alive < SESSIONS, "all {alive} survived");
}

#[tokio::test]
async fn live_sessions_in_a_store_of_their_own_are_not() {
    let scene = pressed().await;
    let own = redis(&scene.clock).await;
    let patterns = vec![scene.policies.get(SESSION).key.clone()];
    let split = Split::new(remote(&scene.redis).await, remote(&own).await, patterns);
    let engine = scene.instance_over(0, split);
    assert_eq!(survivors(&scene, &engine, SESSIONS).await, SESSIONS);
    let keys = |pattern: &'static str| {
        let scene = &scene;
        async move { scene.ask::<Vec<String>>(&["KEYS", pattern]).await.len() }
    };
    assert_eq!(keys("scene:session:*").await, 0);
    assert!(keys("scene:product:*").await > 0);
}

/// Keys of both stores in one call come back in their order, and go from both.
#[tokio::test]
async fn live_two_stores_answer_as_one() {
    let scene = pressed().await;
    let own = redis(&scene.clock).await;
    let patterns = vec![scene.policies.get(SESSION).key.clone()];
    let split = Split::new(remote(&scene.redis).await, remote(&own).await, patterns);
    let engine = scene.instance_over(0, split);
    let other = Split::new(remote(&scene.redis).await, remote(&own).await, Vec::new());
    let keys = ["session:1", "product:1", "product:2", "session:2"].map(Key::new);
    for (key, data_type) in keys.iter().zip([SESSION, PRODUCT, PRODUCT, SESSION]) {
        let put = engine.put(data_type, key, Bytes::from("a")).await;
        put.expect("a commit");
    }
    let again = Split::new(
        remote(&scene.redis).await,
        remote(&own).await,
        vec![scene.policies.get(SESSION).key.clone()],
    );
    let held = again.held(&keys).await.expect("versions");
    let versions: Vec<Option<u64>> = held.iter().map(|held| held.map(|v| v.0)).collect();
    assert_eq!(versions, [Some(1), Some(2), Some(3), Some(4)]);
    // Who knows of no store of their own does not find them.
    let held = other.held(&keys).await.expect("versions");
    assert_eq!(held.iter().flatten().count(), 2);
    engine.invalidate_all(SESSION).await.expect("invalidated");
    let answer = engine.get(SESSION, &keys[0]).await.expect("an answer");
    assert_eq!(answer.outcome, Outcome::Miss);
    again.invalidate(&keys, Version(0)).await.expect("dropped");
    let held = again.held(&keys).await.expect("versions");
    assert_eq!(held.iter().flatten().count(), 0);
}

#[tokio::test]
async fn live_the_store_of_sessions_may_be_away_and_the_cache_goes_on() {
    let scene = pressed().await;
    let own = redis(&scene.clock).await;
    let patterns = vec![scene.policies.get(SESSION).key.clone()];
    let split = Split::new(remote(&scene.redis).await, remote(&own).await, patterns);
    let engine = scene.instance_over(0, split);
    let (session, product) = (Key::new("session:1"), Key::new("product:1"));
    for (data_type, key) in [(SESSION, &session), (PRODUCT, &product)] {
        engine.get(data_type, key).await.expect("an answer");
    }
    own.stop().await.expect("it ends");
    let answer = engine.get(PRODUCT, &product).await.expect("an answer");
    assert_eq!(answer.outcome, Outcome::Hit);
    // The database still knows the session.
    let answer = engine.get(SESSION, &session).await.expect("an answer");
    assert_eq!(answer.outcome, Outcome::Bypass);
    let answer = engine.get(PRODUCT, &product).await.expect("an answer");
    assert_eq!(answer.outcome, Outcome::Hit);
}
