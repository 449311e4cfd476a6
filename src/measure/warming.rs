//! What warming did, and how soon the cache was warm.
//!
//! The first is a part of the engine observer, which keeps it by phase; the second is a pure
//! question to the seconds of a run. Asked by the runner for the report.

use std::time::Duration;

use super::series::SecondRow;
use crate::engine::data_type::DataTypeId;
use crate::engine::event::Event;
use crate::engine::warming::Warmth;

/// Over how many seconds a hit ratio is taken where rows are seconds. Less shakes, more comes late.
const WINDOW_S: u32 = 5;
/// With fewer reads in the window nothing is said of it.
pub const READS_MIN: u64 = 50;

/// What the rounds of warming did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WarmingCounts {
    /// Rounds that ended.
    pub rounds: u64,
    /// Those that left keys out because their time was up.
    pub rounds_cut: u64,
    /// How long they took together; instances go one at a time.
    pub took: Duration,
    /// The longest.
    pub took_max: Duration,
    by_data_type: Vec<Warmth>,
}

impl WarmingCounts {
    /// Counts `event`, if it is of this kind.
    pub(super) fn count(&mut self, event: &Event<'_>) {
        match *event {
            Event::Warmed { data_type, warmed } => self.of_mut(data_type).count(warmed),
            Event::WarmingEnded { warmth, took } => {
                self.rounds += 1;
                self.rounds_cut += u64::from(warmth.skipped > 0);
                self.took += took;
                self.took_max = self.took_max.max(took);
            }
            _ => {}
        }
    }

    fn of_mut(&mut self, data_type: DataTypeId) -> &mut Warmth {
        let at = data_type.index();
        if at >= self.by_data_type.len() {
            self.by_data_type.resize_with(at + 1, Warmth::default);
        }
        &mut self.by_data_type[at]
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.rounds += other.rounds;
        self.rounds_cut += other.rounds_cut;
        self.took += other.took;
        self.took_max = self.took_max.max(other.took_max);
        for (data_type, warmth) in (0..).map(DataTypeId).zip(&other.by_data_type) {
            self.of_mut(data_type).add(warmth);
        }
    }

    /// What became of the keys of `data_type`.
    pub fn of(&self, data_type: DataTypeId) -> Warmth {
        let warmth = self.by_data_type.get(data_type.index());
        warmth.copied().unwrap_or_default()
    }
}

/// Hits and answered reads in a window.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    hits: u64,
    reads: u64,
}

impl Window {
    fn of(rows: &[SecondRow], data_type: Option<DataTypeId>) -> Self {
        let mut window = Self::default();
        let answers = rows.iter().flat_map(|row| row.answers.iter().enumerate());
        let chosen = answers.filter(|(at, _)| data_type.is_none_or(|id| id.index() == *at));
        for (_, answers) in chosen {
            let hits = answers.edge + answers.local + answers.remote;
            window.hits += hits;
            window.reads += hits + answers.origin;
        }
        window
    }

    fn ratio(self) -> Option<f64> {
        (self.reads >= READS_MIN).then(|| self.hits as f64 / self.reads as f64)
    }
}

/// Over how many seconds a hit ratio is taken where a row spans `width_s` of them: one row at least.
pub fn window_s(width_s: u32) -> u32 {
    rows_of_window(width_s) * width_s.max(1)
}

fn rows_of_window(width_s: u32) -> u32 {
    WINDOW_S.div_ceil(width_s.max(1))
}

/// After how many seconds of traffic the hit ratio over the last [`window_s`] seconds (at the
/// beginning: over those that there are) first reached `target`; `None` if it never did. `rows` begin
/// with the first second of the run and span `width_s` seconds each, which is how exact it is.
pub fn seconds_to_hit_ratio(
    (rows, width_s): (&[SecondRow], u32),
    data_type: Option<DataTypeId>,
    target: f64,
) -> Option<u32> {
    let window = rows_of_window(width_s) as usize;
    let reached = |end: &usize| {
        let from = end.saturating_sub(window);
        let ratio = Window::of(&rows[from..*end], data_type).ratio();
        ratio.is_some_and(|ratio| ratio >= target)
    };
    let end = (1..=rows.len()).find(reached)?;
    u32::try_from(end).ok()?.checked_mul(width_s.max(1))
}

