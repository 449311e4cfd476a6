//! Jobs on engines that only keep what they are asked, in virtual time.

use super::*;
use crate::clock::virtual_time;
use crate::engine::EngineError;
use crate::engine::data_type::{DataType, Key, Strategy};
use crate::engine::layer::{Layer, LayerError, Outcome};
use crate::environment::instance::service::{Restarting, Served, Serving};
use crate::measure::PhaseKind;
use crate::scenario::jobs::Keys;
use crate::scenario::{Overrides, parse};
use crate::seed::Seed;
use crate::units::ByteSize;
use crate::workload::sampling::{KeySample, Share};
use crate::workload::size::ValueSizes;
use crate::workload::{Dimension, MixEntry, Popularity, Population, UserKind, Workload};

const START: Timestamp = Timestamp::from_unix_nanos(1_795_419_900 * 1_000_000_000);
const PRODUCT: DataTypeId = DataTypeId(0);
const STOCK: DataTypeId = DataTypeId(1);
const KEYS: u64 = 1_000;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What was asked: when, of which instance, what, with how many others under way.
type Asked = (Timestamp, usize, String, usize);

#[derive(Clone)]
struct Fake {
    number: usize,
    clock: Clock,
    takes: Duration,
    /// Every so many-th operation fails.
    fails: usize,
    asked: Arc<Mutex<Vec<Asked>>>,
    under_way: Arc<Mutex<usize>>,
}

impl Fake {
    async fn asked(&self, what: String) -> usize {
        let number = {
            let mut under_way = self.under_way.lock();
            *under_way += 1;
            let mut asked = self.asked.lock();
            asked.push((self.clock.now(), self.number, what, *under_way));
            asked.len()
        };
        self.clock.sleep(self.takes).await;
        *self.under_way.lock() -= 1;
        number
    }
}

impl Service for Fake {
    fn serve<'s>(
        &'s self,
        operation: Operation,
        _: DataTypeId,
        key: &'s Key,
        value: Bytes,
    ) -> Serving<'s> {
        Box::pin(async move {
            let what = format!("{} {} {}", operation.name(), key.as_str(), value.len());
            let number = self.asked(what).await;
            if self.fails > 0 && number.is_multiple_of(self.fails) {
                return Err(EngineError::Origin(LayerError::TimedOut("the origin")));
            }
            Ok(Served {
                way_back: Duration::ZERO,
                outcome: Outcome::Bypass,
                layer: Layer::Origin,
                version: None,
            })
        })
    }

    fn restart(&self) -> Restarting<'_> {
        Box::pin(async move {
            self.asked("restart".to_owned()).await;
        })
    }
}

struct Scene {
    asked: Vec<Asked>,
    runs: Vec<JobRun>,
    took: Duration,
}

impl Scene {
    fn moments_ms(&self) -> Vec<u128> {
        let moments = self.asked.iter();
        moments
            .map(|(at, ..)| at.since(START).as_millis())
            .collect()
    }

    fn whats(&self) -> Vec<&str> {
        self.asked.iter().map(|(_, _, what, _)| &**what).collect()
    }
}

fn traffic(policies: &PolicyTable, sample: Option<KeySample>) -> Arc<Traffic> {
    let population = |dimensions: &[u64]| {
        Population::new(
            dimensions
                .iter()
                .copied()
                .map(Dimension::Cardinality)
                .collect(),
            Popularity::Uniform,
        )
    };
    let workload = Workload {
        sample,
        kinds: vec![UserKind::only(
            1,
            "1s".parse().expect("a range"),
            vec![MixEntry {
                data_type: PRODUCT,
                operation: Operation::Get,
                weight: 1.0,
            }],
        )],
        populations: vec![population(&[KEYS]), population(&[50, 4])],
    };
    Traffic::new(&workload, policies, Seed(42))
}

fn job(at_ms: u64, over_ms: u64, action: JobAction) -> JobPlan {
    JobPlan {
        name: format!("at {at_ms}"),
        at: ms(at_ms),
        every: None,
        over: ms(over_ms),
        action,
    }
}

fn put(count: u64) -> JobAction {
    JobAction::OnKeys {
        operation: Operation::Put,
        keys: vec![(PRODUCT, Keys::Some(count))],
    }
}

