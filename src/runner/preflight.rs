//! Before a run: are there enough file descriptors, local ports and places at Redis for what the plan
//! will open at once?
//!
//! [`need`] and [`decide`] are pure; [`clear`] reads the limits of this process and raises what it may
//! raise itself. In virtual time nothing is opened, and nobody asks. Said before anything is started: a
//! run that dies of its own limits says nothing about the system.

use super::Time;
use crate::environment::managed_redis::CLIENTS_MAX;
use crate::measure::descriptors::{DescriptorLimit, in_time_wait, local_ports, open_descriptors};
use crate::report::model::Report;
use crate::scenario::plan::{Driver, Plan};
use crate::units::thousands;

/// Descriptors for what nobody counts: files of the report, pipes of managed servers, timers.
const RESERVE: u64 = 128;
/// Descriptors of one runtime and its wakers.
const PER_RUNTIME: u64 = 8;
/// Runtimes beside those of the instances: the generator's threads, the database's, the watch.
const RUNTIMES_BESIDE: u64 = 10;
/// Connections of an instance to a Redis beside those for commands: blocking reads, subscriptions, and
/// the look at who is who.
const REDIS_BESIDE: u64 = 4;
/// Connections to a Redis that no instance has: the watch, a Sentinel, replicas, a person who looks.
const CLIENTS_BESIDE: u64 = 32;

/// What a plan opens at the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Need {
    /// HTTP connections at once, over all instances.
    http: u64,
    /// File descriptors of this process, beside those that are open already.
    descriptors: u64,
    /// Connections to one address and port, each of which takes a local port.
    ports: u64,
    /// Clients of one Redis that is started for the run; 0 without one.
    redis_clients: u64,
    /// How many instances, or URLs of a target, share the connections.
    addresses: u64,
    /// How many ends of each HTTP connection are in this process.
    ends_here: u64,
}

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    /// Descriptors that are open already.
    open: u64,
    descriptors: DescriptorLimit,
    /// Local ports for connections, and those that are not free yet; `None` if unknown.
    ports: Option<u64>,
    in_time_wait: u64,
}

/// What is to be done before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// Nothing: there is enough.
    Go,
    /// The limit on descriptors must be raised.
    Raise,
}

/// Why a run was not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreflightError {
    /// There are not enough file descriptors.
    #[error(
        "the run needs about {} file descriptors ({} HTTP connections at once, {} in this \
         process), and this process may have {}: raise the limit with `ulimit -n {}` \
         (the hard limit, too: `ulimit -Hn`, limits.conf or LimitNOFILE), use `--driver direct`, or \
         have fewer under way ({alternative})",
        thousands(*.needed), thousands(*.http), ends(*.ends_here), thousands(*.limit), .needed
    )]
    Descriptors {
        /// How many are needed.
        needed: u64,
        /// How many of them are for HTTP.
        http: u64,
        /// How many there may be.
        limit: u64,
        /// How many ends of each of these are in this process.
        ends_here: u64,
        /// What to have fewer of.
        alternative: &'static str,
    },
    /// The limit could not be raised though the system says that it may.
    #[error(
        "the run needs about {} file descriptors, and the limit could not be raised to it: {reason}; \
         raise it with `ulimit -n {}`, or use `--driver direct`",
        thousands(*.needed), .needed
    )]
    NotRaised {
        /// How many are needed.
        needed: u64,
        /// What the system said.
        reason: String,
    },
    /// There are not enough local ports.
    #[error(
        "the run needs {} connections to each address of the service ({}), each from \
         a local port of its own, and {} are free ({} in all, {} still in TIME_WAIT): widen the range (sysctl -w \
         net.ipv4.ip_local_port_range=\"1024 65535\"), use more `instances`, wait a minute if ports are \
         in TIME_WAIT, or use `--driver direct`",
        thousands(*.needed), counted(*.addresses), thousands(*.free), thousands(*.range), thousands(*.waiting)
    )]
    Ports {
        /// How many are needed for one address and port.
        needed: u64,
        /// How many are free.
        free: u64,
        /// How many there are.
        range: u64,
        /// How many of these are not free yet.
        waiting: u64,
        /// How many instances, or URLs of a target, there are.
        addresses: u64,
    },
    /// A Redis of the run would have too many clients.
    #[error(
        "the run needs about {} connections to one Redis, and a managed one takes {}: lower \
         `layers.remote.connections` or `instances`, or give a Redis of your own with --redis",
        thousands(*.needed), thousands(*.limit)
    )]
    RedisClients {
        /// How many are needed.
        needed: u64,
        /// How many it takes.
        limit: u64,
    },
}

