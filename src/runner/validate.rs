//! A scenario in real time and in virtual time, side by side: how far can the simulation be trusted
//! here?

use std::path::PathBuf;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{Finished, House, Progress, RunError, RunOptions, Time, simulate, stores, write};
use crate::clock::Clock;
use crate::report::agreement::Agreement;
use crate::report::folder::Folder;
use crate::scenario::plan::{Plan, SampleShare};

/// A simulation held against a real run.
#[derive(Debug)]
pub struct Validated {
    /// Figure by figure.
    pub agreement: Agreement,
    /// The real run.
    pub real: Finished,
    /// The simulation.
    pub simulated: Finished,
    /// Where the files are.
    pub folder: PathBuf,
}

/// Measures what a simulation must be told with half the users of `plan`, runs `plan`, simulates it,
/// and compares. `runtime` carries the real runs; to be called outside of it.
///
/// # Errors
/// As [`run`](super::run) and [`simulate`].
pub fn validate(
    runtime: &Runtime,
    plan: &Plan,
    options: &RunOptions,
    (progress, stop): (&dyn Progress, &watch::Receiver<bool>),
) -> Result<Validated, RunError> {
    stores::all_known(plan, options)?;
    let clock = Clock::real();
    let name = format!("{}-validation", plan.name);
    let pair = Folder::prepare_pair(options.out.as_deref(), &name, clock.now())?;
    let (real, calibration) = runtime.block_on(async {
        let mut house = House {
            options,
            progress,
            stop: stop.clone(),
            clock,
            time: Time::Real,
            sample: None,
            leftovers: Vec::new(),
        };
        progress.step("calibrating with half the users");
        let calibration = house.calibrate(plan).await?;
        let folder = Folder::named(&pair.file("real"))?;
        let outcome = Box::pin(house.measured(plan)).await;
        Ok::<_, RunError>((write(plan, folder, outcome)?, calibration))
    })?;
    if *stop.borrow() {
        return Err(RunError::Interrupted);
    }
    progress.step("simulating");
    // As many users as have come in real time, and no sample of them.
    let mut whole = plan.clone();
    whole.simulation.sample = SampleShare::Whole;
    let simulated = simulate(
        &whole,
        &RunOptions {
            out: Some(pair.file("virtual")),
            calibration,
            ..options.clone()
        },
        progress,
        stop.clone(),
    )?;
    let agreement = Agreement::of(&real.report, &simulated.report);
    pair.write("validation.json", &agreement.json())?;
    pair.write("validation.md", agreement.markdown().as_bytes())?;
    Ok(Validated {
        agreement,
        real,
        simulated,
        folder: pair.path().to_owned(),
    })
}