/// The hit ratio of the first [`window_s`] seconds; `None` with too few reads.
pub fn first_hit_ratio(
    (rows, width_s): (&[SecondRow], u32),
    data_type: Option<DataTypeId>,
) -> Option<f64> {
    let first = &rows[..rows.len().min(rows_of_window(width_s) as usize)];
    Window::of(first, data_type).ratio()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::warming::Warmed;
    use crate::measure::series::Answers;
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    const ITEM: DataTypeId = DataTypeId(1);

    fn rows(seconds: &[(u64, u64)]) -> Vec<SecondRow> {
        let answers = |hits: u64, misses: u64| {
            let item = Answers {
                local: hits / 2,
                remote: hits - hits / 2,
                origin: misses,
                ..Answers::default()
            };
            vec![Answers::default(), item]
        };
        (0..)
            .zip(seconds)
            .map(|(t_s, (hits, misses))| SecondRow {
                t_s,
                phase: None,
                users_live: 1,
                requests: hits + misses,
                errors: 0,
                response_time_us_p50: None,
                response_time_us_p95: None,
                response_time_us_p99: None,
                service_time_us_mean: None,
                answers: answers(*hits, *misses),
            })
            .collect()
    }

    #[test]
    fn a_cold_cache_takes_its_time_and_a_warm_one_none() {
        let cold = rows(&[
            (0, 100),
            (20, 80),
            (60, 40),
            (80, 20),
            (90, 10),
            (95, 5),
            (99, 1),
        ]);
        // 345 of 500 in the first five seconds, 424 of 500 in the last.
        for data_type in [None, Some(ITEM)] {
            assert_eq!(seconds_to_hit_ratio((&cold, 1), data_type, 0.80), Some(7));
            assert_eq!(first_hit_ratio((&cold, 1), data_type), Some(0.5));
        }
        assert_eq!(seconds_to_hit_ratio((&cold, 1), None, 0.85), None);
        assert_eq!(
            seconds_to_hit_ratio((&cold, 1), Some(DataTypeId(0)), 0.1),
            None
        );
        let warm = rows(&[(99, 1), (97, 3)]);
        assert_eq!(seconds_to_hit_ratio((&warm, 1), None, 0.90), Some(1));
    }

    #[test]
    fn of_wide_rows_one_is_looked_at_at_a_time() {
        assert_eq!([1, 2, 5, 60].map(window_s), [5, 6, 5, 60]);
        let day = rows(&[(0, 6_000), (5_000, 1_000), (5_900, 100)]);
        assert_eq!(seconds_to_hit_ratio((&day, 60), None, 0.8), Some(120));
        assert_eq!(seconds_to_hit_ratio((&day, 60), None, 0.95), Some(180));
        assert_eq!(first_hit_ratio((&day, 60), None), Some(0.0));
    }

    #[test]
    fn a_handful_of_reads_proves_nothing() {
        let few = rows(&[(10, 0), (10, 0), (10, 0), (10, 0), (9, 0)]);
        assert_eq!(seconds_to_hit_ratio((&few, 1), None, 0.5), None);
        assert_eq!(first_hit_ratio((&few, 1), None), None);
        assert_eq!(first_hit_ratio((&[], 1), None), None);
    }

    #[test]
    fn rounds_and_keys_are_counted() {
        let (mut one, mut two) = (WarmingCounts::default(), WarmingCounts::default());
        let warmed = |warmed| Event::Warmed {
            data_type: ITEM,
            warmed,
        };
        let ended = |skipped, seconds| Event::WarmingEnded {
            warmth: Warmth {
                skipped,
                ..Warmth::default()
            },
            took: Duration::from_secs(seconds),
        };
        one.count(&warmed(Warmed::Loaded));
        one.count(&ended(0, 2));
        two.count(&warmed(Warmed::Found));
        two.count(&warmed(Warmed::Skipped));
        two.count(&ended(1, 1));
        one.add(&two);
        assert_eq!((one.rounds, one.rounds_cut), (2, 1));
        let seconds = (one.took.as_secs(), one.took_max.as_secs());
        assert_eq!(seconds, (3, 2));
        let wanted = Warmth {
            loaded: 1,
            found: 1,
            skipped: 1,
            ..Warmth::default()
        };
        assert_eq!(
            (one.of(ITEM), one.of(DataTypeId(0))),
            (wanted, Warmth::default())
        );
    }

    proptest! {
        #[test]
        fn a_lower_target_is_never_reached_later(
            seconds in prop::collection::vec((0u64..200, 0u64..200), 0..30),
            low in 0.0..=1.0f64, more in 0.0..=1.0f64, all: bool, width_s in 1u32..100,
        ) {
            let rows = rows(&seconds);
            let data_type = all.then_some(ITEM);
            let early = seconds_to_hit_ratio((&rows, width_s), data_type, low);
            let late = seconds_to_hit_ratio((&rows, width_s), data_type, (low + more).min(1.0));
            if let Some(late) = late {
                prop_assert!(early.is_some_and(|early| early <= late));
            }
            let end_s = rows.len() as u32 * width_s;
            prop_assert!(early.is_none_or(|early| early >= width_s && early <= end_s));
            prop_assert_eq!(seconds_to_hit_ratio((&rows, width_s), data_type, 1.1), None);
        }
    }
}