fn counted(count: u64) -> String {
    match count {
        1 => "there is 1".to_owned(),
        _ => format!("there are {}", thousands(count)),
    }
}

fn ends(here: u64) -> &'static str {
    if here == 1 {
        "one end of each of which is"
    } else {
        "both ends of which are"
    }
}

/// What was done before the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cleared {
    /// The limit on descriptors before it was raised; `None` if it was enough.
    raised_from: Option<u64>,
}

impl Cleared {
    /// Says in the report what was done.
    pub(super) fn tell(self, report: &mut Report) {
        if let Some(generator) = &mut report.generator {
            generator.descriptors_raised_from = self.raised_from;
        }
    }
}

/// Sees to it that `plan` and its variants have what they will open; `managed` says whether the run
/// starts its own Redis. The text is for somebody who waits.
///
/// # Errors
/// If they cannot have it.
pub(super) fn clear(
    plan: &Plan,
    managed: bool,
    time: &Time,
) -> Result<(Cleared, Option<String>), PreflightError> {
    if matches!(time, Time::Virtual { .. }) {
        return Ok((Cleared::default(), None));
    }
    let plans = std::iter::once(plan).chain(plan.variants.iter().filter_map(|v| v.plan.as_ref()));
    let needs: Vec<Need> = plans.map(|plan| need(plan, managed)).collect();
    let ports = local_ports().map(|range| u64::from(range.end() - range.start()) + 1);
    let limits = Limits {
        open: open_descriptors().unwrap_or(0),
        descriptors: DescriptorLimit::read(),
        ports,
        in_time_wait: in_time_wait().unwrap_or(0),
    };
    let mut raise = None;
    for need in needs {
        if decide(need, limits, plan.traffic.driver)? == Decision::Raise {
            raise = raise.max(Some(limits.open + need.descriptors));
        }
    }
    let Some(needed) = raise else {
        return Ok((Cleared::default(), None));
    };
    let refused = |error: std::io::Error| PreflightError::NotRaised {
        needed,
        reason: error.to_string(),
    };
    limits.descriptors.raise().map_err(refused)?;
    let from = limits.descriptors.soft.unwrap_or(0);
    let to = limits.descriptors.hard;
    let text = format!(
        "raised the limit on open files from {} to {}: the plan needs about {}",
        thousands(from),
        to.map_or_else(|| "none".to_owned(), thousands),
        thousands(needed)
    );
    let raised_from = Some(from);
    Ok((Cleared { raised_from }, Some(text)))
}

/// What `plan` opens at the most.
fn need(plan: &Plan, managed: bool) -> Need {
    let traffic = &plan.traffic;
    let instances = u64::from(plan.instances);
    let target = plan.target.as_ref();
    let addresses = target
        .map_or(instances, |target| target.urls.len() as u64)
        .max(1);
    let ends_here = if target.is_some() { 1 } else { 2 };
    let http = match traffic.driver {
        Driver::Closed => u64::from(traffic.users),
        Driver::Open => u64::from(traffic.in_flight_at_once()),
        Driver::Direct => 0,
    };
    let remote = plan.layers.remote.as_ref();
    let mut stores = 0;
    let mut redis_clients = 0;
    if let Some(remote) = remote {
        let each = |connections: u16| u64::from(connections) + REDIS_BESIDE;
        let topology = &remote.topology;
        let nodes = u64::from(topology.primaries.max(1)) * (1 + u64::from(topology.replicas));
        stores += each(remote.connections) * nodes;
        stores += remote
            .aside
            .as_ref()
            .map_or(0, |aside| each(aside.connections));
        let most = remote.aside.as_ref().map_or(0, |aside| aside.connections);
        if managed && remote.memcached.is_none() {
            redis_clients = each(remote.connections.max(most)) * instances + CLIENTS_BESIDE;
        }
    }
    let runtimes = instances + RUNTIMES_BESIDE;
    Need {
        http,
        // Both ends of a connection to an instance are in this process.
        descriptors: ends_here * http + stores * instances + runtimes * PER_RUNTIME + RESERVE,
        ports: http.div_ceil(addresses),
        redis_clients,
        addresses,
        ends_here,
    }
}

