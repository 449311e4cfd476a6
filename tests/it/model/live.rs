//! The same over a real Redis, one step after another: everybody has heard of a step before the next,
//! so that no time needs to be guessed.

use std::cell::RefCell;
use std::time::Duration;

use cachestorm::clock::Clock;
use cachestorm::engine::data_type::{Consistency, Stampede, Strategy};
use cachestorm::engine::layer::{InvalidationEvent, Notice, Remote as _};
use cachestorm::engine::remote::redis::{RedisOptions, RedisRemote};
use cachestorm::environment::managed_redis::ManagedRedis;
use cachestorm::environment::{EvictionPolicy, RedisConfig};
use proptest::test_runner::TestCaseError;

use super::check;
use super::script::{Act, Reach, script, setup};
use super::world::{Ground, World};
use super::{MEANS, runner};

/// A real Redis; each case has keys of its own.
struct Live {
    url: String,
    prefix: String,
}

impl Ground for Live {
    type Remote = RedisRemote;

    async fn connect(&self) -> RedisRemote {
        let options = RedisOptions {
            url: self.url.clone(),
            prefix: self.prefix.clone(),
            connections: 1,
            timeout: Duration::from_secs(5),
        };
        RedisRemote::connect(options).await.expect("Redis answers")
    }

    fn suffer(&self, _: Act) {}

    fn in_step(&self) -> bool {
        true
    }

    /// Behind everything else that was published; without a number, so nobody misses it.
    async fn tell(&self) {
        let last = Notice::Invalidated(InvalidationEvent {
            publisher: 98,
            ..InvalidationEvent::default()
        });
        let told = self.connect().await.publish(&last).await;
        told.expect("published");
    }

    async fn listeners(&self) -> usize {
        let client = redis::Client::open(&*self.url).expect("a URL of our own");
        let connecting = client.get_multiplexed_async_connection().await;
        let reply: Vec<(String, usize)> = redis::cmd("PUBSUB")
            .arg(&["NUMSUB", &format!("{}invalidations", self.prefix)])
            .query_async(&mut connecting.expect("Redis answers"))
            .await
            .expect("PUBSUB NUMSUB");
        reply.first().map_or(0, |(_, count)| *count)
    }
}

fn holds(strategy: Strategy, means: &[Stampede], cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let config = RedisConfig {
        maxmemory: None,
        policy: EvictionPolicy::Noeviction,
    };
    let server = runtime.block_on(ManagedRedis::start(&config, &Clock::real()));
    let server = server.expect("redis-server starts");
    let number = RefCell::new(0);
    for stampede in means {
        let setups = setup(strategy, Consistency::Versioned, *stampede);
        let scripts = (setups, script(Reach::Sequential));
        let tried = runner(cases).run(&scripts, |(setup, script)| {
            *number.borrow_mut() += 1;
            let ground = Live {
                url: server.url().to_owned(),
                prefix: format!("case{}:", number.borrow()),
            };
            let story = runtime.block_on(async {
                let world = World::new(&ground, setup, Clock::real()).await;
                world.run(&script).await
            });
            match check::violations(&story).first() {
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
fn live_cache_aside_keeps_its_promises() {
    holds(Strategy::CacheAside, &MEANS, 4);
}

#[test]
fn live_write_through_keeps_its_promises() {
    holds(Strategy::WriteThrough, &MEANS, 4);
}

#[test]
fn live_write_behind_keeps_its_promises() {
    holds(Strategy::WriteBehind, &[Stampede::SingleFlight], 6);
}
