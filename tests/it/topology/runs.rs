//! Whole runs over every topology, managed and external.

use cachestorm::clock::Clock;
use cachestorm::engine::layer::Remote;
use cachestorm::engine::remote::redis::{Nodes, Topology};
use cachestorm::environment::MemcachedConfig;
use cachestorm::environment::managed_memcached::ManagedMemcached;
use cachestorm::environment::memcached_info::MemcachedInfo;
use cachestorm::environment::redis_topology::TopologyConfig;

use super::{LAG, TTL, connect, entry, items, start, view};
use crate::cli::ShortRun;
#[test]
fn live_a_run_needs_nothing_but_the_servers_program_for_any_topology() {
    let cases = [
        ("replicated", "replica"),
        ("sentinel", "primary"),
        ("cluster", "primary"),
    ];
    for (topology, read_from) in cases {
        let run = ShortRun::new();
        let (code, stdout, stderr) = run.output(&[
            "--set",
            &format!("layers.remote.topology={topology}"),
            "--set",
            &format!("layers.remote.read_from={read_from}"),
            "--set",
            "layers.remote.persistence=aof",
            "--set",
            "baseline=none",
        ]);
        assert!(code == 0 || code == 3, "exit {code}\n{stdout}\n{stderr}");
        let report = run.report();
        assert_eq!(report["environment"]["redis_topology"], topology);
        assert_eq!(report["environment"]["redis_managed"], true);
        assert_eq!(report["requests"]["errors"], 0, "{topology}");
        for (name, oracle) in report["oracles"].as_object().expect("oracles") {
            // Replicas are behind by a moment, and a user may see that.
            let may_lag = read_from == "replica" && (name == "monotonic" || name == "staleness");
            if !may_lag {
                assert_eq!(
                    oracle["violations"], 0,
                    "{topology} {name}: {}",
                    oracle["worst"]
                );
            }
        }
        let checked = report["oracles"]["remote_lookups"]["checked"].as_u64();
        assert!(checked > Some(0), "{topology}: no lookup was counted");
        let written = report["oracles"]["write_behind"]["checked"].as_u64();
        assert!(written > Some(0), "{topology}: nothing was written behind");
        assert!(report["redis"]["keys"].as_u64() > Some(100), "{topology}");
        run.nothing_is_left();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn live_an_existing_cluster_keeps_its_keys_and_none_of_ours() {
    let topology = TopologyConfig {
        replicas: 0,
        password: Some("se/cret".to_owned()),
        ..TopologyConfig::of(Topology::Cluster)
    };
    let redis = start(&topology).await;
    let theirs = connect(redis.url()).await.expect("connected");
    for key in items(30) {
        theirs.fill(&key, &entry(1), TTL).await.expect("stored");
    }
    let run = ShortRun::new();
    let url = redis.url().to_owned();
    let (code, stdout, stderr) = run.output(&["--redis", &url, "--set", "baseline=none"]);
    assert!(code == 0 || code == 3, "exit {code}\n{stdout}\n{stderr}");
    let report = run.report();
    assert_eq!(report["environment"]["redis_topology"], "cluster");
    assert_eq!(report["environment"]["redis_managed"], false);
    assert!(report["redis"]["keys"].as_u64() > Some(100));
    let nodes = Nodes::open(redis.url()).expect("a URL of ours");
    let mut left = Vec::new();
    for node in redis.nodes() {
        let connection = nodes.connect(&node.address(), LAG).await;
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query_async(&mut connection.expect("connected"))
            .await
            .expect("KEYS");
        left.extend(keys);
    }
    assert_eq!(left.len(), 30, "{left:?}");
    assert!(
        left.iter().all(|key| key.starts_with("test:item:")),
        "{left:?}"
    );
}

/// TLS, a login for the servers, the Sentinels' own, and a path of invalidations that each failover
/// cuts: all of it by one URL.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn live_existing_sentinels_lead_to_their_primary() {
    let topology = TopologyConfig {
        replicas: 1,
        password: Some("se/cret".to_owned()),
        tls: true,
        ..TopologyConfig::of(Topology::Sentinel)
    };
    let redis = start(&topology).await;
    assert!(
        redis.url().starts_with("rediss+sentinel://"),
        "{}",
        redis.url()
    );
    let run = ShortRun::new();
    let url = redis.url().to_owned();
    let tracking = "layers.remote.invalidation.transport=tracking";
    let arguments = ["--redis", &url, "--set", "baseline=none", "--set", tracking];
    let (code, stdout, stderr) = run.output(&arguments);
    assert!(code == 0 || code == 3, "exit {code}\n{stdout}\n{stderr}");
    assert!(
        !stdout.contains("cret") && !stderr.contains("cret"),
        "{stderr}"
    );
    let report = run.report();
    assert_eq!(report["environment"]["redis_topology"], "sentinel");
    assert_eq!(report["requests"]["errors"], 0);
    for (name, oracle) in report["oracles"].as_object().expect("oracles") {
        assert_eq!(oracle["violations"], 0, "{name}: {}", oracle["worst"]);
    }
    for node in view(&url).await.nodes() {
        let nodes = Nodes::open(&url).expect("a URL of ours");
        let connection = nodes.connect(node, LAG).await;
        let left: u64 = redis::cmd("DBSIZE")
            .query_async(&mut connection.expect("connected"))
            .await
            .expect("DBSIZE");
        assert_eq!(left, 0, "{node}");
    }
    // From replicas that would be told of nothing in time.
    let sign = if url.contains('?') { '&' } else { '?' };
    let from_replicas = format!("{url}{sign}read_from=replica");
    let refused = ShortRun::new();
    let (code, _, stderr) = refused.output(&[
        "--redis",
        &from_replicas,
        "--set",
        "baseline=none",
        "--set",
        tracking,
    ]);
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains("transport=pubsub"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn live_an_existing_memcached_keeps_its_items() {
    let clock = Clock::real();
    let config = MemcachedConfig { memory_mib: 16 };
    let server = ManagedMemcached::start(config, &clock).await;
    let server = server.expect("memcached comes up");
    let address = server.address();
    let place = address.to_string();
    let store = "layers.remote={store: memcached}";
    let arguments = [
        "--memcached",
        &place,
        "--set",
        "baseline=none",
        "--set",
        store,
    ];
    let run = ShortRun::new();
    let (code, stdout, stderr) = run.output(&arguments);
    assert!(code == 0 || code == 3, "exit {code}\n{stdout}\n{stderr}");
    let report = run.report();
    for (name, oracle) in report["oracles"].as_object().expect("oracles") {
        assert_eq!(oracle["violations"], 0, "{name}: {}", oracle["worst"]);
    }
    run.nothing_is_left();
    let after = MemcachedInfo::fetch(address, &clock, LAG).await;
    assert!(after.expect("it lives").counts.gets > 0, "it was asked");
    server.stop().await.expect("stopped");
    let (code, _, stderr) = ShortRun::new().output(&arguments);
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains(&place), "{stderr}");
}
