//! A remote layer that goes away and comes back.

use cachestorm::engine::layer::{LayerError, Origin, Remote, Row};
use cachestorm::engine::resilience::guarded::Guarded;
use cachestorm::engine::resilience::origin_limit::{Bounded, OriginLimit};
use cachestorm::measure::oracle::write_behind::WriteBehindOracle;
use futures_util::future::join_all;

use super::*;
use crate::support::durability::{self, CUSTOMER, Heard, Mood, ledger};
use crate::support::fake_remote::Away;
use crate::support::rigged::Call;

/// The ADR's `get_customer_360`: what `redis.get` raises, it raises.
async fn adr_get(scene: &Scene, key: &Key) -> Result<Row, LayerError> {
    let remote = scene.server.connect();
    if let Some(cached) = remote.get(key).await? {
        return Ok(cached.row);
    }
    scene.origin.load(ITEM, key).await
}

#[tokio::test(start_paused = true)]
async fn the_cache_is_gone_and_every_read_fails() {
    let scene = Scene::new(|item| item.local_ttl = None);
    let engine = scene.instance(0);
    let key = Key::new("item:1");
    scene.origin.set(key.as_str(), Some("Ada"));
    for (away, adr_fails) in [(None, false), (Some(Away::Gone), true)] {
        scene.server.set_away(away);
        assert_eq!(adr_get(&scene, &key).await.is_err(), adr_fails);
        assert_eq!(engine.read(&key).await.as_deref(), Some("Ada"));
    }
}

/// Who fails open sends everybody to the database.
#[tokio::test(start_paused = true)]
async fn the_cache_is_gone_and_everybody_asks_the_database() {
    const READERS: usize = 100;
    let limit = OriginLimit {
        concurrency: 8,
        queue: 100,
    };
    for (limit, at_once) in [(None, READERS), (Some(limit), 8)] {
        let (clock, policies) = (Clock::real(), durability::policies());
        let oracle = Arc::new(WriteBehindOracle::new(Arc::clone(&policies)));
        let (database, heard) = (ledger(&clock, &oracle), Arc::<Heard>::default());
        let server = Server::new(clock.clone());
        let surroundings = Surroundings {
            clock: clock.clone(),
            seed: Seed(1),
            observer: Arc::clone(&heard) as Arc<dyn Observer>,
            instance: 0,
        };
        let origin = Bounded::new(database.clone(), limit, heard);
        let engine = Engine::new(policies, None, Some(server.connect()), origin, surroundings);
        server.set_away(Some(Away::Gone));
        database.set_mood(Mood::Slow(Duration::from_millis(100)));
        let keys: Vec<_> = (0..READERS)
            .map(|n| Key::new(format!("customer:{n}")))
            .collect();
        let answers = join_all(keys.iter().map(|key| engine.get(CUSTOMER, key))).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(database.under_way_max(), at_once, "{limit:?}");
    }
}

/// The same, when several ask at once: the first makes up for what was missed, and the others do not
/// overtake it, nor does it matter if it gives up half-way.
#[tokio::test(start_paused = true)]
async fn others_ask_while_the_cache_is_being_told() {
    for gives_up in [false, true] {
        let scene = Scene::new(|_| ());
        let other = scene.instance(1);
        let keys = [1, 2].map(|n| Key::new(format!("item:{n}")));
        for key in &keys {
            scene.origin.set(key.as_str(), Some("old"));
            other.read(key).await;
        }
        let (engine, rig) = guarded(&scene);
        let engine = Arc::new(engine);
        let read = |key: &Key| {
            let (engine, key) = (Arc::clone(&engine), key.clone());
            tokio::spawn(async move { engine.get(ITEM, &key).await.expect("an answer") })
        };
        scene.server.set_away(Some(Away::Gone));
        let put = engine.put(ITEM, &keys[0], Bytes::from("new"));
        put.await.expect("a commit");
        scene.server.set_away(None);
        let telling = rig.stop_before(Call::Invalidate);
        let first = read(&keys[1]);
        telling.reached().await;
        let second = read(&keys[0]);
        scene.clock.sleep(Duration::from_millis(10)).await;
        if gives_up {
            first.abort();
        }
        telling.go();
        let seen = text(&second.await.expect("no panic"));
        assert_eq!(seen.as_deref(), Some("new"), "gives up: {gives_up}");
    }
}

type GuardedEngine = Engine<Guarded<Rigged<FakeRemote>>, ScriptedOrigin>;

fn guarded(scene: &Scene) -> (GuardedEngine, Arc<Rig>) {
    let surroundings = Surroundings {
        clock: scene.clock.clone(),
        seed: Seed(1),
        observer: Arc::clone(&scene.told) as Arc<dyn Observer>,
        instance: 0,
    };
    let rig = Rig::new(scene.clock.clone(), None);
    let remote = Rigged::new(scene.server.connect(), &rig);
    let (limit, told) = (Duration::from_millis(500), Arc::clone(&scene.told) as _);
    let remote = Guarded::new(remote, None, limit, scene.clock.clone(), told);
    let (policies, origin) = (Arc::clone(&scene.policies), scene.origin.clone());
    let engine = Engine::new(policies, None, Some(remote), origin, surroundings);
    (engine, rig)
}

/// It comes back with what it held when it went, and the writes in between could not be told.
#[tokio::test(start_paused = true)]
async fn the_cache_comes_back_with_what_it_held() {
    for (guarded_too, left_behind) in [(false, "old"), (true, "new")] {
        let scene = Scene::new(|item| item.local_ttl = None);
        let key = Key::new("item:1");
        scene.origin.set(key.as_str(), Some("old"));
        scene.instance(1).read(&key).await;
        scene.server.set_away(Some(Away::Gone));
        let seen = if guarded_too {
            come_back(&scene, &guarded(&scene).0, &key).await
        } else {
            come_back(&scene, &scene.instance(0).engine, &key).await
        };
        assert_eq!(seen.as_deref(), Some(left_behind), "{guarded_too}");
    }
}

async fn come_back<R: Remote>(
    scene: &Scene,
    engine: &Engine<R, ScriptedOrigin>,
    key: &Key,
) -> Option<String> {
    let put = engine.put(ITEM, key, Bytes::from("new"));
    put.await.expect("a commit");
    scene.server.set_away(None);
    text(&engine.get(ITEM, key).await.expect("an answer"))
}
