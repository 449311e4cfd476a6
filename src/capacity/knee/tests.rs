//! The search against known knees, with and without noise, and against answers that make no sense.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn per_s(per_s: f64) -> Rate {
    Rate { per_s }
}

fn limits(from: f64, to: f64, precision: f64, repeats: u32) -> Limits {
    Limits {
        from: per_s(from),
        to: per_s(to),
        precision: Ratio(precision),
        repeats,
    }
}

/// Searches until it ends; gives every probe beside what was found.
fn search(
    limits: Limits,
    seed: u64,
    mut shows: impl FnMut(Probe) -> Showing,
) -> (Found, Vec<(Probe, Showing)>) {
    let mut search = Search::new(limits, Seed(seed)).expect("limits that can be searched");
    let mut probes = Vec::new();
    loop {
        match search.ask() {
            Next::Found(found) => return (found, probes),
            Next::Probe(probe) => {
                assert_eq!(search.ask(), Next::Probe(probe), "asking changes nothing");
                let showing = shows(probe);
                probes.push((probe, showing));
                search.tell(showing);
            }
        }
        assert!(probes.len() <= search.probes_max() as usize, "it ends");
    }
}

/// Holds up to `knee`.
fn exact(knee: f64) -> impl FnMut(Probe) -> Showing {
    move |probe| {
        if probe.rate.per_s <= knee {
            Showing::Holds
        } else {
            Showing::Fails
        }
    }
}

fn rates(probes: &[(Probe, Showing)]) -> Vec<f64> {
    probes.iter().map(|(probe, _)| probe.rate.per_s).collect()
}

#[test]
fn it_grows_then_makes_sure_then_narrows() {
    let (found, probes) = search(limits(100.0, 10_000.0, 0.05, 1), 42, exact(730.0));
    assert_eq!(
        rates(&probes),
        [100.0, 200.0, 400.0, 800.0, 565.7, 672.7, 733.6, 702.5]
    );
    assert_eq!(found.holds, Some(per_s(702.5)));
    assert_eq!(found.ceiling, Some((per_s(733.6), Showing::Fails)));
    assert_eq!((found.end, found.contradiction), (End::Narrowed, None));
}

#[test]
fn repeats_are_shuffled_and_end_with_a_majority() {
    let (found, probes) = search(limits(100.0, 10_000.0, 0.05, 3), 42, exact(730.0));
    assert_eq!(found.holds, Some(per_s(702.5)));
    // Grown, both ends once more, then three rates twice, in two rounds: never rate by rate.
    let round = &rates(&probes)[6..12];
    let mut sorted = round.to_vec();
    sorted.sort_by(f64::total_cmp);
    assert_eq!(sorted, [475.7, 475.7, 565.7, 565.7, 672.7, 672.7]);
    assert_ne!(round, sorted);
    let other = search(limits(100.0, 10_000.0, 0.05, 3), 43, exact(730.0));
    assert_eq!(other.0, found);
    assert_ne!(rates(&other.1), rates(&probes), "the seed shuffles");
    let orders: Vec<u32> = probes.iter().map(|(probe, _)| probe.order).collect();
    assert_eq!(orders, (1..=probes.len() as u32).collect::<Vec<_>>());
}

#[test]
fn the_ends_of_the_range_are_told() {
    let range = limits(100.0, 1_000.0, 0.05, 3);
    let (found, _) = search(range, 1, exact(5_000.0));
    assert_eq!((found.holds, found.ceiling), (Some(per_s(1_000.0)), None));
    assert_eq!(found.end, End::HighestHolds);
    let (found, probes) = search(range, 1, exact(50.0));
    assert_eq!((found.holds, found.end), (None, End::LowestFails));
    assert_eq!(found.ceiling, Some((per_s(100.0), Showing::Fails)));
    assert_eq!(probes.len(), 2, "a majority of three");
    let (found, probes) = search(limits(70.0, 70.0, 0.05, 1), 1, exact(70.0));
    assert_eq!((found.end, probes.len()), (End::HighestHolds, 1));
}

#[test]
fn the_generators_limit_is_told_as_such() {
    let shows = |probe: Probe| match probe.rate.per_s {
        rate if rate > 3_000.0 => Showing::Generator,
        _ => Showing::Holds,
    };
    let (found, _) = search(limits(100.0, 100_000.0, 0.05, 3), 1, shows);
    let (ceiling, why) = found.ceiling.expect("a ceiling");
    assert_eq!((found.end, why), (End::Narrowed, Showing::Generator));
    let held = found.holds.expect("a rate that holds").per_s;
    assert!(held <= 3_000.0 && ceiling.per_s > 3_000.0 && ceiling.per_s / held <= 1.05);
    let (found, _) = search(limits(5_000.0, 9_000.0, 0.05, 3), 1, shows);
    assert_eq!(found.end, End::LowestFails);
    assert_eq!(found.ceiling, Some((per_s(5_000.0), Showing::Generator)));
}

