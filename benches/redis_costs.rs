//! What a real Redis' thread spends on a command: the costs of the modelled one.
//!
//! `cargo bench --bench redis_costs --profile dev` starts a server and prints, per command, the
//! processor time of its main thread, alone on a connection and with 50 in flight, beside what the
//! server says of the execution alone (`INFO commandstats`). The profile does not matter: the server
//! is measured, not we. `CommandCosts::MEASURED` is from here. It must never become a test: it asserts
//! nothing.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints what it measures, and may stop at an impossible error"
)]

use std::time::Duration;

use cachestorm::clock::Clock;
use cachestorm::environment::managed_redis::ManagedRedis;
use cachestorm::environment::{EvictionPolicy, RedisConfig};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, cmd};

const ASK_LIMIT: Duration = Duration::from_secs(10);
const KEYS: usize = 100_000;
const IN_FLIGHT: [usize; 2] = [1, 50];
/// Compares, then stores: as the scripts of the remote layer do.
const SCRIPT: &str = "local head = redis.call('GETRANGE', KEYS[1], 0, 8) \
     if #head == 9 and struct.unpack('>I8', head, 2) > struct.unpack('>I8', ARGV[1], 2) then \
     return 0 end \
     redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let config = RedisConfig {
        maxmemory: None,
        policy: EvictionPolicy::Noeviction,
    };
    let server = ManagedRedis::start(&config, &Clock::real()).await;
    let server = server.expect("redis-server starts");
    let mut bench = Bench::new(&server).await;
    println!(
        "Redis {}, microseconds of its main thread per command",
        server.version()
    );
    println!("  command       value   execution       alone   50 in flight");
    for value_bytes in [100, 1_024, 10_240] {
        let value = "e".repeat(value_bytes);
        let set = |key: &str| command("SET", &[key, &value, "PX", "3600000"]);
        bench.report("set", value_bytes, 20_000, set).await;
        bench
            .report("get", value_bytes, 20_000, |key| command("GET", &[key]))
            .await;
        let sha = bench.sha.clone();
        let script = |key: &str| command("EVALSHA", &[&sha, "1", key, &value, "3600000"]);
        bench.report("evalsha", value_bytes, 20_000, script).await;
    }
    let value = "e".repeat(100);
    let publish = |_: &str| command("PUBLISH", &["channel", &value]);
    bench.report("publish", 100, 20_000, publish).await;
    let add = |_: &str| {
        command(
            "XADD",
            &["queue", "MAXLEN", "~", "100000", "*", "v", &value],
        )
    };
    bench.report("xadd", 100, 20_000, add).await;
    let group = [
        "GROUP", "group", "consumer", "COUNT", "10", "STREAMS", "queue", ">",
    ];
    let read = |_: &str| command("XREADGROUP", &group);
    bench.report("xreadgroup", 1_000, 1_900, read).await;
    bench.fill(&value).await;
    let scan = |_: &str| command("SCAN", &["0", "MATCH", "none*", "COUNT", "1000"]);
    bench.report("scan", 0, 1_000, scan).await;
    bench
        .report("unlink", 100, KEYS / 2, |key| command("UNLINK", &[key]))
        .await;
    server.stop().await.expect("stop");
}

fn command(name: &str, arguments: &[&str]) -> Cmd {
    let mut command = cmd(name);
    for argument in arguments {
        command.arg(argument);
    }
    command
}

struct Bench {
    /// Carries the commands that are measured.
    busy: MultiplexedConnection,
    /// Asks how long they took.
    watch: MultiplexedConnection,
    sha: String,
}

impl Bench {
    async fn new(server: &ManagedRedis) -> Self {
        let client = redis::Client::open(server.url()).expect("a URL");
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(ASK_LIMIT));
        let busy = client.get_multiplexed_async_connection_with_config(&config);
        let mut busy = busy.await.expect("Redis answers");
        let watch = client.get_multiplexed_async_connection_with_config(&config);
        let load = command("SCRIPT", &["LOAD", SCRIPT]);
        let sha = load.query_async(&mut busy).await.expect("SCRIPT LOAD");
        let group = command("XGROUP", &["CREATE", "queue", "group", "$", "MKSTREAM"]);
        group.query_async::<()>(&mut busy).await.expect("XGROUP");
        Self {
            busy,
            watch: watch.await.expect("Redis answers"),
            sha,
        }
    }

    /// Every key, so that SCAN and UNLINK find them.
    async fn fill(&mut self, value: &str) {
        for first in (0..KEYS).step_by(1_000) {
            let mut pipe = redis::pipe();
            for nth in first..first + 1_000 {
                pipe.cmd("SET").arg(key(nth)).arg(value).ignore();
            }
            pipe.query_async::<()>(&mut self.busy).await.expect("SET");
        }
    }

    /// Prints a line: so many calls alone, and as many together.
    async fn report(
        &mut self,
        name: &str,
        value_bytes: usize,
        calls: usize,
        make: impl Fn(&str) -> Cmd,
    ) {
        let mut thread_us = [0.0; 2];
        let mut execution_us = 0.0;
        for (nth, in_flight) in IN_FLIGHT.into_iter().enumerate() {
            let reset = command("CONFIG", &["RESETSTAT"]);
            reset
                .query_async::<()>(&mut self.watch)
                .await
                .expect("CONFIG");
            let before = self.thread_seconds().await;
            for first in (0..calls).step_by(in_flight) {
                let mut pipe = redis::pipe();
                for call in first..first + in_flight {
                    // Keys of their own for each way, and in no order that a cache could foresee.
                    let at = (nth * calls + call) * 7_919 % KEYS;
                    pipe.add_command(make(&key(at))).ignore();
                }
                pipe.query_async::<()>(&mut self.busy).await.expect(name);
            }
            let spent = self.thread_seconds().await - before;
            thread_us[nth] = spent * 1e6 / calls.next_multiple_of(in_flight) as f64;
            let told = self.info("commandstats").await;
            let line = told
                .lines()
                .find(|line| line.starts_with(&format!("cmdstat_{name}:")));
            let field =
                line.and_then(|line| line.split("usec_per_call=").nth(1)?.split(',').next());
            execution_us = field
                .and_then(|field| field.parse().ok())
                .unwrap_or(f64::NAN);
        }
        let [alone, together] = thread_us;
        println!("  {name:<12} {value_bytes:6} {execution_us:11.2} {alone:11.2} {together:14.2}");
    }

    async fn thread_seconds(&mut self) -> f64 {
        let told = self.info("cpu").await;
        let fields = told.lines().filter_map(|line| line.split_once(':'));
        fields
            .filter(|(name, _)| name.ends_with("_main_thread"))
            .filter_map(|(_, value)| value.trim().parse::<f64>().ok())
            .sum()
    }

    async fn info(&mut self, section: &str) -> String {
        let info = command("INFO", &[section]);
        info.query_async(&mut self.watch).await.expect("INFO")
    }
}

fn key(nth: usize) -> String {
    format!("customer:360:{nth}")
}
