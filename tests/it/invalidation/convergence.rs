//! FACTS, invariant 2: when everything told has been heard, every read of every instance equals the
//! database, whatever was done by whom, in which order, side by side.

use cachestorm::engine::data_type::Key;
use cachestorm::engine::invalidation::{Broadly, InvalidationConfig, OnLoss, Transport};
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};

use super::{Instance, bytes, instance_at, settle};
use crate::support::{CUSTOMER, INVENTORY, Stage};

const INSTANCES: usize = 2;
const ROWS: usize = 6;

/// What one caller does at one of the instances.
#[derive(Clone, Debug)]
enum Step {
    Get(usize),
    GetRelated(usize),
    GetStock(usize),
    /// Writes a customer; its related row is made from it.
    Put(usize),
    PutStock(usize),
    /// The database changes behind the cache's back, and then the cache is told.
    Pattern(usize),
    All,
    Purge(usize),
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let row = 0..ROWS;
    let step = prop_oneof![
        4 => row.clone().prop_map(Step::Get),
        2 => row.clone().prop_map(Step::GetRelated),
        3 => row.clone().prop_map(Step::GetStock),
        2 => row.clone().prop_map(Step::Put),
        2 => row.clone().prop_map(Step::PutStock),
        1 => (0usize..2).prop_map(Step::Pattern),
        1 => Just(Step::All),
        1 => row.prop_map(Step::Purge),
    ];
    (0..INSTANCES, step)
}

fn config() -> impl Strategy<Value = InvalidationConfig> {
    let transports = prop::sample::select(vec![Transport::Pubsub, Transport::Tracking]);
    let broadly = prop::sample::select(vec![Broadly::Generation, Broadly::Scan]);
    let on_loss = prop::sample::select(vec![OnLoss::Flush, OnLoss::Revalidate]);
    (transports, broadly, on_loss).prop_map(|(transport, broadly, on_loss)| InvalidationConfig {
        transport,
        broadly,
        on_loss,
        ..super::config()
    })
}

/// Rows 0 to 2 are `…:1x`, 3 to 5 `…:2x`.
fn keys(row: usize) -> [Key; 3] {
    let id = 10 * (row / 3 + 1) + row % 3;
    [
        Key::new(format!("customer:360:{id}")),
        Key::new(format!("customer:basic:{id}")),
        Key::new(format!("inventory:{id}")),
    ]
}

struct World<'s> {
    stage: &'s Stage,
    instances: [Instance; INSTANCES],
}

impl World<'_> {
    /// Changes the customers `rows` and what is related to them, without telling the cache.
    fn change(&self, rows: impl IntoIterator<Item = usize>, value: &str) {
        for row in rows {
            for key in &keys(row)[..2] {
                self.stage.origin.set(key.as_str(), Some(value));
            }
        }
    }

    async fn run(&self, instance: usize, step: &Step, number: usize) {
        let engine = &self.instances[instance].engine;
        let value = format!("v{number}");
        match step {
            Step::Get(row) => drop(engine.get(CUSTOMER, &keys(*row)[0]).await),
            Step::GetRelated(row) => drop(engine.get(CUSTOMER, &keys(*row)[1]).await),
            Step::GetStock(row) => drop(engine.get(INVENTORY, &keys(*row)[2]).await),
            Step::Put(row) => {
                let [key, related, _] = keys(*row);
                self.stage.origin.set(related.as_str(), Some(&value));
                let put = engine.put(CUSTOMER, &key, bytes(&value)).await;
                put.expect("a commit");
            }
            Step::PutStock(row) => {
                let put = engine.put(INVENTORY, &keys(*row)[2], bytes(&value)).await;
                put.expect("a commit");
            }
            Step::Pattern(half) => {
                self.change(half * 3..half * 3 + 3, &value);
                let pattern = format!("customer:*:{}*", half + 1);
                let pattern = pattern.parse().expect("a pattern");
                let told = engine.invalidate_pattern(CUSTOMER, pattern).await;
                told.expect("invalidated");
            }
            Step::All => {
                self.change(0..ROWS, &value);
                engine.invalidate_all(CUSTOMER).await.expect("invalidated");
            }
            Step::Purge(row) => {
                self.change([*row], &value);
                let told = engine.invalidate(CUSTOMER, &keys(*row)[0]).await;
                told.expect("invalidated");
            }
        }
    }

    /// Whether a step may be taken beside others. A purge knows no commit, and a scan has passed
    /// when a load that read before it ends: both promise nothing for loads under way.
    fn alone(step: &Step, config: &InvalidationConfig) -> bool {
        match step {
            Step::Purge(_) => true,
            Step::Pattern(_) | Step::All => config.broadly == Broadly::Scan,
            _ => false,
        }
    }
}

async fn converges(
    stage: &Stage,
    prefix: &str,
    config: InvalidationConfig,
    groups: &[Vec<(usize, Step)>],
) -> Result<(), TestCaseError> {
    let instances = [
        instance_at(stage, prefix, 0, config).await,
        instance_at(stage, prefix, 1, config).await,
    ];
    let world = World { stage, instances };
    for row in 0..ROWS {
        world.change([row], "v");
        stage.origin.set(keys(row)[2].as_str(), Some("v"));
    }
    let mut number = 0;
    for group in groups {
        let (alone, together): (Vec<_>, Vec<_>) = group
            .iter()
            .partition(|(_, step)| World::alone(step, &config));
        let first = number;
        number += group.len();
        join_all(together.iter().zip(first..).map(|((instance, step), n)| {
            // The same number would be the same value, and hide a difference.
            world.run(*instance, step, n)
        }))
        .await;
        for ((instance, step), n) in alone.iter().zip(first + together.len()..) {
            world.run(*instance, step, n).await;
        }
    }
    for instance in &world.instances {
        settle(stage, prefix, instance).await;
    }
    for row in 0..ROWS {
        let keys = keys(row);
        let types = [CUSTOMER, CUSTOMER, INVENTORY];
        for (key, data_type) in keys.iter().zip(types) {
            let expected = stage.origin.value(key.as_str());
            for (number, instance) in world.instances.iter().enumerate() {
                let answer = instance
                    .engine
                    .get(data_type, key)
                    .await
                    .expect("an answer");
                prop_assert_eq!(
                    &answer.entry.row.value,
                    &expected,
                    "{} at instance {} from {:?}",
                    key,
                    number,
                    answer.layer
                );
            }
        }
    }
    Ok(())
}

#[test]
fn live_every_read_equals_the_database_when_everything_told_was_heard() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let stage = runtime.block_on(Stage::new());
    let settings = Config {
        cases: 48,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let algorithm = settings.rng_algorithm;
    let mut runner = TestRunner::new_with_rng(settings, TestRng::deterministic_rng(algorithm));
    let groups = prop::collection::vec(prop::collection::vec(step(), 1..5), 1..16);
    let number = std::cell::Cell::new(0);
    let outcome = runner.run(&(config(), groups), |(config, groups)| {
        number.set(number.get() + 1);
        let prefix = format!("case{}:", number.get());
        runtime.block_on(converges(&stage, &prefix, config, &groups))
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