/// Three instances, each answer after `takes`; the users are driven for 10 s.
fn run(planned: Vec<JobPlan>, takes: Duration, fails: usize) -> Scene {
    run_for(ms(10_000), planned, takes, fails)
}

/// The same, but the driver ends after `driven_for`.
fn run_for(driven_for: Duration, planned: Vec<JobPlan>, takes: Duration, fails: usize) -> Scene {
    run_sampled(None, driven_for, planned, (takes, fails))
}

/// The same with a sample of the keys.
fn run_sampled(
    sample: Option<KeySample>,
    driven_for: Duration,
    planned: Vec<JobPlan>,
    (takes, fails): (Duration, usize),
) -> Scene {
    let (runtime, clock) = virtual_time::runtime(START).expect("a runtime");
    let row = |name: &str, key: &str| {
        let key = key.parse().expect("a pattern");
        DataType::new(name, key, Strategy::WriteThrough, ms(60_000))
    };
    let policies = Arc::new(PolicyTable::new(vec![
        row("product", "product:{id}"),
        row("stock", "stock:{product}:{house}"),
    ]));
    let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let under_way: Arc<Mutex<usize>> = Arc::default();
    let fake = |number| Fake {
        number,
        clock: clock.clone(),
        takes,
        fails,
        asked: Arc::clone(&asked),
        under_way: Arc::clone(&under_way),
    };
    let services: [Arc<dyn Service>; 3] = [0, 1, 2].map(|number| Arc::new(fake(number)) as _);
    let schedule = Schedule::new(START, [("all".to_owned(), PhaseKind::Measure, ms(10_000))]);
    let jobs = Jobs {
        planned,
        services: services.into(),
        traffic: traffic(&policies, sample),
        policies,
        value_sizes: ValueSizes::constant(&[ByteSize(128), ByteSize(16)]),
        operation_limit: ms(500),
        restart_limit: ms(2_000),
        at_once: AT_ONCE,
        clock: clock.clone(),
        start: schedule.start(),
        end: schedule.end(),
        over: watch::Sender::new(false),
        runs: Mutex::default(),
    };
    let (driven, runs) = runtime.block_on(jobs.beside(async {
        clock.sleep(driven_for).await;
        "driven"
    }));
    assert_eq!(driven, "driven");
    let asked = asked.lock().clone();
    Scene {
        asked,
        runs,
        took: clock.now().since(START),
    }
}

fn counts(run: &JobRun) -> (u64, u64, u64) {
    (run.operations, run.failed, run.left)
}

#[test]
fn a_catalogue_is_written_evenly_by_all_instances() {
    let scene = run(vec![job(1_000, 5_000, put(KEYS))], ms(20), 0);
    let evenly: Vec<u128> = (0..1_000).map(|at| 1_000 + at * 5).collect();
    assert_eq!(scene.moments_ms(), evenly);
    for (at, (_, instance, what, _)) in scene.asked.iter().enumerate() {
        assert_eq!(*instance, at % 3);
        assert!(
            what.starts_with("put product:") && what.ends_with(" 128"),
            "{what}"
        );
    }
    let mut keys = scene.whats();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len() as u64, KEYS, "each key once");
    assert_eq!(
        scene.runs,
        [JobRun {
            name: "at 1000".to_owned(),
            at: ms(1_000),
            operations: KEYS,
            failed: 0,
            left: 0,
            took: ms(4_995 + 20),
        }]
    );
    assert_eq!(
        scene.took,
        ms(10_000),
        "nobody waits for jobs that are done"
    );
}

/// A tenth of the keys, at a tenth of the rate; each counts for those that it stands for.
#[test]
fn a_sample_is_written_as_its_whole() {
    let share = Share::new(1, 10).expect("a share");
    let names = Seed(42);
    let sample = Some(KeySample { share, names });
    let all = vec![job(1_000, 5_000, put(KEYS)), job(8_000, 0, put(100))];
    let whole = run(all.clone(), ms(20), 0);
    let scene = run_sampled(sample, ms(10_000), all, (ms(20), 0));
    assert_eq!(scene.asked.len(), 110);
    assert_eq!(counts(&scene.runs[0]), (KEYS, 0, 0));
    assert_eq!(counts(&scene.runs[1]), (100, 0, 0));
    assert_eq!(scene.runs[0].took, ms(4_950 + 20));
    let whole = whole.whats();
    assert!(
        scene.whats().iter().all(|key| whole.contains(key)),
        "the same names"
    );
}

