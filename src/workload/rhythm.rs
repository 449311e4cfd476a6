//! Which users are there over the day: a share of them that rises and falls by straight lines,
//! period after period.
//!
//! Every user has a place in (0, 1) and is there while the share is above it, so those with low
//! places stay the longest. When one comes or goes is computed from the segment that crosses its
//! place, to the nanosecond and never by trial; whether it is there follows from the same moment,
//! so that the two cannot disagree. Pure: called by the crowd of users, and by the plan.

use std::time::Duration;

use crate::units::Ratio;

/// A share of the users over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Rhythm {
    every: Duration,
    starts_at: Duration,
    /// By their moments, all different and within the period.
    points: Vec<(Duration, Ratio)>,
}

/// A straight line between two points.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// Nanoseconds from the beginning of the period of the moment looked for; of the segment over
    /// the border of two periods it may be negative.
    from: i128,
    /// Nanoseconds; above 0.
    length: i128,
    first: f64,
    last: f64,
}

impl Segment {
    /// The share `offset` nanoseconds after its beginning.
    fn share(self, offset: i128) -> f64 {
        self.first + (self.last - self.first) * (offset as f64 / self.length as f64)
    }

    /// Whether the user at `place` is there at its beginning.
    fn begins_with(self, place: f64) -> bool {
        self.first > place
    }

    /// How many nanoseconds after its beginning that is so no more; from 1 to its length.
    fn change(self, place: f64) -> Option<i128> {
        let was = self.begins_with(place);
        if was == (self.last > place) {
            return None;
        }
        let at = (place - self.first) / (self.last - self.first) * self.length as f64;
        // At its place itself a user is not there: it goes at that moment, and comes after it.
        let at = if was {
            at.ceil() as i128
        } else {
            at.floor() as i128 + 1
        };
        Some(at.clamp(1, self.length))
    }
}

impl Rhythm {
    /// The share that is given at each of `points`, moments of a period of `every`; a run begins at
    /// the moment `starts_at`. `None` if there is no point, or if one of them is not within the
    /// period, or at the same moment as another.
    pub fn new(
        every: Duration,
        starts_at: Duration,
        mut points: Vec<(Duration, Ratio)>,
    ) -> Option<Self> {
        points.sort_by_key(|(moment, _)| *moment);
        let within = points.last()?.0 < every && starts_at < every;
        let distinct = points.windows(2).all(|pair| pair[0].0 < pair[1].0);
        (within && distinct).then_some(Self {
            every,
            starts_at,
            points,
        })
    }

    /// How long it takes until it begins again.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// The moment of the period at which a run begins.
    pub fn starts_at(&self) -> Duration {
        self.starts_at
    }

    /// The moments at which the share is given, in order.
    pub fn points(&self) -> &[(Duration, Ratio)] {
        &self.points
    }

    /// The place of the user of this rank among `users`.
    pub fn place(rank: u64, users: u64) -> f64 {
        (rank as f64 + 0.5) / users.max(1) as f64
    }

    /// The share that is there `at` so long after the run's start.
    pub fn present(&self, at: Duration) -> f64 {
        let (_, moment) = self.moment(at);
        let segment = self.segment(self.segment_at(moment));
        segment.share(moment - segment.from)
    }

    /// Whether the user at `place` is there `at` so long after the run's start.
    pub fn is_present(&self, place: f64, at: Duration) -> bool {
        let (_, moment) = self.moment(at);
        let segment = self.segment(self.segment_at(moment));
        let changed = segment.change(place);
        let changed = changed.is_some_and(|after| moment - segment.from >= after);
        segment.begins_with(place) != changed
    }

    /// When the user at `place` comes or goes next, after `at`; `None`: never.
    pub fn next_change(&self, place: f64, at: Duration) -> Option<Duration> {
        let (period, moment) = self.moment(at);
        let first = self.segment_at(moment);
        // Once around, and the rest of the segment that it began in.
        (first..=first + self.points.len() as i128).find_map(|number| {
            let segment = self.segment(number);
            let change = segment.from + segment.change(place)?;
            let change = period * nanos(self.every) + change - nanos(self.starts_at);
            (change > nanos(at)).then(|| duration(change))
        })
    }

