//! The engine against a model: random operations over three instances, side by side, while layers go
//! away, notices are lost and instances are killed. In paused time over a remote layer in memory, many
//! cases; over a real Redis, one step after another, a few.
//!
//! | file | what it is |
//! |---|---|
//! | `script.rs` | the steps of a case, to be read and shrunk |
//! | `book.rs` | the database with its whole history |
//! | `world.rs` | runs a script and writes down what came of it |
//! | `check.rs` | what every read was allowed to give: the model |
//!
//! The check itself is tested: over a remote layer that ignores versions it must find something.

mod book;
mod check;
mod live;
mod modelled;
mod script;
mod world;

use std::fmt::Write as _;
use std::sync::Arc;

use cachestorm::clock::Clock;
use cachestorm::engine::data_type::{Consistency, Stampede, Strategy};
use cachestorm::engine::invalidation::OnLoss;
use proptest::strategy::Strategy as _;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRng, TestRunner};

use crate::support::fake_remote::{FakeRemote, Server};
use crate::support::rigged::{Defect, Rig, Rigged};
use book::next_way;
use script::{Act, Reach, Script, Setup, script, setup};
use world::{Did, Ground, Story, World};

const MEANS: [Stampede; 7] = [
    Stampede::None,
    Stampede::SingleFlight,
    Stampede::AdrLock,
    Stampede::Lock,
    Stampede::Lease,
    Stampede::EarlyRefresh { beta: 1.0 },
    Stampede::StaleWhileRevalidate,
];

/// A remote layer in memory.
struct InMemory {
    server: Arc<Server>,
    rig: Arc<Rig>,
}

impl Ground for InMemory {
    type Remote = Rigged<FakeRemote>;

    async fn connect(&self) -> Rigged<FakeRemote> {
        Rigged::new(self.server.connect(), &self.rig)
    }

    fn suffer(&self, act: Act) {
        match act {
            Act::Remote(away) => self.server.set_away(away),
            Act::LoseNotice => self.server.lose_notices(1),
            Act::Cut => self.server.cut_subscriptions(),
            Act::Forget => self.server.flush(),
            _ => {}
        }
    }

    async fn listeners(&self) -> usize {
        self.server.subscribers()
    }
}

/// Runs one case from its beginning to its end, in a runtime of its own.
fn play(setup: Setup, script: &Script, defect: Option<Defect>) -> Story {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let clock = Clock::real();
        let ground = InMemory {
            server: Server::with_pace(clock.clone(), Arc::new(next_way)),
            rig: Rig::new(clock.clone(), defect),
        };
        World::new(&ground, setup, clock).await.run(script).await
    })
}

/// `MODEL_CASES=20` makes it twenty times as many cases, for a longer search.
fn runner(cases: u32) -> TestRunner {
    let times = std::env::var("MODEL_CASES").ok();
    let times: u32 = times.and_then(|times| times.parse().ok()).unwrap_or(1);
    let settings = Config {
        cases: cases * times,
        max_shrink_iters: 2_000,
        failure_persistence: None,
        ..Config::default()
    };
    let algorithm = settings.rng_algorithm;
    TestRunner::new_with_rng(settings, TestRng::deterministic_rng(algorithm))
}

/// The shortest script found that breaks a promise, and how it does.
fn search(
    cases: u32,
    scripts: impl proptest::strategy::Strategy<Value = (Setup, Script)>,
    defect: Option<Defect>,
) -> Option<String> {
    let tried = runner(cases).run(&scripts, |(setup, script)| {
        let found = check::violations(&play(setup, &script, defect));
        match found.first() {
            None => Ok(()),
            Some(first) => Err(TestCaseError::fail(first.0.clone())),
        }
    });
    match tried {
        Ok(()) => None,
        Err(TestError::Fail(reason, (setup, script))) => {
            Some(format!("{reason}\n{setup:?}{script:?}"))
        }
        Err(error) => Some(error.to_string()),
    }
}

