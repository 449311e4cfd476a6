//! Runs a plan: environment up, the same users without and with the cache, then gates and report.
//!
//! The only room that knows all others. Whatever happens on the way, what it started is ended and
//! what was measured is written.

mod assemble;
mod evidence;
mod monitor;
mod pass;
mod redis_server;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::drivers::DriverError;
use crate::environment::error::EnvironmentError;
use crate::environment::keyspace::RunPrefix;
use crate::measure::hlog::write_response_time_hlog;
use crate::measure::recorder::Live;
use crate::report::folder::{Folder, FolderError};
use crate::report::model::Report;
use crate::report::{self, ReportError};
use crate::scenario::plan::Plan;
use pass::{PassKind, PassResult};
use redis_server::RedisServer;

/// What drives the users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// Over HTTP, by goose.
    #[default]
    Closed,
    /// In process, without HTTP.
    Direct,
}

impl Driver {
    /// Its word in arguments and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Direct => "direct",
        }
    }
}

/// How a plan is to be run, beside what the plan says.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The scenario's file, as typed.
    pub scenario_file: String,
    /// What arguments changed in it, as typed.
    pub overrides: Vec<String>,
    /// An existing Redis; `None` starts one.
    pub redis_url: Option<String>,
    /// What drives the users.
    pub driver: Driver,
    /// The report's folder; `None` makes one under `reports/`.
    pub out: Option<PathBuf>,
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
    let clock = Clock::real();
    let started_at = clock.now();
    let folder = Folder::prepare(options.out.as_deref(), &plan.name, started_at)?;
    let prefix = RunPrefix::new(plan.seed, started_at);
    let mut stage = match bring_up(plan, options, progress, &clock, prefix).await {
        Ok(redis) => Stage {
            driver: options.driver,
            plan,
            progress,
            stop,
            clock,
            redis,
        },
        Err(error) => {
            folder.give_up();
            return Err(error);
        }
    };
    let passes = run_passes(&mut stage).await;
    let leftovers = match stage.redis.take() {
        Some(redis) => {
            progress.step("cleaning up");
            redis.down(&stage.clock).await
        }
        None => Vec::new(),
    };
    let passes = match passes {
        Ok(passes) => passes,
        Err(error) => {
            folder.give_up();
            return Err(error);
        }
    };
    progress.step("writing the report");
    let report = assemble::report(plan, options, started_at, &passes);
    write(plan, &folder, &report, &passes)?;
    Ok(Finished {
        report,
        folder: folder.path().to_owned(),
        leftovers,
    })
}

/// What every pass of a run shares.
struct Stage<'r> {
    plan: &'r Plan,
    progress: &'r dyn Progress,
    stop: watch::Receiver<bool>,
    clock: Clock,
    redis: Option<RedisServer>,
    driver: Driver,
}

/// What a run measured: the users without and with the cache.
struct Passes {
    before: Option<PassResult>,
    after: PassResult,
    redis: Option<redis_server::Identity>,
}

async fn bring_up(
    plan: &Plan,
    options: &RunOptions,
    progress: &dyn Progress,
    clock: &Clock,
    prefix: RunPrefix,
) -> Result<Option<RedisServer>, RunError> {
    let Some(remote) = &plan.layers.remote else {
        return Ok(None);
    };
    progress.step(match options.redis_url {
        Some(_) => "asking Redis",
        None => "starting Redis",
    });
    let url = options.redis_url.as_deref();
    Ok(Some(RedisServer::up(remote, url, prefix, clock).await?))
}

async fn run_passes(stage: &mut Stage<'_>) -> Result<Passes, RunError> {
    let redis = stage.redis.as_ref().map(RedisServer::identity);
    let before = match &stage.plan.baseline {
        Some(_) => Some(pass::run(stage, PassKind::Before).await?),
        None => None,
    };
    if *stage.stop.borrow() && before.is_none() {
        return Err(RunError::Interrupted);
    }
    // After an interruption this measures nothing, and the report says so.
    let after = pass::run(stage, PassKind::After).await?;
    Ok(Passes {
        before,
        after,
        redis,
    })
}

fn write(
    plan: &Plan,
    folder: &Folder,
    report: &Report,
    passes: &Passes,
) -> Result<(), ReportError> {
    let mut hlog = Vec::new();
    let mut extras = vec![("scenario.yaml", plan.resolved_yaml.clone().into_bytes())];
    // Writing into memory fails only on a defect of the format's own, and the other files matter
    // more than this one.
    if write_response_time_hlog(&passes.after.measurements, &mut hlog).is_ok() {
        extras.push(("response_time.hlog", hlog));
    }
    report::write_all(folder, report, &extras).map(|_| ())
}
