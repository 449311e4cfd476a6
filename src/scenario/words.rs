//! The words of the schema for what the engine and Redis know: read and written in one spelling.

use super::decode::{Decode, keyword};
use super::diagnostics::Errors;
use super::file::arrivals::Spacing;
use super::jobs::Deployment;
use super::plan::{Driver, SizesOf};
use super::yaml::Node;
use crate::engine::data_type::{Consistency, Invalidation, LimitAlgorithm, Strategy};
use crate::engine::invalidation::{Broadly, OnLoss, Transport};
use crate::engine::local::LocalPolicy;
use crate::engine::write_behind::policy::OnFull;
use crate::environment::EvictionPolicy;
use crate::environment::redis_topology::{Persistence, ReadFrom, Topology};
use crate::workload::trace::TraceFormat;

/// A value that is written as one of a few words.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// What the value is called.
    const WHAT: &'static str;
    /// Every word with its value.
    const WORDS: &'static [(&'static str, Self)];

    /// The word of this value.
    fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(_, value)| *value == self);
        found.map_or("", |(word, _)| word)
    }
}

impl Word for Consistency {
    const WHAT: &'static str = "consistency";
    const WORDS: &'static [(&'static str, Self)] =
        &[("versioned", Self::Versioned), ("naive", Self::Naive)];
}

impl Word for OnFull {
    const WHAT: &'static str = "way with a full queue";
    const WORDS: &'static [(&'static str, Self)] =
        &[("sync", Self::Sync), ("refuse", Self::Refuse)];
}

impl Word for Strategy {
    const WHAT: &'static str = "strategy";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("cache-aside", Self::CacheAside),
        ("write-through", Self::WriteThrough),
        ("write-behind", Self::WriteBehind),
        ("counter", Self::Counter),
    ];
}

impl Word for Invalidation {
    const WHAT: &'static str = "invalidation";
    const WORDS: &'static [(&'static str, Self)] = &[("time", Self::Time), ("event", Self::Event)];
}

impl Word for Transport {
    const WHAT: &'static str = "transport";
    const WORDS: &'static [(&'static str, Self)] =
        &[("pubsub", Self::Pubsub), ("tracking", Self::Tracking)];
}

impl Word for Broadly {
    const WHAT: &'static str = "way to invalidate many keys";
    const WORDS: &'static [(&'static str, Self)] =
        &[("generation", Self::Generation), ("scan", Self::Scan)];
}

impl Word for OnLoss {
    const WHAT: &'static str = "answer to a loss";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("flush", Self::Flush),
        ("revalidate", Self::Revalidate),
        ("ignore", Self::Ignore),
    ];
}

impl Word for EvictionPolicy {
    const WHAT: &'static str = "eviction policy";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("noeviction", Self::Noeviction),
        ("allkeys-lru", Self::AllkeysLru),
        ("allkeys-lfu", Self::AllkeysLfu),
        ("allkeys-random", Self::AllkeysRandom),
        ("volatile-lru", Self::VolatileLru),
        ("volatile-lfu", Self::VolatileLfu),
        ("volatile-random", Self::VolatileRandom),
        ("volatile-ttl", Self::VolatileTtl),
    ];
}

impl Word for Deployment {
    const WHAT: &'static str = "deployment";
    const WORDS: &'static [(&'static str, Self)] =
        &[("rolling", Self::Rolling), ("all-at-once", Self::AllAtOnce)];
}

impl Word for Topology {
    const WHAT: &'static str = "topology";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("standalone", Self::Standalone),
        ("replicated", Self::Replicated),
        ("sentinel", Self::Sentinel),
        ("cluster", Self::Cluster),
    ];
}

impl Word for ReadFrom {
    const WHAT: &'static str = "source of lookups";
    const WORDS: &'static [(&'static str, Self)] =
        &[("primary", Self::Primary), ("replica", Self::Replica)];
}

impl Word for Persistence {
    const WHAT: &'static str = "persistence";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("rdb", Self::Rdb),
        ("aof", Self::Aof),
        ("rdb+aof", Self::RdbAndAof),
    ];
}

impl Word for LocalPolicy {
    const WHAT: &'static str = "policy of the local layer";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("lru", Self::Lru),
        ("fifo", Self::Fifo),
        ("sieve", Self::Sieve),
        ("s3-fifo", Self::S3Fifo),
    ];
}

/// How a counter decides, without what some of the algorithms have beside their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    SlidingBuckets,
    SlidingLog,
    Gcra,
    TwoBuckets,
    FixedWindow,
}

impl Algorithm {
    /// The name of `algorithm`.
    pub(super) fn of(algorithm: LimitAlgorithm) -> Self {
        match algorithm {
            LimitAlgorithm::SlidingBuckets => Self::SlidingBuckets,
            LimitAlgorithm::SlidingLog => Self::SlidingLog,
            LimitAlgorithm::Gcra { .. } => Self::Gcra,
            LimitAlgorithm::TwoBuckets => Self::TwoBuckets,
            LimitAlgorithm::FixedWindow => Self::FixedWindow,
        }
    }
}