fn holds(strategy: Strategy, reach: Reach, cases: u32) {
    for stampede in MEANS {
        let setups = setup(strategy, Consistency::Versioned, stampede);
        let found = search(cases, (setups, script(reach)), None);
        assert!(found.is_none(), "\n{}\n", found.unwrap_or_default());
    }
}

#[test]
fn cache_aside_keeps_its_promises() {
    holds(Strategy::CacheAside, Reach::Healthy, 50);
}

#[test]
fn cache_aside_keeps_its_promises_among_faults() {
    holds(Strategy::CacheAside, Reach::Faulty, 50);
}

#[test]
fn write_through_keeps_its_promises() {
    holds(Strategy::WriteThrough, Reach::Healthy, 50);
}

#[test]
fn write_through_keeps_its_promises_among_faults() {
    holds(Strategy::WriteThrough, Reach::Faulty, 50);
}

#[test]
fn write_behind_keeps_its_promises() {
    holds(Strategy::WriteBehind, Reach::Healthy, 25);
}

#[test]
fn write_behind_keeps_its_promises_among_faults() {
    holds(Strategy::WriteBehind, Reach::Faulty, 25);
}

/// The control promises a bound by its TTLs alone, and keeps it.
#[test]
fn naive_consistency_keeps_within_its_ttls() {
    for stampede in MEANS {
        let setups = setup(Strategy::CacheAside, Consistency::Naive, stampede);
        let found = search(20, (setups, script(Reach::Faulty)), None);
        assert!(found.is_none(), "\n{}\n", found.unwrap_or_default());
    }
}

/// A story as text, with times from its beginning.
fn retold(story: &Story) -> String {
    let mut text = String::new();
    for record in &story.records {
        let (from, to) = (record.from.since(story.begin), record.to.since(story.begin));
        let what = match &record.did {
            Did::Read(key, Ok(seen)) => {
                let (outcome, layer) = (seen.outcome, seen.layer);
                format!("{key} {:?} {outcome:?} {layer:?}", seen.value)
            }
            Did::Read(key, Err(error)) => format!("{key} {error}"),
            Did::Wrote(key, value, done) => format!("{key} {value:?} {}", done.is_ok()),
            Did::Told(keys, how, done) => format!("{keys:?} {how:?} {}", done.is_ok()),
        };
        writeln!(text, "{} {from:?}..{to:?} {what}", record.by).expect("a String takes all");
    }
    text
}

#[test]
fn the_same_script_tells_the_same_story() {
    let scripts = (
        setup(
            Strategy::WriteThrough,
            Consistency::Versioned,
            Stampede::Lease,
        ),
        script(Reach::Faulty),
    );
    let tried = runner(30).run(&scripts, |(setup, script)| {
        let (once, again) = (play(setup, &script, None), play(setup, &script, None));
        proptest::prop_assert_eq!(retold(&once), retold(&again));
        Ok(())
    });
    if let Err(error) = tried {
        panic!("{error}");
    }
}

type Change = fn(Setup) -> Setup;

/// Planted: what the check must find, each by a script short enough to be read.
#[test]
fn planted_defects_are_found() {
    let flush = |setup: Setup| Setup {
        on_loss: OnLoss::Flush,
        ..setup
    };
    let ignore = |setup: Setup| Setup {
        on_loss: OnLoss::Ignore,
        local: true,
        ..setup
    };
    let planted: [(Change, Option<Defect>, Reach); 3] = [
        (flush, Some(Defect::BlindFill), Reach::Healthy),
        (flush, Some(Defect::LateInvalidation), Reach::Healthy),
        (ignore, None, Reach::Faulty),
    ];
    for (change, defect, reach) in planted {
        let setups = setup(
            Strategy::CacheAside,
            Consistency::Versioned,
            Stampede::SingleFlight,
        );
        let scripts = (setups.prop_map(change), script(reach));
        let found = search(500, scripts, defect);
        let found = found.unwrap_or_else(|| panic!("{defect:?} was not found"));
        assert!(found.contains("on it must not"), "{found}");
        let steps = found.lines().filter(|line| line.contains(" ms: ")).count();
        assert!((2..=12).contains(&steps), "{steps} steps:\n{found}");
    }
}