fn decide(need: Need, limits: Limits, driver: Driver) -> Result<Decision, PreflightError> {
    if let Some(range) = limits.ports {
        let free = range.saturating_sub(limits.in_time_wait);
        if need.ports > free {
            return Err(PreflightError::Ports {
                needed: need.ports,
                free,
                range,
                waiting: limits.in_time_wait,
                addresses: need.addresses,
            });
        }
    }
    let clients_max = u64::from(CLIENTS_MAX);
    if need.redis_clients > clients_max {
        return Err(PreflightError::RedisClients {
            needed: need.redis_clients,
            limit: clients_max,
        });
    }
    let needed = limits.open + need.descriptors;
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| needed <= limit);
    if enough(limits.descriptors.soft) {
        return Ok(Decision::Go);
    }
    if enough(limits.descriptors.hard) {
        return Ok(Decision::Raise);
    }
    Err(PreflightError::Descriptors {
        needed,
        http: need.http,
        ends_here: need.ends_here,
        limit: limits.descriptors.hard.unwrap_or(0),
        alternative: match driver {
            Driver::Open => "a smaller `traffic.in_flight`",
            Driver::Closed | Driver::Direct => "fewer `users`",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{self, Overrides};

    fn plan(traffic: &str, remote: &str) -> Plan {
        let text = format!(
            "{{ name: a, instances: 3, data_types: {{ row: {{ key: 'r:{{id}}', strategy: cache-aside, \
             ttl: 1m, population: 9, value_size: 9B, origin: {{ query_time: {{ median: 1ms, p99: 2ms }} \
             }} }} }}, layers: {{ local: {{ entries: 9 }}, remote: {remote} }}, origin: {{ connections: \
             40 }}, traffic: {{ {traffic}, phases: [{{ name: steady, for: 1s }}], mix: {{ row.get: 1 }} \
             }} }}"
        );
        scenario::parse("a.yaml", &text, &Overrides::default())
            .unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn a_plan_needs_both_ends_of_what_is_under_way() {
        let of = |traffic: &str, remote: &str| {
            let need = need(&plan(traffic, remote), true);
            (need.http, need.descriptors, need.ports, need.redis_clients)
        };
        let base = (3 + RUNTIMES_BESIDE) * PER_RUNTIME + RESERVE;
        let closed = "users: 1000, think_time: 1s..2s";
        assert_eq!(of(closed, "none"), (1_000, 2_000 + base, 334, 0));
        let direct = "users: 1000, think_time: 1s..2s, driver: direct";
        assert_eq!(of(direct, "none"), (0, base, 0, 0));
        let open = "users: 9, think_time: 1s..2s, driver: open, in_flight: 500, arrivals: 100/s";
        assert_eq!(of(open, "none"), (500, 1_000 + base, 167, 0));
        let cluster = "{ topology: cluster, connections: 2 }";
        let clients = 3 * 6 + CLIENTS_BESIDE;
        let (_, descriptors, _, redis_clients) = of(direct, cluster);
        assert_eq!((descriptors, redis_clients), (base + 3 * 6 * 6, clients));
    }

    fn told(need: Need, soft: u64, hard: u64, ports: Option<u64>) -> String {
        let limits = Limits {
            open: 36,
            descriptors: DescriptorLimit {
                soft: Some(soft),
                hard: Some(hard),
            },
            ports,
            in_time_wait: 4_000,
        };
        match decide(need, limits, Driver::Closed) {
            Ok(decision) => format!("{decision:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_to_do() {
        let need = Need {
            http: 1_000,
            descriptors: 2_164,
            ports: 1_000,
            redis_clients: 50,
            addresses: 1,
            ends_here: 2,
        };
        let crowd = Need {
            redis_clients: 10_001,
            ..need
        };
        let told = [
            told(need, 2_200, 4_096, Some(28_232)),
            told(need, 2_199, 2_200, Some(28_232)),
            told(need, 1_024, 2_199, None),
            told(need, 4_096, 4_096, Some(4_999)),
            told(need, 4_096, 4_096, Some(5_000)),
            told(crowd, 4_096, 4_096, None),
        ];
        insta::assert_snapshot!(told.join("\n\n"), @r#"
        Go

        Raise

        the run needs about 2,200 file descriptors (1,000 HTTP connections at once, both ends of which are in this process), and this process may have 2,199: raise the limit with `ulimit -n 2200` (the hard limit, too: `ulimit -Hn`, limits.conf or LimitNOFILE), use `--driver direct`, or have fewer under way (fewer `users`)

        the run needs 1,000 connections to each address of the service (there is 1), each from a local port of its own, and 999 are free (4,999 in all, 4,000 still in TIME_WAIT): widen the range (sysctl -w net.ipv4.ip_local_port_range="1024 65535"), use more `instances`, wait a minute if ports are in TIME_WAIT, or use `--driver direct`

        Go

        the run needs about 10,001 connections to one Redis, and a managed one takes 10,000: lower `layers.remote.connections` or `instances`, or give a Redis of your own with --redis
        "#);
    }
}
