//! What users of several kinds do on their journeys, and what arrivals do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use crate::engine::data_type::{DataType, KeyPattern, Strategy as CacheStrategy};
use crate::units::{Ratio, SpanRange};
use crate::workload::kinds::{Carried, Times};
use crate::workload::{Journey, MixEntry, Popularity, Population, UserKind, What};

const SESSION: DataTypeId = DataTypeId(0);
const PRODUCT: DataTypeId = DataTypeId(1);
const STOCK: DataTypeId = DataTypeId(2);
const QUOTE: DataTypeId = DataTypeId(3);
const ORDER: DataTypeId = DataTypeId(4);

const USERS: u32 = 40;

fn policies() -> PolicyTable {
    let row = |name: &str, key: &str| {
        let key = key.parse::<KeyPattern>().expect(key);
        DataType::new(name, key, CacheStrategy::CacheAside, Duration::from_mins(1))
    };
    PolicyTable::new(vec![
        row("session", "session:{session_id}"),
        row("product", "product:{product_id}"),
        row("stock", "stock:{warehouse}:{product_id}"),
        row("quote", "quote:{user_id}:{product_id}"),
        row("order", "order:{number}"),
    ])
}

fn populations() -> Vec<Population> {
    use Dimension::{Cardinality, Unique};
    let population =
        |dimensions: &[Dimension], popularity| Population::new(dimensions.to_vec(), popularity);
    vec![
        population(&[Cardinality(USERS.into())], Popularity::PerUser),
        population(&[Cardinality(1_000)], Popularity::Zipf { skew: 0.9 }),
        population(&[Cardinality(5), Cardinality(1_000)], Popularity::Uniform),
        population(
            &[Cardinality(USERS.into()), Cardinality(1_000)],
            Popularity::PerUser,
        ),
        population(&[Unique], Popularity::Uniform),
    ]
}

fn get(data_type: DataTypeId) -> JourneyStep {
    JourneyStep::once(data_type, Operation::Get)
}

fn carried(param: u8, value: u8) -> Vec<Carried> {
    vec![Carried { param, value }]
}

fn span(text: &str) -> SpanRange {
    text.parse().expect(text)
}

/// Logs in, browses, looks at the stock of what it saw last, perhaps quotes it, perhaps orders, and
/// then looks at its order.
fn buy() -> Journey {
    Journey {
        name: "buy".to_owned(),
        weight: 3.0,
        steps: vec![
            JourneyStep::once(SESSION, Operation::Put),
            JourneyStep {
                times: Times { min: 2, max: 6 },
                think_time: Some(span("5s..6s")),
                remember: carried(0, 0),
                leave: Ratio(0.25),
                ..get(PRODUCT)
            },
            JourneyStep {
                uses: carried(1, 0),
                ..get(STOCK)
            },
            JourneyStep {
                chance: Ratio(0.4),
                uses: carried(1, 0),
                ..get(QUOTE)
            },
            JourneyStep {
                chance: Ratio(0.5),
                remember: carried(0, 1),
                ..JourneyStep::once(ORDER, Operation::Put)
            },
            JourneyStep {
                uses: carried(0, 1),
                ..get(ORDER)
            },
        ],
        remembered: vec!["product_id".to_owned(), "order".to_owned()],
    }
}

fn look() -> Journey {
    Journey {
        name: "look".to_owned(),
        weight: 1.0,
        steps: vec![get(PRODUCT)],
        remembered: Vec::new(),
    }
}

fn shoppers(users: u32, journeys: Vec<Journey>) -> UserKind {
    UserKind {
        name: "shoppers".to_owned(),
        users,
        think_time: span("1s..2s"),
        on_start: vec![(SESSION, Operation::Get)],
        what: What::Journeys(journeys),
    }
}

fn crawlers(users: u32) -> UserKind {
    UserKind {
        name: "crawlers".to_owned(),
        on_start: vec![(SESSION, Operation::Invalidate)],
        ..UserKind::only(
            users,
            span("100ms"),
            vec![MixEntry {
                data_type: PRODUCT,
                operation: Operation::Get,
                weight: 1.0,
            }],
        )
    }
}

fn traffic_of(kinds: Vec<UserKind>, seed: u64) -> Arc<Traffic> {
    let workload = Workload {
        kinds,
        populations: populations(),
        sample: None,
    };
    Traffic::new(&workload, &policies(), Seed(seed))
}

fn steps_of(mut user: User, count: usize) -> Vec<Step> {
    let steps = std::iter::repeat_with(move || user.next());
    steps
        .take_while(|step| *step != Step::End)
        .take(count)
        .collect()
}

