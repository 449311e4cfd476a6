//! What every topology promises, on real servers.

use std::time::Duration;

use cachestorm::clock::Clock;
use cachestorm::engine::remote::redis::{NodeAddress, Nodes};
use cachestorm::environment::redis_info::RedisInfo;

use super::{LAG, connect};
use crate::conformance::Pair;

/// What every topology promises.
pub(super) async fn conformance(url: &str) {
    let (one, other) = tokio::join!(connect(url), connect(url));
    let pair = Pair {
        clock: Clock::real(),
        one: one.expect("connected"),
        other: other.expect("connected"),
    };
    if url.contains("read_from=replica") {
        Box::pin(pair.keeps_what_may_be_late()).await;
    } else {
        Box::pin(pair.keeps_everything()).await;
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
