//! Runs a plan: environment up, the same users without and with the cache, then its variants one by
//! one, then gates and report.
//!
//! The only room that knows all others. Whatever happens on the way, what it started is ended and
//! what was measured is written.

mod alerts;
mod assemble;
mod calibrate;
mod driving;
mod evidence;
mod external;
mod gate_watch;
mod generator_watch;
mod instances;
mod jobs;
mod knee;
mod memcached_server;
mod monitor;
mod pass;
mod preflight;
mod readings;
mod redis;
mod redis_model;
mod redis_server;
mod sampled;
mod scale;
mod serve;
mod sight;
mod stores;
mod traces;
mod validate;
mod variants;
mod warming;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Clock, Timestamp, virtual_time};
use crate::drivers::DriverError;
use crate::environment::calibration::Calibration;
use crate::environment::error::EnvironmentError;
use crate::measure::event_log::{EventLog, LogHash};
use crate::measure::hlog::write_response_time_hlog;
use crate::measure::recorder::Live;
use crate::report::folder::{Folder, FolderError};
use crate::report::model::Report;
use crate::report::{self, ReportError};
use crate::scenario::plan::Plan;
use crate::scenario::sample::{Choice, SampleError};
use crate::workload::trace::TraceError;
pub use knee::{KneeError, find_knee, simulate_knee};
use pass::{PassKind, PassResult};
pub use preflight::PreflightError;
use redis::Redis;
use scale::{OfWhole, Scale};
pub use serve::{Example, Served, serve};
use stores::Stores;
pub use validate::{Validated, validate};

/// When virtual time begins: always the same, so that a run depends on nothing but its plan. New
/// Year's midnight of 2026.
const VIRTUAL_START: Timestamp = Timestamp::from_unix_nanos(1_767_225_600 * 1_000_000_000);

/// How a plan is to be run, beside what the plan says.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The scenario's file, as typed.
    pub scenario_file: String,
    /// What arguments changed in it, as typed.
    pub overrides: Vec<String>,
    /// An existing Redis; `None` starts one.
    pub redis_url: Option<String>,
    /// Existing servers for stores aside, by the store's name; those that are not here are started.
    pub stores: BTreeMap<String, String>,
    /// An existing memcached, as in `host:11211`; `None` starts one where a store is memcached.
    pub memcached: Option<String>,
    /// The report's folder; `None` makes one under `reports/`.
    pub out: Option<PathBuf>,
    /// Where the first instance listens, the others on the ports that follow; `None`: on any free ones.
    pub port: Option<u16>,
    /// What a simulation takes for the parts that it does not carry out.
    pub calibration: Calibration,
}

/// A run that came to an end, by its plan or by an interruption.
#[derive(Debug)]
pub struct Finished {
    /// What was measured and judged.
    pub report: Report,
    /// Where the report's files are.
    pub folder: PathBuf,
    /// What could not be cleaned up.
    pub leftovers: Vec<String>,
}

impl Finished {
    /// The file to open.
    pub fn html_path(&self) -> PathBuf {
        self.folder.join("report.html")
    }
}