#[test]
fn rates_with_too_little_evidence_are_passed_on_the_way_up() {
    let shows = |probe: Probe| match probe.rate.per_s {
        rate if rate < 300.0 => Showing::Unclear,
        rate if rate <= 900.0 => Showing::Holds,
        _ => Showing::Fails,
    };
    let (found, _) = search(limits(100.0, 10_000.0, 0.05, 3), 1, shows);
    let held = found.holds.expect("a rate that holds").per_s;
    assert!(held <= 900.0 && held * 1.05 >= 900.0, "{held}");
    let (found, _) = search(limits(1.0, 8.0, 0.05, 3), 1, shows);
    assert_eq!((found.holds, found.end), (None, End::NoEvidence));
    let never = |probe: Probe| match probe.rate.per_s {
        rate if rate < 300.0 => Showing::Unclear,
        _ => Showing::Fails,
    };
    let (found, _) = search(limits(100.0, 10_000.0, 0.05, 3), 1, never);
    assert_eq!((found.holds, found.end), (None, End::NoEvidence));
}

#[test]
fn a_higher_rate_that_holds_is_doubted_and_then_told() {
    // A hole: the rates around 600 fail whenever they are probed.
    let hole = |probe: Probe| match probe.rate.per_s {
        rate if (550.0..650.0).contains(&rate) || rate > 790.0 => Showing::Fails,
        _ => Showing::Holds,
    };
    let (found, probes) = search(limits(100.0, 10_000.0, 0.05, 3), 7, hole);
    let (fails, holds) = found.contradiction.expect("a contradiction");
    assert!((550.0..650.0).contains(&fails.per_s) && (650.0..790.0).contains(&holds.per_s));
    let held = found.holds.expect("a rate that holds").per_s;
    assert!(held < 550.0 && held > 500.0, "the lower one counts: {held}");
    let again = probes.iter().filter(|(probe, _)| probe.rate == fails);
    assert!(again.count() > 2, "probed again");
}

#[test]
fn one_unlucky_rate_is_put_right_by_more_votes() {
    // The first two looks at 565.7 are wrong, all others are right.
    let mut shows = exact(730.0);
    let unlucky = move |probe: Probe| match probe {
        Probe { repeat: 1 | 2, .. } if (probe.rate.per_s - 565.7).abs() < 0.1 => Showing::Fails,
        _ => shows(probe),
    };
    let (found, _) = search(limits(100.0, 10_000.0, 0.05, 3), 42, unlucky);
    assert_eq!(found.contradiction, None);
    assert_eq!(found.holds, Some(per_s(702.5)));
}