    /// When the user at `place` is there, from `at` on; `None`: never.
    pub fn comes(&self, place: f64, at: Duration) -> Option<Duration> {
        if self.is_present(place, at) {
            return Some(at);
        }
        self.next_change(place, at)
    }

    /// The largest share from `from` to `to`.
    pub fn most(&self, from: Duration, to: Duration) -> f64 {
        let (period, moment) = self.moment(from);
        let (start, end) = (period * nanos(self.every) + moment, nanos(to));
        let end = (end + nanos(self.starts_at)).max(start);
        let within = |(at, _): &&(Duration, Ratio)| {
            let next = nanos(*at) - moment;
            let next = next.rem_euclid(nanos(self.every));
            start + next <= end
        };
        let points = self.points.iter().filter(within).map(|(_, share)| share.0);
        points.fold(self.present(from).max(self.present(to)), f64::max)
    }

    /// `at` so long after the run's start is in this period, at this moment of it.
    fn moment(&self, at: Duration) -> (i128, i128) {
        let since = nanos(at) + nanos(self.starts_at);
        let every = nanos(self.every);
        (since / every, since % every)
    }

    /// The number of the segment that a moment of a period is in: that of the point before it.
    fn segment_at(&self, moment: i128) -> i128 {
        let before = self.points.partition_point(|(at, _)| nanos(*at) <= moment);
        before as i128 - 1
    }

    /// Segments are numbered as their first points; others are as many periods away.
    fn segment(&self, number: i128) -> Segment {
        let count = self.points.len() as i128;
        let point = |number: i128| {
            let (at, share) = self.points[number.rem_euclid(count) as usize];
            let period = number.div_euclid(count) * nanos(self.every);
            (period + nanos(at), share.0)
        };
        let ((from, first), (to, last)) = (point(number), point(number + 1));
        Segment {
            from,
            length: to - from,
            first,
            last,
        }
    }
}

fn nanos(duration: Duration) -> i128 {
    // A duration has less than 2^94 nanoseconds.
    duration.as_nanos().cast_signed()
}

