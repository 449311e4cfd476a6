//! The Redis of a run: started for it, or one that exists already; one server or several.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;

use crate::clock::{Clock, Timestamp};
use crate::engine::data_type::PolicyTable;
use crate::engine::invalidation::Transport;
use crate::engine::remote::redis::{NodeAddress, Nodes, ReadFrom, Surveyor, Topology, View};
use crate::environment::RedisConfig;
use crate::environment::error::EnvironmentError;
use crate::environment::keyspace::ttl::{self, TtlBudget, TtlSample};
use crate::environment::keyspace::{self, RunPrefix, mask_url, probe};
use crate::environment::managed_redis::topology::ManagedTopology;
use crate::environment::redis_info::{RedisInfo, RedisLedger};
use crate::environment::redis_topology::TopologyConfig;
use crate::scenario::plan::{RemotePlan, StorePlan};

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
/// The same where somebody takes over from a primary that died, which takes a while.
const FAILURES_MAX_WITH_FAILOVER: u32 = 30;

/// What to tell about it in the report.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) version: String,
    pub(super) topology: Topology,
    pub(super) managed: bool,
}

/// The Redis of a run.
pub(super) struct RedisServer {
    /// With everything that a client must know.
    url: String,
    version: String,
    /// Of an existing one's (first) primary.
    run_id: Option<String>,
    topology: Topology,
    prefix: RunPrefix,
    /// `None` for one that exists already.
    managed: Option<ManagedTopology>,
    nodes: Nodes,
    surveyor: Surveyor,
    connections: BTreeMap<NodeAddress, MultiplexedConnection>,
    ledger: RedisLedger,
    failures: u32,
}

impl RedisServer {
    /// Starts a Redis as `plan` says, or uses the one at `url`.
    pub(super) async fn up(
        plan: &RemotePlan,
        url: Option<&str>,
        prefix: RunPrefix,
        clock: &Clock,
    ) -> Result<Self, EnvironmentError> {
        let setup = (&plan.redis, &plan.topology, plan.read_from);
        let server = Self::start(setup, url, prefix, clock).await?;
        let replica = server.nodes.address().read_from() == ReadFrom::Replica;
        if replica && plan.invalidation.transport == Transport::Tracking {
            return Err(server.refused(
                "client tracking tells of changes before replicas have them: leave \
                 read_from=replica out, or set layers.remote.invalidation.transport=pubsub",
            ));
        }
        Ok(server)
    }

    /// The same for a store beside `main`.
    pub(super) async fn up_aside(
        plan: &StorePlan,
        url: Option<&str>,
        main: &Self,
        clock: &Clock,
    ) -> Result<Self, EnvironmentError> {
        let setup = (&plan.redis, &plan.topology, ReadFrom::Primary);
        let server = Self::start(setup, url, main.prefix.clone(), clock).await?;
        if server.run_id.is_some() && server.run_id == main.run_id {
            return Err(server.refused(
                "this server is the cache's own: a store aside must be another one, or nothing \
                 stands aside",
            ));
        }
        Ok(server)
    }

    async fn start(
        (redis, topology, read_from): (&RedisConfig, &TopologyConfig, ReadFrom),
        url: Option<&str>,
        prefix: RunPrefix,
        clock: &Clock,
    ) -> Result<Self, EnvironmentError> {
        let (url, version, run_id, managed) = if let Some(url) = url {
            let url = reading_from(url, read_from);
            let info = probe(&url, clock).await?;
            (url, info.version, Some(info.run_id), None)
        } else {
            let managed = ManagedTopology::start(redis, topology, clock).await?;
            let url = reading_from(managed.url(), read_from);
            (url, managed.version().to_owned(), None, Some(managed))
        };
        let nodes = Nodes::open(&url).map_err(|error| EnvironmentError::BadUrl {
            url: mask_url(&url),
            reason: error.to_string(),
        })?;
        Ok(Self {
            version,
            run_id: run_id.filter(|id| !id.is_empty()),
            topology: nodes.address().topology(),
            prefix,
            managed,
            surveyor: Surveyor::new(nodes.clone()),
            nodes,
            url,
            connections: BTreeMap::new(),
            ledger: RedisLedger::default(),
            failures: 0,
        })
    }

