//! The same over a modelled Redis in virtual time, whose network lets steps overtake each other, and whose
//! server dies and comes back with what it had on disk.

use std::time::Duration;

use cachestorm::clock::{Clock, Timestamp, virtual_time};
use cachestorm::engine::data_type::{Consistency, Stampede, Strategy};
use cachestorm::environment::delay::Delay;
use cachestorm::environment::modelled_redis::deployment::{
    ModelledRedis, ModelledRedisConfig, REPLICATION_LAG,
};
use cachestorm::environment::modelled_redis::pubsub::PubSubModel;
use cachestorm::environment::modelled_redis::remote::ModelledRemote;
use cachestorm::environment::modelled_redis::thread::CommandCosts;
use cachestorm::environment::redis_topology::{Persistence, ReadFrom, Topology, TopologyConfig};
use cachestorm::environment::{EvictionPolicy, RedisConfig};
use cachestorm::seed::Seed;
use cachestorm::units::Ratio;
use proptest::test_runner::TestCaseError;

use super::script::{Act, Reach, Script, Setup, script, setup};
use super::world::{Ground, Story, World};
use super::{MEANS, check, retold, runner};

const START: Timestamp = Timestamp::from_unix_nanos(1_795_419_900_000_000_000);

struct Modelled {
    redis: ModelledRedis,
}

impl Modelled {
    fn new(clock: &Clock) -> Self {
        let us = Duration::from_micros;
        let uneven = vec![(0.0, us(20)), (0.5, us(200)), (1.0, us(8_000))];
        let uneven = Delay::from_quantiles(uneven).expect("ascending");
        let config = ModelledRedisConfig {
            redis: RedisConfig {
                maxmemory: None,
                policy: EvictionPolicy::Noeviction,
            },
            topology: TopologyConfig {
                persistence: Persistence::Aof,
                ..TopologyConfig::of(Topology::Standalone)
            },
            read_from: ReadFrom::Primary,
            network: uneven.clone(),
            costs: CommandCosts::MEASURED,
            prefix_len: 10,
            instances: 3,
            share: 1.0,
            pubsub: PubSubModel {
                delay: uneven,
                loss: Ratio(0.0),
            },
            replication_lag: REPLICATION_LAG,
        };
        Self {
            redis: ModelledRedis::new(config, clock, Seed(7)),
        }
    }
}

impl Ground for Modelled {
    type Remote = ModelledRemote;

    async fn connect(&self) -> ModelledRemote {
        self.redis.connect(Duration::from_millis(500), 1)
    }

    fn suffer(&self, act: Act) {
        match act {
            Act::Remote(Some(_)) => self.redis.kill_primary(0),
            Act::Remote(None) => self.redis.restart(0),
            Act::Cut => {
                self.redis.kill_primary(0);
                self.redis.restart(0);
            }
            _ => {}
        }
    }

    async fn listeners(&self) -> usize {
        self.redis.listeners()
    }
}

fn play(setup: Setup, script: &Script) -> Story {
    let (runtime, clock) = virtual_time::runtime(START).expect("a runtime");
    runtime.block_on(async {
        let ground = Modelled::new(&clock);
        World::new(&ground, setup, clock).await.run(script).await
    })
}

fn holds(strategy: Strategy, means: &[Stampede], reach: Reach, cases: u32) {
    for stampede in means {
        let setups = setup(strategy, Consistency::Versioned, *stampede);
        let scripts = (setups, script(reach));
        let tried = runner(cases).run(&scripts, |(setup, script)| {
            let found = check::violations(&play(setup, &script));
            match found.first() {
                None => Ok(()),
                Some(first) => Err(TestCaseError::fail(first.0.clone())),
            }
        });
        if let Err(error) = tried {
            panic!("{error}");
        }
    }
}

#[test]
fn modelled_cache_aside_keeps_its_promises() {
    holds(Strategy::CacheAside, &MEANS, Reach::Healthy, 15);
    holds(Strategy::CacheAside, &MEANS, Reach::Faulty, 15);
}

#[test]
fn modelled_write_through_keeps_its_promises() {
    holds(Strategy::WriteThrough, &MEANS, Reach::Healthy, 15);
    holds(Strategy::WriteThrough, &MEANS, Reach::Faulty, 15);
}

#[test]
fn modelled_write_behind_keeps_its_promises() {
    let means = [Stampede::SingleFlight, Stampede::Lease];
    holds(Strategy::WriteBehind, &means, Reach::Healthy, 20);
    holds(Strategy::WriteBehind, &means, Reach::Faulty, 20);
}

#[test]
fn the_same_script_over_a_modelled_redis_tells_the_same_story() {
    let setups = setup(
        Strategy::WriteThrough,
        Consistency::Versioned,
        Stampede::Lease,
    );
    let scripts = (setups, script(Reach::Faulty));
    let tried = runner(20).run(&scripts, |(setup, script)| {
        let (once, again) = (play(setup, &script), play(setup, &script));
        proptest::prop_assert_eq!(retold(&once), retold(&again));
        Ok(())
    });
    if let Err(error) = tried {
        panic!("{error}");
    }
}
