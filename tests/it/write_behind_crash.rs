//! Write-behind through real crashes: processes that write and consume are killed (SIGKILL) at any
//! moment, and whatever they were told is accepted is in the database in the end, once.
//!
//! The processes are this test binary itself. The database stands outside of them, in a second
//! Redis, or it would die with them.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use cachestorm::engine::data_type::{DataTypeId, Key, Limit};
use cachestorm::engine::event::Observer;
use cachestorm::engine::layer::{Admission, LayerError, Origin, QueuedWrite, Row, Version};
use cachestorm::engine::write_behind::policy::WriteBehind;
use cachestorm::engine::{Engine, Surroundings};
use cachestorm::environment::managed_redis::ManagedRedis;
use cachestorm::environment::{EvictionPolicy, RedisConfig};
use cachestorm::seed::Seed;
use rand::RngExt as _;
use redis::aio::MultiplexedConnection;

use crate::support::durability::{ACTIVITY, Heard, Scene, connection, policies, remote};

const REDIS: &str = "CACHESTORM_TEST_REDIS";
const DATABASE: &str = "CACHESTORM_TEST_DATABASE";
const LIFE: &str = "CACHESTORM_TEST_LIFE";
const LIVES: u64 = 6;
const LIMITS: WriteBehind = WriteBehind {
    queue_max: 100_000,
    batch: 20,
    max_deliveries: 100,
    claim_after: Duration::from_millis(500),
    on_full: cachestorm::engine::write_behind::policy::OnFull::Sync,
};

/// A database in a Redis of its own: an upsert by version, many rows in one transaction.
struct Table {
    connection: MultiplexedConnection,
    clock: cachestorm::clock::Clock,
}

const UPSERT: &str = r"
for i = 1, #ARGV, 3 do
  local held = redis.call('HGET', 'versions', ARGV[i])
  if not held or tonumber(held) < tonumber(ARGV[i + 1]) then
    redis.call('HSET', 'versions', ARGV[i], ARGV[i + 1])
    redis.call('HSET', 'values', ARGV[i], ARGV[i + 2])
    redis.call('HINCRBY', 'writes', ARGV[i], 1)
  end
end";

impl Origin for Table {
    async fn load(&self, _: DataTypeId, _: &Key) -> Result<Row, LayerError> {
        Err(LayerError::Unsupported("the table", "loading"))
    }

    async fn store(&self, _: DataTypeId, _: &Key, _: Bytes) -> Result<Row, LayerError> {
        Err(LayerError::Unsupported("the table", "storing one row"))
    }

    async fn store_batch(&self, writes: &[QueuedWrite]) -> Result<(), LayerError> {
        let script = redis::Script::new(UPSERT);
        let mut call = script.prepare_invoke();
        for write in writes {
            call.arg(write.key.as_str())
                .arg(write.version.0)
                .arg(&write.value[..]);
        }
        call.invoke_async::<()>(&mut self.connection.clone())
            .await
            .map_err(|error| LayerError::Unreachable("the table", error.to_string()))?;
        // Committed, and not yet acknowledged: the moment in which a crash delivers again.
        self.clock.sleep(Duration::from_millis(20)).await;
        Ok(())
    }

    async fn admit(&self, _: DataTypeId, _: &Key, _: Limit) -> Result<Admission, LayerError> {
        Err(LayerError::Unsupported("the table", "counting"))
    }
}

async fn table(url: &str) -> Table {
    Table {
        connection: connection(url).await,
        clock: cachestorm::clock::Clock::real(),
    }
}

/// One life: writes and consumes until it is killed, and says on its standard output what was
/// accepted.
#[tokio::test]
#[ignore = "runs until it is killed; started by live_processes_that_are_killed_lose_nothing"]
async fn a_life() {
    let Ok(redis) = std::env::var(REDIS) else {
        return;
    };
    let database = std::env::var(DATABASE).expect("the parent names it");
    let life: u64 = std::env::var(LIFE)
        .ok()
        .and_then(|life| life.parse().ok())
        .expect("the parent names it");
    let surroundings = Surroundings {
        clock: cachestorm::clock::Clock::real(),
        seed: Seed(life),
        observer: Arc::new(Heard::default()) as Arc<dyn Observer>,
        instance: life,
    };
    let engine = Engine::new(
        policies(),
        None,
        Some(remote(&redis).await),
        table(&database).await,
        surroundings,
    );
    let engine = Arc::new(engine.with_write_behind(LIMITS));
    // Every other life has the name of an earlier one, as an instance that is started again.
    let consumer = format!("consumer-{}", life % 3);
    let consuming = Arc::clone(&engine);
    tokio::spawn(async move { consuming.consume(&consumer).await });
    for n in 0..100_000 {
        // A key of its own, and one that all lives share.
        for key in [format!("activity:{life}-{n}"), "activity:shared".to_owned()] {
            let key = Key::new(key);
            let value = Bytes::from(format!("{life}/{n}"));
            let written = engine.put(ACTIVITY, &key, value).await.expect("accepted");
            println!("accepted {key} {} {life}/{n}", written.version);
        }
    }
}