/// Why a run came to no end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Redis, the database or an instance could not be brought up.
    #[error("{0}")]
    Environment(#[from] EnvironmentError),
    /// There is no place for the report.
    #[error("{0}")]
    Folder(#[from] FolderError),
    /// The users could not be driven.
    #[error("{0}")]
    Driver(#[from] DriverError),
    /// The report could not be written.
    #[error("{0}")]
    Report(#[from] ReportError),
    /// A URL was given for a store that no variant has.
    #[error("--store {name}=…: the scenario has no store `{name}`; {known}")]
    NoSuchStore {
        /// The name given.
        name: String,
        /// Which there are.
        known: String,
    },
    /// There are too many users to simulate all of them, and a share would not be true to the whole.
    #[error("{0}")]
    Sample(#[from] SampleError),
    /// A trace is to be replayed at its own times, and has none.
    #[error(
        "{trace} has no times, so it cannot be replayed by them: give a pace that needs none, such as \
         `traffic.trace.pace: 5_000/s`, `one-by-one` or `flat-out`"
    )]
    NoTimes {
        /// The trace.
        trace: String,
    },
    /// The trace that is to be replayed cannot be read.
    #[error("{0}")]
    Trace(#[from] TraceError),
    /// This process cannot have what the run would open at once.
    #[error("{0}")]
    Preflight(#[from] PreflightError),
    /// Only the built-in service can do this.
    #[error(
        "`cachestorm {command}` works on the built-in service, and the scenario drives a target that is \
         not ours: use `cachestorm run`, or take the `target` out"
    )]
    HasTarget {
        /// The command.
        command: &'static str,
    },
    /// There is no knee to search.
    #[error("{0}")]
    Knee(#[from] KneeError),
    /// Interrupted before anything was measured.
    #[error("interrupted before anything was measured")]
    Interrupted,
}

/// Where a run is, a few times a second.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The phase's name.
    pub phase: String,
    /// How long it lasts already.
    pub elapsed: Duration,
    /// How long it will.
    pub total: Duration,
    /// How it goes.
    pub live: Live,
}

/// Shows where a run is.
pub trait Progress: Send + Sync {
    /// Something is being prepared or cleaned up.
    fn step(&self, doing: &str);
    /// Users are being driven.
    fn moment(&self, moment: &Moment);
    /// Something that is worth knowing while the run goes on.
    fn note(&self, _text: &str) {}
    /// Lets `print` print, which must not mix with what is shown.
    fn aside(&self, print: &dyn Fn()) {
        print();
    }
}

/// Runs `plan` until it is done or `stop` turns true.
///
/// # Errors
/// If nothing could be measured, or if what was measured could not be written.
pub async fn run(
    plan: &Plan,
    options: &RunOptions,
    progress: &dyn Progress,
    stop: watch::Receiver<bool>,
) -> Result<Finished, RunError> {
    stores::all_known(plan, options)?;
    let plan = &*traces::ready(plan, progress, &stop)?;
    let clock = Clock::real();
    let folder = Folder::prepare(options.out.as_deref(), &plan.name, clock.now())?;
    let mut house = House {
        options,
        progress,
        stop,
        clock,
        time: Time::Real,
        sample: None,
        leftovers: Vec::new(),
    };
    let outcome = Box::pin(house.measured(plan)).await;
    write(plan, folder, outcome)
}

/// Simulates `plan` in virtual time until it is done or `stop` turns true: all users, or samples of them
/// where the plan says so or there are too many. To be called outside of any runtime: it brings its own.
///
/// # Errors
/// As [`run`]; and if there are too many users, and a share of them would not be true to the whole.
pub fn simulate(
    plan: &Plan,
    options: &RunOptions,
    progress: &dyn Progress,
    stop: watch::Receiver<bool>,
) -> Result<Finished, RunError> {
    external::refuse(plan, "simulate")?;
    let plan = &*traces::ready(plan, progress, &stop)?;
    if let Some(told) = sampled::choice(plan)?.told() {
        progress.note(&told);
    }
    let folder = Folder::prepare(options.out.as_deref(), &plan.name, Clock::real().now())?;
    write(plan, folder, simulated(plan, (options, progress, stop)))
}

/// All of `plan` in virtual time, or samples of it.
fn simulated(plan: &Plan, orders: Orders<'_>) -> Result<Outcome, RunError> {
    match sampled::choice(plan)? {
        Choice::Whole => in_virtual_time(plan, orders, None),
        Choice::Sample { share, because } => sampled::simulate(plan, (share, &because), orders),
    }
}

/// How a simulation is to be made, who is told of it, and who may stop it.
type Orders<'r> = (&'r RunOptions, &'r dyn Progress, watch::Receiver<bool>);

/// Simulates all of `plan` in a virtual time of its own.
fn in_virtual_time(
    plan: &Plan,
    (options, progress, stop): Orders<'_>,
    sample: Option<OfWhole<'_>>,
) -> Result<Outcome, RunError> {
    let no_runtime = EnvironmentError::io("starting virtual time");
    let (runtime, clock) = virtual_time::runtime(VIRTUAL_START).map_err(no_runtime)?;
    let log = Arc::new(EventLog::new(clock.clone()));
    let time = Time::Virtual {
        calibration: Arc::new(options.calibration.clone()),
        log: Arc::clone(&log),
    };
    let mut house = House {
        options,
        progress,
        stop,
        clock,
        time,
        sample,
        leftovers: Vec::new(),
    };
    let outcome = runtime.block_on(house.measured(plan))?;
    Ok(Outcome {
        log: Some(log.hash()),
        ..outcome
    })
}

/// Whether time passes by itself, or as fast as it is simulated.
#[derive(Clone)]
enum Time {
    Real,
    Virtual {
        /// What a simulation must be told.
        calibration: Arc<Calibration>,
        /// What happens in it, over all passes and variants.
        log: Arc<EventLog>,
    },
}

impl Time {
    /// Its word in reports.
    fn name(&self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Virtual { .. } => "virtual",
        }
    }

    fn log(&self) -> Option<&Arc<EventLog>> {
        match self {
            Self::Real => None,
            Self::Virtual { log, .. } => Some(log),
        }
    }
}

/// What every plan of a run shares.
struct House<'r> {
    options: &'r RunOptions,
    progress: &'r dyn Progress,
    stop: watch::Receiver<bool>,
    clock: Clock,
    time: Time,
    /// What the plans are a sample of, if they are one.
    sample: Option<OfWhole<'r>>,
    /// What could not be cleaned up so far.
    leftovers: Vec<String>,
}

/// What every pass of a plan shares.
struct Stage<'r> {
    plan: &'r Plan,
    /// The variant that it is, if it is not the main one.
    variant: Option<&'r str>,
    progress: &'r dyn Progress,
    stop: watch::Receiver<bool>,
    clock: Clock,
    time: Time,
    scale: Scale,
    stores: Stores,
    /// Where the first instance listens, if that is said.
    port: Option<u16>,
}