#[test]
fn as_fast_as_may_be_is_bounded() {
    let scene = run(vec![job(0, 0, put(KEYS))], ms(100), 0);
    let most = scene.asked.iter().map(|(.., under_way)| *under_way).max();
    assert_eq!(most, Some(AT_ONCE));
    assert_eq!(counts(&scene.runs[0]), (KEYS, 0, 0));
    // 16 times 64 is enough for all.
    assert_eq!(scene.runs[0].took, ms(1_600));
}

#[test]
fn failures_and_what_takes_too_long_are_counted() {
    let scene = run(vec![job(0, 1_000, put(100))], ms(10), 4);
    assert_eq!(counts(&scene.runs[0]), (100, 25, 0));
    let scene = run(vec![job(0, 1_000, put(100))], ms(501), 0);
    assert_eq!(counts(&scene.runs[0]), (100, 100, 0));
}

#[test]
fn what_the_end_leaves_is_counted() {
    // Begins one each 10 ms, and the users go after 4 s of 10.
    let late = job(6_000, 10_000, put(KEYS));
    let never = job(10_000, 0, put(5));
    let scene = run(vec![late, never], ms(400), 0);
    assert_eq!(scene.runs.len(), 1);
    assert_eq!(counts(&scene.runs[0]), (400, 0, 600));
    assert_eq!(scene.took, ms(10_390), "what was under way ended");
    // A deployment at the end is brought to its end.
    let rolling = JobAction::Deploy(Deployment::Rolling);
    let late = run(vec![job(9_000, 900, rolling)], ms(1_500), 0);
    assert_eq!(counts(&late.runs[0]), (1, 0, 2));
    assert_eq!(late.took, ms(10_500));
    // One that is not answered in its time does not hold up the end.
    let stuck = run(vec![job(9_900, 0, put(5))], ms(60_000), 0);
    assert_eq!(counts(&stuck.runs[0]), (5, 5, 0));
    assert_eq!(stuck.took, ms(10_400));
}

#[test]
fn who_stops_the_run_does_not_wait_for_jobs() {
    let deployment = job(2_000, 0, JobAction::Deploy(Deployment::AllAtOnce));
    let write = job(2_900, 0, put(2));
    let scene = run_for(ms(3_000), vec![deployment, write], ms(350), 0);
    assert_eq!(scene.took, ms(3_250));
    let all: Vec<_> = scene.runs.iter().map(counts).collect();
    assert_eq!(all, [(3, 0, 0), (2, 0, 0)]);
    let stuck = job(2_000, 0, JobAction::Deploy(Deployment::AllAtOnce));
    let scene = run_for(ms(3_000), vec![stuck], ms(1_900), 0);
    assert_eq!((scene.took, counts(&scene.runs[0])), (ms(3_300), (0, 0, 3)));
}

#[test]
fn a_rolling_deployment_takes_one_after_another() {
    let rolling = JobAction::Deploy(Deployment::Rolling);
    let scene = run(vec![job(1_000, 6_000, rolling.clone())], ms(300), 0);
    assert_eq!(scene.whats(), ["restart"; 3]);
    assert_eq!(scene.moments_ms(), [1_000, 3_000, 5_000]);
    let instances: Vec<usize> = scene.asked.iter().map(|asked| asked.1).collect();
    assert_eq!(instances, [0, 1, 2]);
    assert_eq!(counts(&scene.runs[0]), (3, 0, 0));
    // Slower than planned: still one at a time.
    let slow = run(vec![job(1_000, 600, rolling.clone())], ms(1_500), 0);
    assert_eq!(slow.moments_ms(), [1_000, 2_500, 4_000]);
    // And those that do not come back are given up.
    let stuck = run(vec![job(0, 0, rolling)], ms(60_000), 0);
    assert_eq!(stuck.moments_ms(), [0, 2_000, 4_000]);
    assert_eq!(counts(&stuck.runs[0]), (3, 3, 0));
}

