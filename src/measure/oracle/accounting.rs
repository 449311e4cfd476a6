//! The books must balance: what two sides counted independently has to agree.
//!
//! Pure functions of counts. The runner calls them at the end with what the recorder, the engine,
//! Redis and the database counted over the same time.

use super::Finding;
use crate::units::thousands;

/// The outcomes of all requests add up to the requests: none vanished, none counts twice.
pub fn outcomes_add_up(outcomes: impl IntoIterator<Item = u64>, requests: u64) -> Finding {
    let sum: u64 = outcomes.into_iter().sum();
    finding(1, sum.abs_diff(requests), || {
        format!(
            "the outcomes add up to {}, but {} requests ended",
            thousands(sum),
            thousands(requests)
        )
    })
}

/// Every lookup that the engine says it sent to the remote layer arrived there, and nobody else looked.
///
/// `gets` is the growth of its store's own count of the lookup command over the same time. What is
/// `open` may have arrived or not.
pub fn remote_lookups_arrived(lookups: u64, open: Open, gets: u64) -> Finding {
    finding(lookups, outside(gets, lookups, open), || {
        format!(
            "the engine sent {} lookups to the remote layer{}, but it counted {}",
            thousands(lookups),
            open.told(),
            thousands(gets)
        )
    })
}

/// Every query that the engine says it sent to the database ran there, and nobody else asked.
///
/// `queries` is the database's own count over the same time. What is `open` may have run or not: it may
/// have waited in vain for a connection.
pub fn origin_queries_ran(asked: u64, open: Open, queries: u64) -> Finding {
    finding(asked, outside(queries, asked, open), || {
        format!(
            "the engine sent {} queries to the database{}, but the database ran {}",
            thousands(asked),
            open.told(),
            thousands(queries)
        )
    })
}

/// What one side cannot know of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Counted as sent, but failed: it may not have arrived.
    pub failed: u64,
    /// Users who did not wait for their answer, be it that it took too long or that they were stopped:
    /// what was under way for them then may have arrived, and is counted nowhere.
    pub given_up: u64,
}

impl Open {
    fn told(self) -> String {
        let failed = match self.failed {
            0 => String::new(),
            failed => format!(" ({} of them failed)", thousands(failed)),
        };
        match self.given_up {
            0 => failed,
            given_up => format!(
                "{failed}, and at most {} for requests that were given up",
                thousands(given_up)
            ),
        }
    }
}

/// The database never used more connections at once than its pool has (FACTS, invariant 9).
pub fn pool_kept(connections_peak: u32, connections: u32) -> Finding {
    let above = connections_peak.saturating_sub(connections);
    finding(1, above.into(), || {
        format!(
            "{connections_peak} connections were in use at once, but the pool has {connections}"
        )
    })
}

/// How far `count` is outside of what `whole` allows when what is `open` may be in or not.
fn outside(count: u64, whole: u64, open: Open) -> u64 {
    let least = whole.saturating_sub(open.failed);
    let most = whole.saturating_add(open.given_up);
    least.saturating_sub(count) + count.saturating_sub(most)
}

fn finding(checked: u64, violations: u64, worst: impl FnOnce() -> String) -> Finding {
    Finding {
        checked,
        violations,
        worst: if violations > 0 {
            worst()
        } else {
            String::new()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn failed(failed: u64) -> Open {
        Open {
            failed,
            given_up: 0,
        }
    }

    #[test]
    fn who_gives_up_leaves_something_open() {
        let open = Open {
            failed: 1,
            given_up: 3,
        };
        let violations = [8, 9, 13, 14].map(|ran| origin_queries_ran(10, open, ran).violations);
        assert_eq!(violations, [1, 0, 0, 1]);
        insta::assert_snapshot!(remote_lookups_arrived(10, open, 14).worst, @"the engine sent 10 lookups to the remote layer (1 of them failed), and at most 3 for requests that were given up, but it counted 14");
    }

    #[test]
    fn books_that_balance_have_nothing_to_tell() {
        for (found, checked) in [
            (outcomes_add_up([3, 0, 4], 7), 1),
            (remote_lookups_arrived(10, failed(0), 10), 10),
            (remote_lookups_arrived(10, failed(3), 7), 10),
            (origin_queries_ran(5, failed(1), 5), 5),
            (pool_kept(60, 60), 1),
        ] {
            let right = Finding {
                checked,
                ..Finding::default()
            };
            assert_eq!(found, right);
        }
    }

    #[test]
    fn books_that_do_not_balance_say_by_how_much() {
        let found = [
            outcomes_add_up([3, 5], 7),
            remote_lookups_arrived(1_000, failed(3), 990),
            remote_lookups_arrived(10, failed(3), 12),
            origin_queries_ran(5, failed(0), 4),
            pool_kept(61, 60),
        ];
        assert_eq!(
            found.each_ref().map(|found| found.violations),
            [1, 7, 2, 1, 1]
        );
        insta::assert_snapshot!(found.map(|found| found.worst).join("\n"), @"
        the outcomes add up to 8, but 7 requests ended
        the engine sent 1,000 lookups to the remote layer (3 of them failed), but it counted 990
        the engine sent 10 lookups to the remote layer (3 of them failed), but it counted 12
        the engine sent 5 queries to the database, but the database ran 4
        61 connections were in use at once, but the pool has 60
        ");
    }

    proptest! {
        #[test]
        fn exactly_what_failures_explain_is_allowed(
            whole in 0u64..50,
            failed in 0u64..50,
            count in 0u64..100,
        ) {
            let explained = (0..=failed.min(whole)).any(|lost| count == whole - lost);
            let open = Open { failed, given_up: 0 };
            prop_assert_eq!(outside(count, whole, open) == 0, explained);
        }
    }
}
