//! The Redis of a run: started for it, or one that exists already.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};

use crate::clock::{Clock, Timestamp};
use crate::engine::data_type::PolicyTable;
use crate::environment::RedisConfig;
use crate::environment::error::EnvironmentError;
use crate::environment::keyspace::ttl::{self, TtlBudget, TtlSample};
use crate::environment::keyspace::{self, RunPrefix, probe};
use crate::environment::managed_redis::ManagedRedis;
use crate::environment::redis_info::RedisInfo;

/// How long one question to Redis may take.
const ASK_LIMIT: Duration = Duration::from_millis(800);
/// How long deleting the keys of a run may take.
const CLEAN_LIMIT: Duration = Duration::from_secs(10);
/// How much is looked at for the distribution of TTLs, when nothing is measured any more.
const TTL_BUDGET: TtlBudget = TtlBudget {
    keys_max: 50_000,
    limit: Duration::from_secs(2),
};
/// How many questions in a row must fail until an existing Redis counts as gone.
const FAILURES_MAX: u32 = 3;

/// What to tell about it in the report.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) version: String,
    pub(super) managed: bool,
}

/// The Redis of a run.
pub(super) struct RedisServer {
    url: String,
    version: String,
    prefix: RunPrefix,
    /// `None` for one that exists already.
    managed: Option<ManagedRedis>,
    connection: Option<MultiplexedConnection>,
    failures: u32,
}

impl RedisServer {
    /// Starts a Redis as `config` says, or uses the one at `url`.
    pub(super) async fn up(
        config: &RedisConfig,
        url: Option<&str>,
        prefix: RunPrefix,
        clock: &Clock,
    ) -> Result<Self, EnvironmentError> {
        let (url, version, managed) = if let Some(url) = url {
            (url.to_owned(), probe(url, clock).await?.version, None)
        } else {
            let managed = ManagedRedis::start(config, clock).await?;
            (
                managed.url().to_owned(),
                managed.version().to_owned(),
                Some(managed),
            )
        };
        Ok(Self {
            url,
            version,
            prefix,
            managed,
            connection: None,
            failures: 0,
        })
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            version: self.version.clone(),
            managed: self.managed.is_some(),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn prefix(&self) -> &RunPrefix {
        &self.prefix
    }

    /// What Redis says of itself now; `None` if it does not answer.
    pub(super) async fn info(&mut self, clock: &Clock) -> Option<RedisInfo> {
        let connection = self.connect(clock).await?;
        let info = RedisInfo::fetch(connection, clock, ASK_LIMIT).await.ok();
        if info.is_some() {
            self.failures = 0;
        } else {
            self.failures += 1;
            self.connection = None;
        }
        info
    }

    /// How it died, if it did.
    pub(super) fn died(&mut self) -> Option<String> {
        if let Some(managed) = &mut self.managed {
            return managed.died();
        }
        (self.failures >= FAILURES_MAX)
            .then(|| format!("it answered none of the last {FAILURES_MAX} questions"))
    }

    /// How many keys this run has in it now.
    pub(super) async fn keys(&mut self, info: &RedisInfo, clock: &Clock) -> Option<u64> {
        // All keys of a Redis of our own are ours; in another's they must be counted.
        if self.managed.is_some() {
            return Some(info.keys_in(0));
        }
        let prefix = self.prefix.clone();
        let connection = self.connect(clock).await?;
        keyspace::count_keys(connection, &prefix, clock, CLEAN_LIMIT)
            .await
            .ok()
    }

    /// The TTLs that this run's keys have left, as far as a look at them may take.
    pub(super) async fn ttls(
        &mut self,
        policies: &PolicyTable,
        clock: &Clock,
    ) -> Option<TtlSample> {
        let prefix = self.prefix.clone();
        let nodes = std::slice::from_mut(self.connect(clock).await?);
        ttl::sample(nodes, &prefix, policies, (clock, TTL_BUDGET))
            .await
            .ok()
    }

    /// Ends it, or deletes what the run wrote into it. Gives what could not be cleaned up.
    pub(super) async fn down(mut self, clock: &Clock) -> Vec<String> {
        if let Some(managed) = self.managed.take() {
            return managed
                .stop()
                .await
                .err()
                .map(|error| error.to_string())
                .into_iter()
                .collect();
        }
        let prefix = self.prefix.clone();
        let Some(connection) = self.connect(clock).await else {
            let pattern = prefix.pattern();
            return vec![format!(
                "Redis does not answer: keys {pattern} stay until their TTLs end"
            )];
        };
        let deleted = keyspace::delete_all(connection, &prefix, clock, CLEAN_LIMIT).await;
        deleted
            .err()
            .map(|error| error.to_string())
            .into_iter()
            .collect()
    }

    async fn connect(&mut self, clock: &Clock) -> Option<&mut MultiplexedConnection> {
        if self.connection.is_none() {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(ASK_LIMIT))
                .set_response_timeout(Some(CLEAN_LIMIT));
            let client = Client::open(self.url.as_str()).ok()?;
            let connecting = client.get_multiplexed_async_connection_with_config(&config);
            match clock.timeout(ASK_LIMIT, connecting).await {
                Ok(Ok(connection)) => self.connection = Some(connection),
                _ => self.failures += 1,
            }
        }
        self.connection.as_mut()
    }
}

/// What was read of Redis at one moment.
#[derive(Clone, Debug)]
pub(super) struct RedisReading {
    pub(super) at: Timestamp,
    pub(super) info: RedisInfo,
}
