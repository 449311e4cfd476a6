//! What happens in one case: which engine, and which steps at which times. Written so that a case that
//! fails can be read, and shrinks to something short.

use std::fmt;
use std::time::Duration;

use cachestorm::engine::data_type::{Consistency, Invalidation, Stampede, Strategy};
use cachestorm::engine::invalidation::{Broadly, OnLoss};
use proptest::prelude::{Just, Strategy as _, any, prop};
use proptest::strategy::BoxedStrategy;

use crate::support::fake_remote::Away;

pub(super) const INSTANCES: usize = 3;
/// Keys 0 and 1 are of one group, 2 and 3 of the other.
pub(super) const KEYS: usize = 4;

/// The engine of one case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) strategy: Strategy,
    pub(super) stampede: Stampede,
    pub(super) consistency: Consistency,
    pub(super) invalidation: Invalidation,
    pub(super) broadly: Broadly,
    pub(super) on_loss: OnLoss,
    /// Whether there is a local layer.
    pub(super) local: bool,
}

/// What is done.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Act {
    Get(usize),
    Put(usize),
    /// The database changes, and nobody tells the cache.
    Change(usize),
    Purge(usize),
    Pattern(usize),
    All,
    /// The remote layer goes away or comes back.
    Remote(Option<Away>),
    /// The database fails every call, or does not any more.
    OriginFails(bool),
    /// The next notice is told to nobody.
    LoseNotice,
    /// All subscriptions end.
    Cut,
    /// The remote layer loses everything it holds.
    Forget,
    /// The instance is killed, and another takes its place.
    Restart,
}

/// One step of a script.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Step {
    /// After the step before it; that one need not have ended.
    pub(super) after: Duration,
    pub(super) by: usize,
    /// Decides how long each way to the remote layer and the database takes; 0: no time at all.
    pub(super) pace: u8,
    pub(super) act: Act,
}

/// One step a line.
#[derive(Clone, PartialEq)]
pub(super) struct Script(pub(super) Vec<Step>);

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(key) => write!(f, "get item {key}"),
            Self::Put(key) => write!(f, "put item {key}"),
            Self::Change(key) => write!(f, "item {key} changes in the database alone"),
            Self::Purge(key) => write!(f, "purge item {key}"),
            Self::Pattern(group) => write!(f, "invalidate group {group}"),
            Self::All => write!(f, "invalidate all"),
            Self::Remote(None) => write!(f, "the remote layer is back"),
            Self::Remote(Some(away)) => write!(f, "the remote layer is {away:?}"),
            Self::OriginFails(true) => write!(f, "the database fails"),
            Self::OriginFails(false) => write!(f, "the database is well"),
            Self::LoseNotice => write!(f, "the next notice is lost"),
            Self::Cut => write!(f, "subscriptions are cut"),
            Self::Forget => write!(f, "the remote layer forgets"),
            Self::Restart => write!(f, "restarts"),
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after_ms = self.after.as_millis();
        write!(f, "+{after_ms} ms: ")?;
        match self.act {
            Act::Get(_) | Act::Put(_) | Act::Purge(_) | Act::Pattern(_) | Act::All => {
                write!(
                    f,
                    "instance {}: {:?}, pace {}",
                    self.by, self.act, self.pace
                )
            }
            Act::Restart => write!(f, "instance {} {:?}", self.by, self.act),
            _ => write!(f, "{:?}", self.act),
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            write!(f, "\n  {step:?}")?;
        }
        Ok(())
    }
}

/// How far the steps of a script go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// One step after another: reads, writes, invalidations and restarts.
    Sequential,
    /// Reads, writes and invalidations.
    Healthy,
    /// And everything that can break.
    Faulty,
}

fn act(reach: Reach) -> BoxedStrategy<Act> {
    let key = || 0..KEYS;
    let healthy = vec![
        (30, key().prop_map(Act::Get).boxed()),
        (12, key().prop_map(Act::Put).boxed()),
        (4, key().prop_map(Act::Change).boxed()),
        (3, key().prop_map(Act::Purge).boxed()),
        (3, (0..2_usize).prop_map(Act::Pattern).boxed()),
        (3, Just(Act::All).boxed()),
    ];
    let restart = (2, Just(Act::Restart).boxed());
    let gone = prop::sample::select(vec![None, None, Some(Away::Gone), Some(Away::Mute)]);
    let faulty = vec![
        (6, gone.prop_map(Act::Remote).boxed()),
        (3, any::<bool>().prop_map(Act::OriginFails).boxed()),
        (2, Just(Act::LoseNotice).boxed()),
        (1, Just(Act::Cut).boxed()),
        (1, Just(Act::Forget).boxed()),
    ];
    let acts = match reach {
        Reach::Healthy => healthy,
        Reach::Sequential => [healthy, vec![restart]].concat(),
        Reach::Faulty => [healthy, faulty, vec![restart]].concat(),
    };
    prop::strategy::Union::new_weighted(acts).boxed()
}

fn step(reach: Reach) -> impl prop::strategy::Strategy<Value = Step> {
    // Mostly side by side; now and then long enough for a TTL to end.
    let after_ms = match reach {
        Reach::Sequential => (0..1_u64).boxed(),
        _ => proptest::prop_oneof![6 => 0..10_u64, 2 => 10..100_u64, 1 => 100..5_000_u64].boxed(),
    };
    (act(reach), 0..INSTANCES, 0..=12_u8, after_ms).prop_map(|(act, by, pace, after_ms)| Step {
        after: Duration::from_millis(after_ms),
        by,
        pace,
        act,
    })
}

pub(super) fn script(reach: Reach) -> impl prop::strategy::Strategy<Value = Script> {
    prop::collection::vec(step(reach), 1..60).prop_map(Script)
}

/// Every setup with this strategy, consistency and means.
pub(super) fn setup(
    strategy: Strategy,
    consistency: Consistency,
    stampede: Stampede,
) -> impl prop::strategy::Strategy<Value = Setup> {
    let invalidation = prop::sample::select(vec![Invalidation::Event, Invalidation::Time]);
    let broadly = prop::sample::select(vec![Broadly::Generation, Broadly::Scan]);
    let on_loss = prop::sample::select(vec![OnLoss::Flush, OnLoss::Revalidate]);
    (invalidation, broadly, on_loss, prop::bool::weighted(0.8)).prop_map(
        move |(invalidation, broadly, on_loss, local)| Setup {
            strategy,
            stampede,
            consistency,
            invalidation,
            broadly,
            on_loss,
            local,
        },
    )
}