fn steps(traffic: &Arc<Traffic>, index: u64, count: usize) -> Vec<Step> {
    steps_of(User::new(Arc::clone(traffic), index), count)
}

/// Requests, each with the pause before it.
fn paced(steps: &[Step]) -> Vec<(Duration, Request)> {
    let mut pause = Duration::ZERO;
    let mut paced = Vec::new();
    for step in steps {
        match step {
            Step::Think(time) => pause = *time,
            Step::Request(request) => paced.push((std::mem::take(&mut pause), *request)),
            Step::End => {}
        }
    }
    paced
}

/// The journeys that a user of `buy` alone made, each from its login on; the last may be cut short.
fn journeys(seed: u64, index: u64, count: usize) -> Vec<Vec<(Duration, Request)>> {
    let traffic = traffic_of(vec![shoppers(USERS, vec![buy()])], seed);
    let mut journeys: Vec<Vec<_>> = Vec::new();
    // What it does when it comes is no part of a journey.
    for (pause, request) in paced(&steps(&traffic, index, count)).into_iter().skip(1) {
        if (request.data_type, request.operation) == (SESSION, Operation::Put) {
            journeys.push(Vec::new());
        }
        journeys
            .last_mut()
            .expect("a journey begins with its login")
            .push((pause, request));
    }
    journeys.pop();
    journeys
}