fn start_life(life: u64, redis: &str, database: &str) -> Child {
    let binary = std::env::current_exe().expect("this binary");
    Command::new(binary)
        .args(["--exact", "write_behind_crash::a_life"])
        .args(["--ignored", "--nocapture", "--test-threads=1"])
        .env(REDIS, redis)
        .env(DATABASE, database)
        .env(LIFE, life.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the test binary starts again")
}

/// Lets a life be until it has told of `enough` writes, kills it, and gives all it told.
fn live_and_die(mut child: Child, enough: usize) -> Vec<(Key, Version, String)> {
    let output = child.stdout.take().expect("piped");
    let mut told = Vec::new();
    let mut killed = false;
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        // The last line may be cut off: then nobody was told.
        let mut words = line
            .split(' ')
            .skip_while(|word| *word != "accepted")
            .skip(1);
        let (Some(key), Some(version), Some(value), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let version = Version(version.parse().expect("a version"));
        told.push((Key::new(key), version, value.to_owned()));
        if told.len() >= enough && !killed {
            child.kill().expect("SIGKILL");
            killed = true;
        }
    }
    if !killed {
        child.kill().expect("SIGKILL");
    }
    child.wait().expect("it is gone");
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_processes_that_are_killed_lose_nothing() {
    let scene = Scene::new().await;
    let config = RedisConfig {
        maxmemory: None,
        policy: EvictionPolicy::Noeviction,
    };
    let database = ManagedRedis::start(&config, &scene.clock).await;
    let database = database.expect("redis-server starts");
    let mut random = Seed(7).stream("crashes");
    let mut accepted: HashMap<Key, (Version, String)> = HashMap::new();
    for life in 0..LIVES {
        let child = start_life(life, scene.redis.url(), database.url());
        let enough = random.random_range(40..200);
        let told = tokio::task::spawn_blocking(move || live_and_die(child, enough)).await;
        let told = told.expect("no panic");
        assert!(told.len() >= enough, "life {life} ended by itself");
        for (key, version, value) in told {
            scene.oracle.accepted(&key, version);
            let newest = accepted.entry(key).or_default();
            if version > newest.0 {
                *newest = (version, value);
            }
        }
    }
    let waiting = scene.number("XLEN", &["test:write-behind"]).await;
    assert!(
        waiting > 0,
        "every life had done its work: no crash was tested"
    );

    let engine = scene.assemble(63, scene.remote().await, table(database.url()).await);
    let engine = engine.with_write_behind(LIMITS);
    assert!(engine.drain("the heir", Duration::from_secs(20)).await);
    assert!(scene.heard.redelivered.load(Ordering::SeqCst) > 0);
    assert_eq!(*scene.heard.buried.lock(), []);

    let mut connection = connection(database.url()).await;
    let mut all = async |hash: &str| -> HashMap<String, String> {
        let mut command = redis::cmd("HGETALL");
        command.arg(hash);
        command.query_async(&mut connection).await.expect("HGETALL")
    };
    let (versions, values) = (all("versions").await, all("values").await);
    for (key, version) in &versions {
        let version = Version(version.parse().expect("a version"));
        scene.oracle.committed(&Key::new(key.as_str()), version);
    }
    let found = scene.oracle.finding(None);
    assert_eq!((found.violations, &*found.worst), (0, ""));
    assert!(found.checked >= 40 * LIVES);
    for (key, (version, value)) in &accepted {
        // A life may have been killed between the acceptance and its telling.
        if versions[key.as_str()] == version.to_string() {
            assert_eq!(&values[key.as_str()], value, "{key}");
        } else {
            assert_eq!(key.as_str(), "activity:shared");
        }
    }
    let writes = all("writes").await;
    let doubled: Vec<_> = writes
        .iter()
        .filter(|(key, writes)| *key != "activity:shared" && *writes != "1")
        .collect();
    assert!(doubled.is_empty(), "written more than once: {doubled:?}");
}