    fn refused(&self, reason: &str) -> EnvironmentError {
        EnvironmentError::BadUrl {
            url: mask_url(&self.url),
            reason: reason.to_owned(),
        }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            version: self.version.clone(),
            topology: self.topology,
            managed: self.managed.is_some(),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn prefix(&self) -> &RunPrefix {
        &self.prefix
    }

    /// What its servers say of themselves now, added up; `None` if no primary answers.
    pub(super) async fn info(&mut self, clock: &Clock) -> Option<RedisReading> {
        let reading = self.read(clock).await;
        if reading.is_some() {
            self.failures = 0;
        } else {
            self.failures += 1;
        }
        reading
    }

    async fn read(&mut self, clock: &Clock) -> Option<RedisReading> {
        let view = self.survey(clock).await?;
        let addresses: Vec<NodeAddress> = view.nodes().cloned().collect();
        let asking = self.connect(&addresses, clock).await.into_iter().map(
            async |(address, mut connection)| {
                let info = RedisInfo::fetch(&mut connection, clock, ASK_LIMIT).await;
                (address, info.ok())
            },
        );
        let mut told = Vec::new();
        for (address, info) in join_all(asking).await {
            match info {
                Some(info) => told.push(info),
                None => drop(self.connections.remove(&address)),
            }
        }
        let info = self.ledger.enter(told)?;
        Some(RedisReading {
            at: clock.now(),
            info,
            lives_ended: self.ledger.lives_ended(),
        })
    }

    /// How it died, if it did.
    pub(super) fn died(&mut self) -> Option<String> {
        if let Some(managed) = &mut self.managed {
            return managed.died();
        }
        let most = if self.topology.fails_over() {
            FAILURES_MAX_WITH_FAILOVER
        } else {
            FAILURES_MAX
        };
        (self.failures >= most).then(|| format!("it answered none of the last {most} questions"))
    }

    /// How many keys this run has in it now.
    pub(super) async fn keys(&mut self, info: &RedisInfo, clock: &Clock) -> Option<u64> {
        // All keys of a Redis of our own are ours; in another's they must be counted.
        if self.managed.is_some() {
            return Some(info.keys_in(0));
        }
        let mut keys = 0;
        for mut connection in self.primaries(clock).await? {
            let counting = keyspace::count_keys(&mut connection, &self.prefix, clock, CLEAN_LIMIT);
            keys += counting.await.ok()?;
        }
        Some(keys)
    }

    /// The TTLs that this run's keys have left, as far as a look at them may take.
    pub(super) async fn ttls(
        &mut self,
        policies: &PolicyTable,
        clock: &Clock,
    ) -> Option<TtlSample> {
        let mut nodes = self.primaries(clock).await?;
        ttl::sample(&mut nodes, &self.prefix, policies, (clock, TTL_BUDGET))
            .await
            .ok()
    }

    /// Ends it, or deletes what the run wrote into it. Gives what could not be cleaned up.
    pub(super) async fn down(mut self, clock: &Clock) -> Vec<String> {
        if let Some(managed) = self.managed.take() {
            let stopped = managed.stop().await;
            return stopped
                .err()
                .map(|error| error.to_string())
                .into_iter()
                .collect();
        }
        let Some(primaries) = self.primaries(clock).await else {
            let pattern = self.prefix.pattern();
            return vec![format!(
                "Redis does not answer: keys {pattern} stay until their TTLs end"
            )];
        };
        let mut left = Vec::new();
        for mut connection in primaries {
            let deleting = keyspace::delete_all(&mut connection, &self.prefix, clock, CLEAN_LIMIT);
            left.extend(deleting.await.err().map(|error| error.to_string()));
        }
        left
    }

    async fn survey(&mut self, clock: &Clock) -> Option<View> {
        let surveyed = clock
            .timeout(ASK_LIMIT, Box::pin(self.surveyor.survey()))
            .await;
        surveyed.ok()?.ok()
    }

    /// A connection to each primary; `None` if one of them cannot be had.
    async fn primaries(&mut self, clock: &Clock) -> Option<Vec<MultiplexedConnection>> {
        let view = self.survey(clock).await?;
        let primaries: Vec<NodeAddress> =
            view.shards.into_iter().map(|shard| shard.primary).collect();
        let connections = self.connect(&primaries, clock).await;
        let connections: Vec<_> = connections.into_iter().map(|(_, one)| one).collect();
        (connections.len() == primaries.len()).then_some(connections)
    }

    /// Connections to those of `addresses` that can be reached.
    async fn connect(
        &mut self,
        addresses: &[NodeAddress],
        clock: &Clock,
    ) -> Vec<(NodeAddress, MultiplexedConnection)> {
        self.connections
            .retain(|address, _| addresses.contains(address));
        let missing = addresses
            .iter()
            .filter(|address| !self.connections.contains_key(*address));
        let connecting = missing.map(async |address| {
            let connecting = self.nodes.connect(address, CLEAN_LIMIT);
            let connected = clock.timeout(ASK_LIMIT, Box::pin(connecting)).await;
            Some((address.clone(), connected.ok()?.ok()?))
        });
        let connected = join_all(connecting).await;
        self.connections.extend(connected.into_iter().flatten());
        self.connections
            .iter()
            .map(|(address, connection)| (address.clone(), connection.clone()))
            .collect()
    }
}

/// `url`, with what the scenario says of lookups, unless it says so itself.
fn reading_from(url: &str, read_from: ReadFrom) -> String {
    if read_from == ReadFrom::Primary || url.contains("read_from=") {
        return url.to_owned();
    }
    let (url, fragment) = url.split_once('#').unwrap_or((url, ""));
    let sign = if url.contains('?') { '&' } else { '?' };
    let fragment = if fragment.is_empty() {
        String::new()
    } else {
        format!("#{fragment}")
    };
    format!("{url}{sign}read_from=replica{fragment}")
}

/// What was read of Redis at one moment.
#[derive(Clone, Debug)]
pub(super) struct RedisReading {
    pub(super) at: Timestamp,
    pub(super) info: RedisInfo,
    /// How many servers have died: what they counted last is not in `info`.
    pub(super) lives_ended: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_lookups_goes_by_the_url() {
        let from = |url| reading_from(url, ReadFrom::Replica);
        assert_eq!(
            reading_from("redis://host", ReadFrom::Primary),
            "redis://host"
        );
        assert_eq!(
            from("redis+cluster://host"),
            "redis+cluster://host?read_from=replica"
        );
        assert_eq!(
            from("rediss+cluster://host/?ca=x"),
            "rediss+cluster://host/?ca=x&read_from=replica"
        );
        assert_eq!(
            from("rediss+cluster://host#insecure"),
            "rediss+cluster://host?read_from=replica#insecure"
        );
        let own = "redis+cluster://host?read_from=primary";
        assert_eq!(from(own), own);
    }
}