fn duration(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);
    const NANO: Duration = Duration::from_nanos(1);

    fn rhythm(starts_at_h: u32, points: &[(u32, f64)]) -> Rhythm {
        let points = points.iter().map(|(at, share)| (HOUR * *at, Ratio(*share)));
        Rhythm::new(DAY, HOUR * starts_at_h, points.collect()).expect("a rhythm")
    }

    fn day(starts_at_h: u32) -> Rhythm {
        let points = [(0, 0.3), (4, 0.05), (9, 0.8), (15, 1.0), (20, 0.6)];
        rhythm(starts_at_h, &points)
    }

    #[test]
    fn the_share_goes_from_point_to_point_and_over_midnight() {
        let shares = [(0, 0.3), (2, 0.175), (4, 0.05), (12, 0.9), (22, 0.45)];
        for (hour, share) in shares {
            for (starts_at, days) in [(0, 0), (0, 3), (6, 1), (23, 2)] {
                let at = HOUR * (days * 24 + hour - starts_at);
                let found = day(starts_at).present(at);
                assert!((found - share).abs() < 1e-9, "{hour}: {found}");
            }
        }
        assert!((rhythm(0, &[(7, 0.4)]).present(HOUR) - 0.4).abs() < 1e-9);
    }

    #[test]
    fn a_user_comes_and_goes_where_the_share_crosses_its_place() {
        let day = day(0);
        // From 5% at 4h to 80% at 9h: half of them at 7h; from 60% at 20h to 30% at 24h.
        let comes = day.comes(0.5, Duration::ZERO).expect("it comes");
        assert_eq!(comes, HOUR * 7 + NANO);
        let goes = day.next_change(0.5, comes).expect("it goes");
        assert_eq!(goes.as_secs(), HOUR.as_secs() * 21 + 1_200);
        assert_eq!(
            day.comes(0.5, goes).map(|at| at.as_secs()),
            Some(31 * 3_600)
        );
        assert_eq!(day.comes(0.5, HOUR * 10), Some(HOUR * 10));
        let always = day.next_change(0.01, Duration::ZERO);
        let never = rhythm(0, &[(0, 0.1), (9, 0.2)]).comes(0.3, Duration::ZERO);
        assert_eq!((always, never), (None, None));
    }

    #[test]
    fn the_most_is_that_of_the_time_given() {
        let of_day = day(0);
        for (from, to, most) in [
            (0, 4, 0.3),
            (1, 2, 0.2375),
            (5, 7, 0.5),
            (5, 16, 1.0),
            (19, 20, 0.68),
            (20, 36, 0.9),
            (20, 40, 1.0),
            (3, 3, 0.1125),
        ] {
            let found = of_day.most(HOUR * from, HOUR * to);
            assert!((found - most).abs() < 1e-9, "{from} to {to}: {found}");
        }
        assert!((day(22).most(Duration::ZERO, HOUR * 8) - 0.45).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_rhythm_is_none() {
        let of = |points: &[(u64, f64)]| {
            let points = points
                .iter()
                .map(|(at, share)| (Duration::from_secs(*at), Ratio(*share)));
            Rhythm::new(
                Duration::from_secs(10),
                Duration::from_secs(3),
                points.collect(),
            )
        };
        assert!(of(&[(9, 0.1), (0, 0.2)]).is_some());
        assert!(of(&[]).is_none());
        assert!(of(&[(10, 0.1)]).is_none());
        assert!(of(&[(3, 0.1), (3, 0.1)]).is_none());
        assert!(Rhythm::new(HOUR, HOUR, vec![(Duration::ZERO, Ratio(1.0))]).is_none());
    }

    fn any_rhythm() -> impl Strategy<Value = Rhythm> {
        let every = 1_000_000_000_u64..100_000_000_000_000;
        every.prop_flat_map(|every| {
            let points = prop::collection::btree_map(0..every, 0_u32..=20, 1..8);
            (Just(every), 0..every, points).prop_map(|(every, starts_at, points)| {
                let nanos = Duration::from_nanos;
                let points = points
                    .into_iter()
                    .map(|(at, share)| (nanos(at), Ratio(f64::from(share) / 20.0)));
                Rhythm::new(nanos(every), nanos(starts_at), points.collect()).expect("a rhythm")
            })
        })
    }

    proptest! {
        #[test]
        fn presence_follows_the_share(
            rhythm in any_rhythm(),
            place in 0.0001_f64..0.9999,
            at in 0_u64..400_000_000_000_000,
        ) {
            let at = Duration::from_nanos(at);
            let share = rhythm.present(at);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&share));
            // Within a nanosecond's worth of the crossing the share's own rounding decides.
            if (share - place).abs() > 1e-6 {
                prop_assert_eq!(rhythm.is_present(place, at), share > place);
            }
            let whole = rhythm.most(at, at + rhythm.every());
            let points = rhythm.points().iter().map(|(_, share)| share.0);
            prop_assert!((whole - points.fold(0.0, f64::max)).abs() < 1e-9);
        }

        #[test]
        fn nobody_comes_or_goes_before_the_next_change(
            rhythm in any_rhythm(),
            place in 0.0001_f64..0.9999,
            at in 0_u64..400_000_000_000_000,
            between in prop::collection::vec(0.0_f64..1.0, 20),
        ) {
            let at = Duration::from_nanos(at);
            let now = rhythm.is_present(place, at);
            let change = rhythm.next_change(place, at);
            let until = change.unwrap_or(at + rhythm.every() * 2);
            let before = until.saturating_sub(NANO);
            prop_assert!(until > at);
            for share in between {
                let between = at + until.saturating_sub(at).mul_f64(share);
                prop_assert_eq!(rhythm.is_present(place, between.min(before)), now);
            }
            prop_assert_eq!(rhythm.is_present(place, before), now);
            if let Some(change) = change {
                prop_assert_eq!(rhythm.is_present(place, change), !now);
                prop_assert!(change <= at + rhythm.every());
            }
            prop_assert_eq!(rhythm.comes(place, at), if now { Some(at) } else { change });
        }
    }
}
