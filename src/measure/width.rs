//! How wide a row of a series is: one second in a run of minutes, a minute in one of a day.
//!
//! Pure. A run of whatever length has at most about [`ROWS_PLANNED_MAX`] rows, so that a series takes
//! no more memory and no larger a file for a week than for half an hour. Asked through
//! [`super::Schedule::row_width_s`] by everything that keeps rows.

use std::time::Duration;

/// Rows of a planned run at the most.
pub const ROWS_PLANNED_MAX: u32 = 2_048;

/// Widths in seconds; each divides the next, and people count in them.
const WIDTHS_S: [u32; 9] = [1, 10, 60, 300, 600, 1_800, 3_600, 21_600, 86_400];

/// The width in seconds of the rows of a run of this length: the smallest that gives it no more than
/// [`ROWS_PLANNED_MAX`] rows.
pub fn row_width_s(length: Duration) -> u32 {
    let rows = |width_s: u32| length.as_secs().div_ceil(width_s.into());
    let fits = |width_s: &u32| rows(*width_s) <= ROWS_PLANNED_MAX.into();
    // In longer ones, whole days.
    let days = || {
        let days = rows(86_400).div_ceil(ROWS_PLANNED_MAX.into());
        u32::try_from(days * 86_400).unwrap_or(u32::MAX)
    };
    WIDTHS_S.into_iter().find(fits).unwrap_or_else(days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn widths_are_those_people_count_in() {
        let hours = |hours: f64| row_width_s(Duration::from_secs_f64(hours * 3_600.0));
        assert_eq!([0.0, 0.02, 0.5].map(hours), [1, 1, 1]);
        assert_eq!([0.6, 5.0].map(hours), [10, 10]);
        assert_eq!([6.0, 24.0].map(hours), [60, 60]);
        assert_eq!([48.0, 168.0].map(hours), [300, 300]);
        assert_eq!([24.0 * 30.0, 24.0 * 365.0].map(hours), [1_800, 21_600]);
    }

    proptest! {
        #[test]
        fn there_are_never_too_many_rows(seconds in 0u64..200_000_000_000) {
            let width_s = row_width_s(Duration::from_secs(seconds));
            prop_assert!(seconds.div_ceil(width_s.into()) <= ROWS_PLANNED_MAX.into());
            prop_assert!(width_s >= 1);
        }
    }
}