#[test]
fn all_at_once_is_at_once() {
    let at_once = JobAction::Deploy(Deployment::AllAtOnce);
    let scene = run(vec![job(1_000, 0, at_once)], ms(1_500), 0);
    assert_eq!(scene.moments_ms(), [1_000; 3]);
    assert_eq!(scene.runs[0].took, ms(1_500));
}

#[test]
fn invalidations_are_asked_as_written() {
    let keys = |operation, keys| JobAction::OnKeys { operation, keys };
    let jobs = vec![
        job(0, 0, JobAction::InvalidateAll(vec![PRODUCT, STOCK])),
        job(
            1_000,
            0,
            keys(Operation::InvalidatePattern, vec![(STOCK, Keys::All(50))]),
        ),
        job(
            2_000,
            0,
            keys(
                Operation::Invalidate,
                vec![(PRODUCT, Keys::Some(2)), (STOCK, Keys::Some(3))],
            ),
        ),
    ];
    let scene = run(jobs, ms(1), 0);
    let whats = scene.whats();
    assert!(whats[0].starts_with("invalidate_all product:"));
    assert!(whats[1].starts_with("invalidate_all stock:"));
    for (product, what) in whats[2..52].iter().enumerate() {
        assert_eq!(*what, format!("invalidate_pattern stock:{product}:0 0"));
    }
    let of = |beginning: &str| {
        let asked = whats[52..].iter();
        asked.filter(|what| what.starts_with(beginning)).count()
    };
    assert_eq!((of("invalidate product:"), of("invalidate stock:")), (2, 3));
    let all: Vec<_> = scene.runs.iter().map(counts).collect();
    assert_eq!(all, [(2, 0, 0), (50, 0, 0), (5, 0, 0)]);
}

#[test]
fn jobs_do_not_wait_for_each_other() {
    let again = JobPlan {
        every: Some(ms(3_000)),
        ..job(500, 2_000, put(10))
    };
    let between = job(1_050, 0, JobAction::InvalidateAll(vec![STOCK]));
    let scene = run(vec![again, between], ms(5), 0);
    let runs: Vec<(u128, u64)> = scene
        .runs
        .iter()
        .map(|run| (run.at.as_millis(), run.operations))
        .collect();
    assert_eq!(
        runs,
        [(500, 10), (1_050, 1), (3_500, 10), (6_500, 10), (9_500, 3)]
    );
    let at = scene
        .whats()
        .iter()
        .position(|what| what.starts_with("invalidate_all"));
    assert_eq!(at.map(|at| scene.moments_ms()[at]), Some(1_050));
    // Two runs of one job write different values, or the second would change nothing.
    assert_eq!(scene.runs[4].left, 7);
}

/// From the scenario's words to what is done.
#[test]
fn a_plan_is_carried_out() {
    let text = include_str!("../../../scenarios/adr-006.yaml");
    let overrides = Overrides {
        set: vec![
            (
                "jobs".to_owned(),
                "[{ name: release, at: 5s, over: 3s, deploy: rolling }]".to_owned(),
            ),
            ("warming".to_owned(), "{ keys: { product: 5 } }".to_owned()),
        ],
        ..Overrides::default()
    };
    let plan = parse("adr-006.yaml", text, &overrides).expect("a plan");
    let schedule = Schedule::new(START, [("all".to_owned(), PhaseKind::Measure, ms(9_000))]);
    let traffic = Traffic::new(&plan.workload, &plan.policies, plan.seed);
    let jobs = Jobs::new(&plan, Vec::new(), &traffic, &Clock::real(), &schedule);
    assert_eq!(jobs.planned, plan.jobs);
    assert_eq!(jobs.restart_limit, RESTART_LIMIT + ms(30_000));
    assert_eq!(jobs.value_sizes.count(), plan.policies.len());
    assert_eq!(jobs.none().planned, []);
    let mut sampled = plan;
    let share = Share::new(1, 30).expect("a share");
    let names = sampled.seed;
    sampled.workload.sample = Some(KeySample { share, names });
    assert_eq!((at_once(&sampled), AT_ONCE), (2, 64));
}
