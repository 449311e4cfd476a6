//! The service of a plan without its users, for other load tools: what a run would start, started, and
//! ended when somebody says so or the time is over.
//!
//! Called by the command line. Measures nothing but what the instances measure themselves
//! (`/metrics`), and writes nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::instances::AnyInstance;
use super::pass::{self, PassKind};
use super::{House, Progress, RunError, RunOptions, Stage, Time, external, stores, traces};
use crate::clock::{Clock, Timestamp};
use crate::drivers::http::face::{build_path, method_of};
use crate::engine::data_type::{DataTypeId, Key};
use crate::engine::event::{Observer, Unobserved};
use crate::engine::layer::{Operation, Version};
use crate::environment::CommitListener;
use crate::scenario::plan::Plan;
use crate::workload::user::Traffic;
use crate::workload::{KeyParams, Request, TRAFFIC_SEED};

/// Where a service is, and what can be asked there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The base URLs of the instances, in their order.
    pub instances: Vec<String>,
    /// Where Prometheus finds their metrics.
    pub metrics: Vec<String>,
    /// A request that is right for each data type: what the scenario's users ask most.
    pub examples: Vec<Example>,
}

/// A request that is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// As in `GET`.
    pub method: String,
    /// With the first instance's base URL.
    pub url: String,
}

impl fmt::Display for Served {
    /// One thing a line, its kind first; `ready` when there is nothing more to come.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for url in &self.instances {
            writeln!(f, "instance {url}")?;
        }
        for url in &self.metrics {
            writeln!(f, "metrics {url}")?;
        }
        for Example { method, url } in &self.examples {
            writeln!(f, "example {method} {url}")?;
        }
        writeln!(f, "ready")
    }
}

/// Starts the service of `plan`, tells `ready` where it is, and ends it when `stop` turns true or after
/// `limit`. Gives what could not be cleaned up.
///
/// # Errors
/// If it could not be brought up.
pub async fn serve(
    plan: &Plan,
    options: &RunOptions,
    limit: Option<Duration>,
    (progress, stop): (&dyn Progress, watch::Receiver<bool>),
    ready: impl FnOnce(&Served),
) -> Result<Vec<String>, RunError> {
    external::refuse(plan, "serve")?;
    stores::all_known(plan, options)?;
    let plan = &*traces::ready(plan, progress, &stop)?;
    let clock = Clock::real();
    let house = House {
        options,
        progress,
        stop,
        clock: clock.clone(),
        time: Time::Real,
        sample: None,
        leftovers: Vec::new(),
    };
    let stores = Box::pin(stores::Stores::up(&house, plan)).await?;
    let mut stage = house.stage(plan, None, stores);
    let served = Box::pin(until_stopped(&mut stage, limit, ready)).await;
    progress.step("cleaning up");
    let left = Box::pin(stage.stores.down(&clock)).await;
    served.map(|()| left)
}

async fn until_stopped(
    stage: &mut Stage<'_>,
    limit: Option<Duration>,
    ready: impl FnOnce(&Served),
) -> Result<(), RunError> {
    let plan = stage.plan;
    stage.progress.step("starting instances");
    let database = pass::database(stage, Arc::new(Unheard));
    let observers = (0..plan.instances).map(|_| Arc::new(Unobserved) as Arc<dyn Observer>);
    let kind = PassKind::After;
    let mut stop = stage.stop.clone();
    let started = tokio::select! {
        biased;
        // What has come up so far ends when it is dropped.
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
        started = pass::start_instances(stage, kind, &database, observers.collect()) => started?,
    };
    let (host, instances) = started;
    ready(&served(plan, &instances));
    stage.progress.step("serving until Ctrl-C");
    let limit = limit.map_or(Timestamp::NEVER, |limit| stage.clock.now() + limit);
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        () = stage.clock.sleep_until(limit) => {}
    }
    stage.progress.step("stopping instances");
    futures_util::future::join_all(instances.into_iter().map(AnyInstance::stop)).await;
    drop(host);
    Ok(())
}

fn served(plan: &Plan, instances: &[AnyInstance]) -> Served {
    let urls: Vec<String> = instances.iter().filter_map(AnyInstance::url).collect();
    let metrics = instances.iter().filter_map(AnyInstance::metrics_url);
    let base = urls.first().map_or("", |url| url);
    Served {
        metrics: metrics.collect(),
        examples: examples(plan, base),
        instances: urls,
    }
}

/// For each data type what users ask most, of the key that they ask most for.
fn examples(plan: &Plan, base: &str) -> Vec<Example> {
    let traffic = Traffic::new(&plan.workload, &plan.policies, plan.seed.fork(TRAFFIC_SEED));
    let ids = (0..).map(DataTypeId).take(plan.policies.len());
    let example = |data_type| {
        let first = vec![0; plan.policies.get(data_type).key.params().count()];
        let params = traffic.of_rank(data_type, 0);
        let request = Request {
            data_type,
            operation: usual(plan, data_type),
            params: params.unwrap_or_else(|| KeyParams::new(&first)),
        };
        Example {
            method: method_of(request.operation).to_string(),
            url: format!("{base}{}", build_path(&plan.policies, &request)),
        }
    };
    ids.map(example).collect()
}

/// What users do most with one key of a data type.
fn usual(plan: &Plan, data_type: DataTypeId) -> Operation {
    let counted = plan.policies.get(data_type).limit.is_some();
    let demand = plan.workload.demand();
    let weight = |operation| -> f64 {
        let asked = demand.iter();
        let asked = asked.filter(|line| (line.data_type, line.operation) == (data_type, operation));
        asked.map(|line| line.per_s).sum()
    };
    let meant = if counted {
        Operation::Admit
    } else {
        Operation::Get
    };
    // The first of equals.
    [Operation::Put, Operation::Invalidate]
        .into_iter()
        .fold(meant, |most, other| {
            if weight(other) > weight(most) {
                other
            } else {
                most
            }
        })
}

/// Nobody who needs to know what was committed.
struct Unheard;

impl CommitListener for Unheard {
    fn committed(&self, _: DataTypeId, _: &Key, _: Version, _: Timestamp) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{self, Overrides};
    use std::path::Path;

    #[test]
    fn what_is_told_can_be_read_by_people_and_by_scripts() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = root.join("scenarios/adr-006.yaml");
        let plan = scenario::load(&file, &Overrides::default()).expect("a good scenario");
        let served = Served {
            instances: vec!["http://127.0.0.1:8080".to_owned()],
            metrics: vec!["http://127.0.0.1:8080/metrics".to_owned()],
            examples: examples(&plan, "http://127.0.0.1:8080"),
        };
        insta::assert_snapshot!(served, @"
        instance http://127.0.0.1:8080
        metrics http://127.0.0.1:8080/metrics
        example GET http://127.0.0.1:8080/customer/110
        example GET http://127.0.0.1:8080/product/95
        example GET http://127.0.0.1:8080/inventory/314/1
        example GET http://127.0.0.1:8080/session/0
        example POST http://127.0.0.1:8080/rate_limit/0/0
        example GET http://127.0.0.1:8080/quote/966
        example PUT http://127.0.0.1:8080/activity/0/0
        ready
        ");
    }
}
