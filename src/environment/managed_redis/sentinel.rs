//! Sentinels of a managed Redis: three processes that watch one primary.
//!
//! They find each other and the replicas by themselves; here it is waited for, because a Sentinel
//! that knows nobody fails nobody over.

use std::collections::HashMap;
use std::time::Duration;

use redis::FromRedisValue;

use super::settings::{SENTINELS, SERVICE};
use super::{ASK_LIMIT, ManagedRedis};
use crate::clock::Clock;
use crate::engine::remote::redis::Nodes;
use crate::environment::error::EnvironmentError;

/// They greet each other every two seconds.
const FORM_LIMIT: Duration = Duration::from_secs(20);
const FORM_POLL: Duration = Duration::from_millis(50);

/// Waits until every one of `sentinels` knows the others, and `replicas` replicas in good health.
pub(super) async fn formed(
    sentinels: &[ManagedRedis],
    replicas: u16,
    clock: &Clock,
) -> Result<(), EnvironmentError> {
    let deadline = clock.now() + FORM_LIMIT;
    for sentinel in sentinels {
        while let Err(missing) = ready(sentinel, replicas).await {
            if clock.now() >= deadline {
                return Err(EnvironmentError::NotFormed {
                    reason: format!("the Sentinel at {}: {missing}", sentinel.address()),
                    limit: FORM_LIMIT,
                });
            }
            clock.sleep(FORM_POLL).await;
        }
    }
    Ok(())
}

/// What is still missing.
async fn ready(sentinel: &ManagedRedis, replicas: u16) -> Result<(), String> {
    let primary: HashMap<String, String> = ask(sentinel, "MASTER").await?;
    let field = |name: &str| primary.get(name).map_or("", String::as_str);
    if field("flags") != "master" {
        return Err(format!("the primary is {:?}", field("flags")));
    }
    let others = (SENTINELS - 1).to_string();
    if field("num-other-sentinels") != others {
        return Err(format!("it knows {} others", field("num-other-sentinels")));
    }
    let known: Vec<HashMap<String, String>> = ask(sentinel, "REPLICAS").await?;
    let well = known.iter().filter(|replica| {
        let is = |name: &str, value: &str| replica.get(name).is_some_and(|found| found == value);
        is("flags", "slave") && is("master-link-status", "ok")
    });
    match well.count() {
        count if count == usize::from(replicas) => Ok(()),
        count => Err(format!("it knows {count} replicas in good health")),
    }
}

async fn ask<T: FromRedisValue>(sentinel: &ManagedRedis, about: &str) -> Result<T, String> {
    let nodes = Nodes::open(sentinel.url()).map_err(|error| error.to_string())?;
    let mut connection = nodes
        .connect(&sentinel.address(), ASK_LIMIT)
        .await
        .map_err(|error| error.to_string())?;
    redis::cmd("SENTINEL")
        .arg(about)
        .arg(SERVICE)
        .query_async(&mut connection)
        .await
        .map_err(|error| error.to_string())
}