#[test]
fn what_cannot_be_searched_is_refused_with_advice() {
    let told = |limits| Search::new(limits, Seed(1)).expect_err("no").to_string();
    insta::assert_snapshot!([
        told(limits(0.0, 10.0, 0.05, 3)),
        told(limits(20.0, 10.0, 0.05, 3)),
        told(limits(1.0, f64::INFINITY, 0.05, 3)),
        told(limits(1.0, 10.0, 0.0, 3)),
        told(limits(1.0, 10.0, f64::NAN, 3)),
        told(limits(1.0, 10.0, 0.05, 0)),
    ].join("\n"), @"
    there is no rate to probe from 0/s to 10/s: give a lowest one above 0/s with --from and a higher one with --to
    there is no rate to probe from 20/s to 10/s: give a lowest one above 0/s with --from and a higher one with --to
    there is no rate to probe from 1/s to inf/s: give a lowest one above 0/s with --from and a higher one with --to
    a precision of 0% is none: give one from 0.1% to 100%, such as --precision 5%
    a precision of NaN% is none: give one from 0.1% to 100%, such as --precision 5%
    a rate cannot be probed 0 times: give a number from 1 to 99 with --repeats
    ");
}

#[test]
fn whoever_stops_it_gets_what_is_known() {
    let mut search = Search::new(limits(100.0, 10_000.0, 0.05, 3), Seed(1)).expect("limits");
    assert_eq!(search.stopped().holds, None);
    for showing in [Showing::Holds, Showing::Holds, Showing::Fails] {
        search.ask();
        search.tell(showing);
    }
    let found = search.stopped();
    assert_eq!((found.holds, found.end), (Some(per_s(200.0)), End::Stopped));
    assert_eq!(found.ceiling, Some((per_s(400.0), Showing::Fails)));
}

prop_compose! {
    fn any_limits()(
        from in 0.1..1e5_f64,
        factor in 1.0..5_000.0_f64,
        precision in 0.005..0.5_f64,
        repeats in 1_u32..7,
    ) -> Limits {
        limits(from, from * factor, precision, repeats)
    }
}

/// What must hold of every search, whatever it is told.
fn check(limits: Limits, found: Found, probes: &[(Probe, Showing)]) -> Result<(), TestCaseError> {
    let (from, to) = (limits.from.per_s, limits.to.per_s);
    let mut votes: BTreeMap<u64, u32> = BTreeMap::new();
    for (probe, _) in probes {
        let rate = probe.rate.per_s;
        prop_assert!((from..=to).contains(&rate), "{rate}");
        let vote = votes.entry(rate.to_bits()).or_default();
        *vote += 1;
        prop_assert_eq!(probe.repeat, *vote);
        prop_assert!(*vote <= limits.repeats * 2);
    }
    if let (Some(holds), Some((ceiling, _))) = (found.holds, found.ceiling) {
        prop_assert!(holds.per_s < ceiling.per_s);
        let factor = ceiling.per_s / holds.per_s;
        let narrow = factor <= 1.0 + limits.precision.0 + 1e-6;
        prop_assert!(found.end != End::Narrowed || narrow, "{factor}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_knee_is_found_as_precisely_as_wanted(
        limits in any_limits(),
        place in -0.2..1.2_f64,
        seed in any::<u64>(),
    ) {
        let (from, to) = (limits.from.per_s, limits.to.per_s);
        let knee = from * (to / from).powf(place);
        let (found, probes) = search(limits, seed, exact(knee));
        check(limits, found, &probes)?;
        prop_assert_eq!(found.contradiction, None);
        match found.end {
            End::Narrowed => {
                let held = found.holds.expect("a rate that holds").per_s;
                prop_assert!(held <= knee && knee <= held * (1.0 + limits.precision.0 + 1e-6));
            }
            End::HighestHolds => prop_assert!(knee >= to),
            End::LowestFails => prop_assert!(knee < from),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    /// Each look at a rate is wrong with the same chance wherever it lies; then most searches end at the
    /// knee all the same, and with noise near the knee alone, all of them.
    #[test]
    fn noise_near_the_knee_moves_it_no_further_than_it_reaches(
        place in 0.1..0.9_f64,
        noise in 0.0..0.1_f64,
        seed in any::<u64>(),
    ) {
        let limits = limits(10.0, 10_000.0, 0.05, 3);
        let knee = 10.0 * 1_000.0_f64.powf(place);
        let mut chance = Seed(seed).stream("noise");
        let (found, probes) = search(limits, seed, |probe| {
            let off = (probe.rate.per_s / knee).ln();
            let holds = if off.abs() <= noise { chance.random() } else { off < 0.0 };
            if holds { Showing::Holds } else { Showing::Fails }
        });
        check(limits, found, &probes)?;
        let held = found.holds.expect("a rate that holds").per_s;
        let off = (held / knee).ln();
        prop_assert!((-(noise + 0.05)..=noise + 1e-9).contains(&off), "{off}");
    }

    #[test]
    fn a_minority_of_wrong_looks_changes_nothing(
        place in 0.1..0.9_f64,
        wrong in 1_u32..4,
        share in 0.0..1.0_f64,
        seed in any::<u64>(),
    ) {
        // Of each rate's three looks one is wrong, of some rates.
        let limits = limits(10.0, 10_000.0, 0.05, 3);
        let knee = 10.0 * 1_000.0_f64.powf(place);
        let (found, probes) = search(limits, seed, |probe| {
            let unlucky = Seed(seed).stream_of("rate", probe.rate.per_s.to_bits()).random::<f64>();
            let lie = unlucky < share * 0.3 && probe.repeat == wrong;
            if (probe.rate.per_s <= knee) == lie { Showing::Fails } else { Showing::Holds }
        });
        check(limits, found, &probes)?;
        if found.end != End::Stopped {
            let held = found.holds.expect("a rate that holds").per_s;
            prop_assert!(held <= knee && knee <= held * 1.0501, "{held} {knee}");
        }
    }

    #[test]
    fn it_ends_within_its_bounds_whatever_it_is_told(
        limits in any_limits(),
        seed in any::<u64>(),
    ) {
        let told = |seed: u64| {
            let mut stream = Seed(seed).stream("nonsense");
            search(limits, seed, move |_| match stream.random_range(0..4) {
                0 => Showing::Holds,
                1 => Showing::Fails,
                2 => Showing::Unclear,
                _ => Showing::Generator,
            })
        };
        let (found, probes) = told(seed);
        check(limits, found, &probes)?;
        prop_assert_eq!(told(seed), (found, probes), "the same seed, the same search");
    }
}