/// What a plan measured: the users without and with the cache.
struct Passes {
    before: Option<PassResult>,
    after: PassResult,
    redis: Option<redis_server::Identity>,
    /// The store beside it.
    aside: Option<redis_server::Identity>,
    memcached_version: Option<String>,
    /// What to know of a target that is not ours from before the run.
    target_warnings: Vec<String>,
}

impl Passes {
    /// Whether there was a Redis, or a memcached in its place.
    fn has_store(&self) -> bool {
        self.redis.is_some() || self.memcached_version.is_some()
    }
}

impl House<'_> {
    /// Measures `plan` and its variants.
    async fn measured(&mut self, plan: &Plan) -> Result<Outcome, RunError> {
        let managed = self.options.redis_url.is_none();
        let (cleared, told) = preflight::clear(plan, managed, &self.time)?;
        if let Some(told) = told {
            self.progress.note(&told);
        }
        let started_at = self.clock.now();
        let passes = Box::pin(self.measure(plan, None)).await?;
        let variants = Box::pin(variants::measure(self, plan)).await;
        self.progress.step("writing the report");
        let mut report = assemble::report(plan, self, started_at, (&passes, &variants));
        cleared.tell(&mut report);
        let mut hlog = Vec::new();
        // Writing into memory fails only on a defect of the format's own, and the other files matter
        // more than this one.
        let written = write_response_time_hlog(&passes.after.measurements, &mut hlog);
        Ok(Outcome {
            report,
            hlog: written.is_ok().then_some(hlog),
            log: None,
            leftovers: std::mem::take(&mut self.leftovers),
        })
    }

    /// How the figures of the plan, or of one of its variants, become those of the whole.
    fn scale(&self, variant: Option<&str>) -> Scale {
        let sample = self.sample.as_ref();
        sample.map_or_else(Scale::default, |sample| sample.scale(variant))
    }

    /// What the passes of `plan` share, over `stores`.
    fn stage<'p>(&self, plan: &'p Plan, variant: Option<&'p str>, stores: Stores) -> Stage<'p>
    where
        Self: 'p,
    {
        Stage {
            plan,
            variant,
            progress: self.progress,
            stop: self.stop.clone(),
            clock: self.clock.clone(),
            time: self.time.clone(),
            scale: self.scale(variant),
            stores,
            port: self.options.port,
        }
    }

    /// Brings the remote layer's stores up, runs the passes of `plan`, and takes them down again. A
    /// variant beside the main one has no baseline of its own.
    async fn measure(&mut self, plan: &Plan, variant: Option<&str>) -> Result<Passes, RunError> {
        let stores = Box::pin(Stores::up(self, plan)).await?;
        let mut stage = self.stage(plan, variant, stores);
        let passes = Box::pin(run_passes(&mut stage)).await;
        let stores = stage.stores;
        if stores.any() {
            self.progress.step("cleaning up");
        }
        let left = Box::pin(stores.down(&self.clock)).await;
        self.leftovers.extend(left);
        passes
    }
}

async fn run_passes(stage: &mut Stage<'_>) -> Result<Passes, RunError> {
    let target_warnings = Box::pin(external::probe(stage)).await?;
    let redis = stage.stores.redis.as_ref().map(Redis::identity);
    let aside = stage.stores.aside.as_ref().map(Redis::identity);
    let memcached = stage.stores.memcached.as_ref();
    let memcached_version = memcached.map(|server| server.version().to_owned());
    let before = match &stage.plan.baseline {
        Some(_) if stage.variant.is_none() => {
            Some(Box::pin(pass::run(stage, PassKind::Before)).await?)
        }
        _ => None,
    };
    if *stage.stop.borrow() && before.is_none() {
        return Err(RunError::Interrupted);
    }
    // After an interruption this measures nothing, and the report says so.
    let after = Box::pin(pass::run(stage, PassKind::After)).await?;
    Ok(Passes {
        before,
        after,
        redis,
        aside,
        memcached_version,
        target_warnings,
    })
}

/// What became of a plan.
struct Outcome {
    report: Report,
    /// The response times in the format of `HdrHistogram`'s logs.
    hlog: Option<Vec<u8>>,
    /// What happened, in virtual time.
    log: Option<LogHash>,
    leftovers: Vec<String>,
}

/// Writes what became of `plan` into `folder`; without anything to write the folder goes.
fn write(
    plan: &Plan,
    folder: Folder,
    outcome: Result<Outcome, RunError>,
) -> Result<Finished, RunError> {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            folder.give_up();
            return Err(error);
        }
    };
    let mut extras = vec![("scenario.yaml", plan.resolved_yaml.clone().into_bytes())];
    extras.extend(outcome.hlog.map(|hlog| ("response_time.hlog", hlog)));
    report::write_all(&folder, &outcome.report, &extras)?;
    Ok(Finished {
        report: outcome.report,
        folder: folder.path().to_owned(),
        leftovers: outcome.leftovers,
    })
}
