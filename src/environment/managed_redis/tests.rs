//! Tests of [`super`] against the real redis-server.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use super::*;
use crate::environment::EvictionPolicy;
use crate::environment::redis_info::RedisInfo;
use crate::units::ByteSize;

const CONFIG: RedisConfig = RedisConfig {
    maxmemory: Some(ByteSize(64 << 20)),
    policy: EvictionPolicy::AllkeysLfu,
};

fn port_of(url: &str) -> u16 {
    let port = url.strip_prefix("redis://127.0.0.1:");
    let port = port.and_then(|rest| rest.strip_suffix("/0"));
    port.and_then(|port| port.parse().ok()).expect(url)
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

async fn connect(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).expect(url);
    let connection = client.get_multiplexed_async_connection().await;
    connection.expect("connect")
}

#[tokio::test]
async fn live_it_starts_as_configured_answers_and_leaves_nothing() {
    let clock = Clock::real();
    let mut redis = ManagedRedis::start(&CONFIG, &clock).await.expect("start");
    let (folder, port) = (redis.process.folder().to_owned(), port_of(redis.url()));
    let mut connection = connect(redis.url()).await;
    let info = RedisInfo::fetch(&mut connection, &clock, ASK_LIMIT).await;
    let info = info.expect("INFO");
    assert_eq!(info.maxmemory, CONFIG.maxmemory);
    assert_eq!(info.maxmemory_policy, "allkeys-lfu");
    assert_eq!(info.version, redis.version());
    assert_eq!(info.process_id, Some(redis.pid()));
    assert!(info.calls_of("ping") > 0 && !info.loading && info.role == "master");
    let settings: Vec<(String, String)> = redis::cmd("CONFIG")
        .arg("GET")
        .arg(&["save", "appendonly", "bind", "maxclients"])
        .query_async(&mut connection)
        .await
        .expect("CONFIG GET");
    let setting = |name: &str| {
        let found = settings.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(setting("save"), Some(""));
    assert_eq!(setting("appendonly"), Some("no"));
    assert_eq!(setting("bind"), Some("127.0.0.1"));
    assert_eq!(redis.died(), None);
    assert!(folder.is_dir() && listens(port));
    redis.stop().await.expect("stop");
    assert!(!folder.exists() && !listens(port));
}

#[tokio::test]
async fn live_dropping_it_leaves_nothing() {
    let redis = ManagedRedis::start(&CONFIG, &Clock::real()).await;
    let redis = redis.expect("start");
    let (folder, port) = (redis.process.folder().to_owned(), port_of(redis.url()));
    assert!(listens(port));
    drop(redis);
    assert!(!folder.exists() && !listens(port));
}

#[tokio::test]
async fn live_two_servers_live_side_by_side_and_hold_their_own_keys() {
    let clock = Clock::real();
    let no_limit = RedisConfig {
        maxmemory: None,
        policy: EvictionPolicy::Noeviction,
    };
    let (one, two) = tokio::join!(
        ManagedRedis::start(&CONFIG, &clock),
        ManagedRedis::start(&no_limit, &clock)
    );
    let (one, two) = (one.expect("start"), two.expect("start"));
    assert_ne!((one.url(), one.pid()), (two.url(), two.pid()));
    let mut connection = connect(one.url()).await;
    let set = redis::cmd("SET").arg("key").arg(1).to_owned();
    set.query_async::<()>(&mut connection).await.expect("SET");
    let info = RedisInfo::fetch(&mut connection, &clock, ASK_LIMIT).await;
    assert_eq!(info.expect("INFO").keys_in(0), 1);
    one.stop().await.expect("stop");
    let mut connection = connect(two.url()).await;
    let info = RedisInfo::fetch(&mut connection, &clock, ASK_LIMIT).await;
    let info = info.expect("the other still answers");
    assert_eq!((info.keys_in(0), info.maxmemory), (0, None));
    assert_eq!(info.maxmemory_policy, "noeviction");
}

#[tokio::test]
async fn live_its_death_is_reported() {
    let clock = Clock::real();
    let mut redis = ManagedRedis::start(&CONFIG, &clock).await.expect("start");
    let mut connection = connect(redis.url()).await;
    let mut shutdown = redis::cmd("SHUTDOWN");
    shutdown.arg("NOSAVE");
    // The answer to SHUTDOWN is that the connection ends.
    let _ = shutdown.query_async::<()>(&mut connection).await;
    let deadline = clock.now() + START_LIMIT;
    let death = loop {
        if let Some(death) = redis.died() {
            break death;
        }
        assert!(clock.now() < deadline, "it should have ended");
        clock.sleep(START_POLL).await;
    };
    assert!(death.starts_with("it ended with exit code 0"), "{death}");
    assert!(death.contains("bye bye"), "{death}");
}

#[tokio::test]
async fn live_a_taken_port_is_noticed() {
    let clock = Clock::real();
    let first = ManagedRedis::start(&CONFIG, &clock).await.expect("start");
    let program = process::find_program(&PROGRAMS).expect("a server");
    let settings = Settings::alone(&CONFIG);
    let second = ManagedRedis::attempt(&program, port_of(first.url()), &settings, &clock).await;
    assert!(matches!(second, Ok(Attempt::PortTaken)));
}

#[tokio::test]
async fn live_a_server_that_dies_at_once_says_why() {
    let program = process::find_program(&["ls"]).expect("ls");
    let error =
        ManagedRedis::start_program(&program, &Settings::alone(&CONFIG), &Clock::real()).await;
    let error = error.expect_err("ls is no server").to_string();
    assert!(
        error.contains("did not start: it ended with exit code"),
        "{error}"
    );
    assert!(error.contains("--bind"), "the log is in it: {error}");
}

/// Not a test, but the program that the next test kills.
#[tokio::test]
#[ignore = "runs until its input ends; started by live_a_killed_owner_takes_its_server_along"]
async fn owner() {
    let redis = ManagedRedis::start(&CONFIG, &Clock::real()).await;
    let redis = redis.expect("start");
    println!("\nurl {}", redis.url());
    println!("folder {}", redis.process.folder().display());
    // Ends without the server having been stopped only if it is killed.
    let _ = io::stdin().read(&mut [0]);
}

#[tokio::test]
async fn live_a_killed_owner_takes_its_server_along() {
    let mut owner = Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("environment::managed_redis::tests::owner")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the owner");
    let output = BufReader::new(owner.stdout.take().expect("its output"));
    let mut lines = output.lines().map_while(Result::ok);
    let mut told = |word: &str| {
        let line = lines.find(|line| line.starts_with(word));
        line.and_then(|line| line.split_once(' ').map(|(_, told)| told.to_owned()))
    };
    let port = port_of(&told("url ").expect("a URL"));
    let folder = told("folder ").expect("a folder");
    let folder = Path::new(&folder);
    assert!(listens(port) && folder.is_dir());
    owner.kill().expect("kill");
    owner.wait().expect("wait");
    let clock = Clock::real();
    let deadline = clock.now() + START_LIMIT;
    while listens(port) || folder.exists() {
        assert!(clock.now() < deadline, "its server should be gone");
        clock.sleep(START_POLL).await;
    }
}

#[test]
fn every_policy_is_spelled_as_redis_and_scenarios_do() {
    let spelled = |policy: EvictionPolicy| serde_json::to_value(policy).expect("a word");
    for policy in [
        EvictionPolicy::Noeviction,
        EvictionPolicy::AllkeysLru,
        EvictionPolicy::AllkeysLfu,
        EvictionPolicy::AllkeysRandom,
        EvictionPolicy::VolatileLru,
        EvictionPolicy::VolatileLfu,
        EvictionPolicy::VolatileRandom,
        EvictionPolicy::VolatileTtl,
    ] {
        assert_eq!(spelled(policy), policy_name(policy));
    }
}

#[test]
fn without_a_server_the_error_says_what_to_do() {
    insta::assert_snapshot!(
        EnvironmentError::RedisNotFound,
        @"redis-server was not found on PATH: install it (apt-get install redis-server, brew install redis), run `make setup`, or give --redis URL"
    );
}