impl Word for Algorithm {
    const WHAT: &'static str = "algorithm of a limit";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("sliding-buckets", Self::SlidingBuckets),
        ("sliding-log", Self::SlidingLog),
        ("gcra", Self::Gcra),
        ("two-buckets", Self::TwoBuckets),
        ("fixed-window", Self::FixedWindow),
    ];
}

impl Word for Driver {
    const WHAT: &'static str = "driver";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("closed", Self::Closed),
        ("open", Self::Open),
        ("direct", Self::Direct),
    ];
}

impl Word for TraceFormat {
    const WHAT: &'static str = "format of traces";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("twitter", Self::Twitter),
        ("cachelib", Self::Cachelib),
        ("oracle-general", Self::OracleGeneral),
        ("access-log", Self::AccessLog),
        ("redis-monitor", Self::RedisMonitor),
    ];
}

impl Word for SizesOf {
    const WHAT: &'static str = "source of sizes";
    const WORDS: &'static [(&'static str, Self)] =
        &[("scenario", Self::Scenario), ("trace", Self::Trace)];
}

impl Word for Spacing {
    const WHAT: &'static str = "spacing";
    const WORDS: &'static [(&'static str, Self)] =
        &[("poisson", Self::Poisson), ("even", Self::Even)];
}

macro_rules! decode_words {
    ($($kind:ty),*) => {$(
        impl Decode for $kind {
            fn decode(node: &Node, errors: &mut Errors) -> Option<Self> {
                keyword(node, Self::WHAT, Self::WORDS, errors)
            }
        }
    )*};
}
decode_words!(
    Strategy,
    Invalidation,
    Consistency,
    EvictionPolicy,
    Topology,
    ReadFrom,
    Persistence,
    Transport,
    Broadly,
    OnLoss,
    LocalPolicy,
    OnFull,
    Deployment,
    Algorithm,
    Driver,
    Spacing,
    SizesOf,
    TraceFormat
);

#[cfg(test)]
mod tests {
    use super::*;

    /// A variant that is added elsewhere and forgotten here would be written as nothing.
    #[test]
    fn every_variant_has_its_word() {
        let spelled = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        for (word, value) in Strategy::WORDS {
            assert_eq!(spelled(serde_json::to_value(value).expect("json")), *word);
        }
        for (word, value) in Invalidation::WORDS {
            assert_eq!(spelled(serde_json::to_value(value).expect("json")), *word);
        }
        for (word, value) in Transport::WORDS {
            assert_eq!(spelled(serde_json::to_value(value).expect("json")), *word);
        }
        for (word, value) in Broadly::WORDS {
            assert_eq!(spelled(serde_json::to_value(value).expect("json")), *word);
        }
        for (word, value) in OnLoss::WORDS {
            assert_eq!(spelled(serde_json::to_value(value).expect("json")), *word);
        }
        let lengths = (
            Transport::WORDS.len(),
            Broadly::WORDS.len(),
            OnLoss::WORDS.len(),
        );
        assert_eq!(lengths, (2, 2, 3));
        for (word, value) in EvictionPolicy::WORDS {
            assert_eq!(spelled(serde_json::to_value(value).expect("json")), *word);
        }
        for (word, value) in Topology::WORDS {
            assert_eq!(spelled(serde_json::to_value(value).expect("json")), *word);
            assert_eq!(value.name(), *word);
        }
        for (word, value) in ReadFrom::WORDS {
            assert_eq!(spelled(serde_json::to_value(value).expect("json")), *word);
        }
        for (word, value) in Persistence::WORDS {
            assert_eq!(spelled(serde_json::to_value(value).expect("json")), *word);
        }
        assert_eq!((Topology::WORDS.len(), Persistence::WORDS.len()), (4, 4));
        for (word, value) in OnFull::WORDS {
            assert_eq!(spelled(serde_json::to_value(value).expect("json")), *word);
        }
        for (word, value) in Consistency::WORDS {
            assert_eq!(spelled(serde_json::to_value(value).expect("json")), *word);
        }
        for (word, value) in LocalPolicy::WORDS {
            assert_eq!(spelled(serde_json::to_value(value).expect("json")), *word);
        }
        assert_eq!(LocalPolicy::WORDS.len(), 4);
        for algorithm in [
            LimitAlgorithm::SlidingBuckets,
            LimitAlgorithm::SlidingLog,
            LimitAlgorithm::Gcra { burst: 1 },
            LimitAlgorithm::TwoBuckets,
            LimitAlgorithm::FixedWindow,
        ] {
            assert_ne!(Algorithm::of(algorithm).word(), "", "{algorithm:?}");
        }
        assert_eq!((Strategy::WORDS.len(), Invalidation::WORDS.len()), (4, 2));
        assert_eq!(Consistency::WORDS.len(), 2);
        assert_eq!(EvictionPolicy::WORDS.len(), 8);
    }
}