fn of(journey: &[(Duration, Request)], data_type: DataTypeId) -> Vec<Request> {
    let requests = journey.iter().map(|(_, request)| *request);
    requests
        .filter(|request| request.data_type == data_type)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn steps_come_in_their_order_and_what_is_remembered_is_used(seed: u64, index in 0..u64::from(USERS)) {
        for journey in journeys(seed, index, 400) {
            let order: Vec<u16> = journey.iter().map(|(_, request)| request.data_type.0).collect();
            prop_assert!(order.is_sorted(), "{order:?}");
            let seen = of(&journey, PRODUCT);
            prop_assert!((2..=6).contains(&seen.len()), "{order:?}");
            let last = seen.last().expect("browsed").params.as_slice()[0];
            for stock in of(&journey, STOCK) {
                prop_assert_eq!(stock.params.as_slice()[1], last);
                prop_assert!(stock.params.as_slice()[0] < 5, "the rest is drawn");
            }
            for quote in of(&journey, QUOTE) {
                prop_assert_eq!(quote.params.as_slice(), [index, last]);
            }
            let orders = of(&journey, ORDER);
            prop_assert!(orders.is_empty() || orders.len() == 2);
            if let [put, get] = &*orders {
                prop_assert_eq!((put.operation, get.operation), (Operation::Put, Operation::Get));
                prop_assert_eq!(put.params, get.params, "it looks at its own order");
            }
        }
    }

    #[test]
    fn who_thinks_thinks_as_the_last_step_says(seed: u64, index in 0..u64::from(USERS)) {
        for journey in journeys(seed, index, 400) {
            for pair in journey.windows(2) {
                let after = pair[0].1.data_type;
                let (from, to) = if after == PRODUCT { (5, 6) } else { (1, 2) };
                let wanted = Duration::from_secs(from)..=Duration::from_secs(to);
                prop_assert!(wanted.contains(&pair[1].0), "{pair:?}");
            }
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_journeys(seed: u64, index in 0..u64::from(USERS)) {
        let make = |seed, index| {
            let kinds = vec![shoppers(30, vec![buy(), look()]), crawlers(10)];
            let traffic = traffic_of(kinds, seed);
            let arrival = User::for_arrival(Arc::clone(&traffic), index);
            (steps(&traffic, index, 200), steps_of(arrival, 200))
        };
        prop_assert_eq!(make(seed, index), make(seed, index));
        prop_assert_ne!(make(seed, index).0, make(seed ^ 1, index).0);
    }

    #[test]
    fn any_journey_is_survived(
        shape in prop::collection::vec(
            (0_u16..7, 0_u16..3, 0_u16..4, 0.0_f64..=1.0, 0.0_f64..=1.0, 0_u8..9, 0_u8..9), 0..6,
        ),
        weight in prop::sample::select(vec![0.0, 1.0]),
        seed: u64,
    ) {
        let step = |(data_type, min, more, chance, leave, remember, uses)| JourneyStep {
            times: Times { min, max: min + more },
            chance: Ratio(chance),
            leave: Ratio(leave),
            remember: carried(remember % 3, remember),
            uses: carried(uses % 3, uses % 5),
            ..get(DataTypeId(data_type))
        };
        let journey = Journey { weight, steps: shape.into_iter().map(step).collect(), ..buy() };
        let traffic = traffic_of(vec![shoppers(3, vec![journey])], seed);
        let mut asked = false;
        for step in steps(&traffic, 1, 300) {
            // Never two requests without a pause, but for the login.
            prop_assert!(!(asked && matches!(step, Step::Request(_))));
            asked = matches!(step, Step::Request(_));
        }
        let arrival = User::for_arrival(Arc::clone(&traffic), 5);
        prop_assert!(steps_of(arrival, 1_000).len() < 100);
    }
}

/// How much of `whole` such a share of it may be off, so that one run in a million fails.
fn off(share: f64, whole: usize) -> f64 {
    5.0 * (share * (1.0 - share) / whole as f64).sqrt()
}

#[test]
fn chances_and_repeats_have_their_shares() {
    let all: Vec<_> = (0..40).flat_map(|user| journeys(7, user, 2_000)).collect();
    let within = |wanted: f64, counted: usize, whole: usize| {
        let share = counted as f64 / whole as f64;
        let off = off(wanted, whole);
        assert!((share - wanted).abs() < off, "{share} is not {wanted}");
    };
    let stayed: Vec<_> = all
        .iter()
        .filter(|one| !of(one, STOCK).is_empty())
        .collect();
    within(0.75, stayed.len(), all.len());
    let quoted = stayed.iter().filter(|one| !of(one, QUOTE).is_empty());
    within(0.4, quoted.count(), stayed.len());
    for times in 2..=6 {
        let so_often = all.iter().filter(|one| of(one, PRODUCT).len() == times);
        within(0.2, so_often.count(), all.len());
    }
    // Who orders nothing has no order to look at.
    let ordered = stayed.iter().filter(|one| of(one, ORDER).len() == 2);
    within(0.5, ordered.count(), stayed.len());
}

#[test]
fn journeys_are_begun_by_their_weights() {
    let mut never = look();
    never.weight = 0.0;
    never.steps = vec![get(QUOTE)];
    let mut buy = buy();
    buy.steps.truncate(1);
    let kinds = vec![shoppers(USERS, vec![never, buy, look()])];
    let traffic = traffic_of(kinds, 3);
    let mut counts: BTreeMap<DataTypeId, usize> = BTreeMap::new();
    for user in 0..40 {
        for (_, request) in paced(&steps(&traffic, user, 1_000)).iter().skip(1) {
            *counts.entry(request.data_type).or_default() += 1;
        }
    }
    let all: usize = counts.values().sum();
    assert_eq!(counts.len(), 2, "{counts:?}");
    let share = counts[&SESSION] as f64 / all as f64;
    assert!((share - 0.75).abs() < off(0.75, all), "{share}");
}

#[test]
fn what_is_asked_is_as_often_as_foreseen() {
    let kind = shoppers(1, vec![buy(), look()]);
    let foreseen = kind.demand();
    let traffic = traffic_of(vec![kind], 11);
    let (mut counts, mut requests, mut elapsed_s) = (BTreeMap::new(), 0, 0.0);
    for user in 0..30 {
        for (pause, request) in paced(&steps(&traffic, user, 4_000)).iter().skip(1) {
            let what = (request.data_type, request.operation);
            *counts.entry(what).or_insert(0) += 1;
            requests += 1;
            elapsed_s += pause.as_secs_f64();
        }
    }
    let all: f64 = foreseen.iter().map(|asked| asked.per_s).sum();
    let seen_all = f64::from(requests) / elapsed_s;
    assert!((seen_all / all - 1.0).abs() < 0.02, "{seen_all} {all}");
    let mut by_what: BTreeMap<(DataTypeId, Operation), f64> = BTreeMap::new();
    for asked in &foreseen {
        *by_what
            .entry((asked.data_type, asked.operation))
            .or_default() += asked.per_s / all;
    }
    assert_eq!(by_what.len(), counts.len());
    for (what, share) in by_what {
        let seen = f64::from(counts[&what]) / f64::from(requests);
        assert!(
            (seen - share).abs() < 0.01,
            "{what:?}: {seen} is not {share}"
        );
    }
}

#[test]
fn each_kind_does_what_is_its_own_and_any_few_users_are_of_all_kinds() {
    let kinds = vec![shoppers(30, vec![look()]), crawlers(10)];
    let traffic = traffic_of(kinds, 42);
    for first in [0, 4, 36] {
        let of_crawlers = (first..first + 4).filter(|user| traffic.kind_of(*user).0 == 1);
        assert_eq!(of_crawlers.count(), 1);
    }
    for index in 0..8 {
        let mut user = User::new(Arc::clone(&traffic), index);
        let Step::Request(first) = user.next() else {
            panic!("no login");
        };
        let (logs, pause) = match user.kind().0 {
            0 => (Operation::Get, span("1s..2s")),
            _ => (Operation::Invalidate, span("100ms")),
        };
        assert_eq!((first.data_type, first.operation), (SESSION, logs));
        let Step::Think(time) = user.next() else {
            panic!("no pause");
        };
        assert!((pause.min..=pause.max).contains(&time));
    }
}

#[test]
fn who_comes_back_leaves_its_journey() {
    let traffic = traffic_of(vec![shoppers(USERS, vec![buy()])], 42);
    let mut user = User::new(Arc::clone(&traffic), 7);
    for steps in 1..60 {
        for _ in 0..steps {
            user.next();
        }
        user.come_back();
        let asked: Vec<_> = (0..3).map(|_| user.next()).collect();
        let [Step::Request(start), Step::Think(_), Step::Request(login)] = &*asked else {
            panic!("{asked:?}");
        };
        assert_eq!(start.operation, Operation::Get);
        assert_eq!(
            (login.data_type, login.operation),
            (SESSION, Operation::Put)
        );
    }
}

#[test]
fn an_arrival_is_one_journey_or_one_request() {
    let kinds = vec![shoppers(30, vec![buy()]), crawlers(10)];
    let traffic = traffic_of(kinds, 42);
    let (mut crawled, mut numbers, mut sessions) = (0, BTreeSet::new(), BTreeSet::new());
    let arrivals = 4_000;
    for number in 0..arrivals {
        let user = User::for_arrival(Arc::clone(&traffic), number);
        assert_eq!(
            (user.index(), user.kind()),
            (number, traffic.arrival_kind(number))
        );
        let is_crawler = user.kind().0 == 1;
        let asked = steps_of(user, 100);
        if is_crawler {
            crawled += 1;
            let [Step::Request(request)] = &*asked else {
                panic!("{asked:?}");
            };
            assert_eq!(request.data_type, PRODUCT);
            continue;
        }
        let asked = paced(&asked);
        assert_eq!(asked[0].0, Duration::ZERO, "it begins at once");
        let session = asked[0].1;
        assert_eq!(
            (session.data_type, session.operation),
            (SESSION, Operation::Get)
        );
        let logins = of(&asked, SESSION);
        assert_eq!(logins.len(), 2, "one journey: {asked:?}");
        assert_eq!(logins[0].params, logins[1].params, "one user");
        sessions.insert(session.params.as_slice()[0]);
        if let [put, _] = &*of(&asked, ORDER) {
            assert!(numbers.insert(put.params.as_slice()[0]), "used before");
        }
    }
    let share = f64::from(crawled) / arrivals as f64;
    assert!(
        (share - 0.25).abs() < off(0.25, arrivals as usize),
        "{share}"
    );
    assert!(numbers.len() > 1_000);
    // Their sessions are those of users of their kind.
    assert_eq!(sessions.len(), 30);
    let their_own = |session: &u64| traffic.kind_of(*session).0 == 0;
    assert!(sessions.iter().all(their_own));
}

#[test]
fn an_arrival_begins_with_its_journey_if_nothing_is_done_before() {
    let mut kind = shoppers(USERS, vec![look()]);
    kind.on_start.clear();
    let traffic = traffic_of(vec![kind], 42);
    let asked = steps_of(User::for_arrival(traffic, 3), 100);
    assert!(matches!(&*asked, [Step::Request(_)]), "{asked:?}");
}

#[test]
fn an_arrival_with_nothing_to_ask_ends() {
    for what in [What::Mix(Vec::new()), What::Journeys(Vec::new())] {
        let mut kind = shoppers(USERS, Vec::new());
        kind.on_start.clear();
        kind.what = what;
        let traffic = traffic_of(vec![kind], 42);
        assert!(steps_of(User::for_arrival(Arc::clone(&traffic), 3), 9).is_empty());
        let user = steps(&traffic, 3, 4);
        assert!(matches!(user[1], Step::Think(Duration::MAX)), "{user:?}");
    }
    let nobody = traffic_of(Vec::new(), 42);
    assert!(steps_of(User::for_arrival(nobody, 3), 9).is_empty());
}
