//! A scenario in real time and in virtual time, side by side: how far can the simulation be trusted
//! here?

use std::path::PathBuf;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::calibrate::Calibrating;
use super::{
    Finished, House, Progress, RunError, RunOptions, Time, external, simulate, stores, traces,
    write,
};
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

/// Measures what a simulation must be told, runs `plan`, simulates it, and compares. `runtime` carries the real runs; to be called outside of it.
///
/// # Errors
/// As [`run`](super::run) and [`simulate`].
pub fn validate(
    runtime: &Runtime,
    plan: &Plan,
    options: &RunOptions,
    (progress, stop): (&dyn Progress, &watch::Receiver<bool>),
) -> Result<Validated, RunError> {
    external::refuse(plan, "validate")?;
    stores::all_known(plan, options)?;
    let plan = &*traces::ready(plan, progress, stop)?;
    let clock = Clock::real();
    let name = format!("{}-validation", plan.name);
    let pair = Folder::prepare_pair(options.out.as_deref(), &name, clock.now())?;
    let (real, calibrating) = runtime.block_on(async {
        let mut house = House {
            options,
            progress,
            stop: stop.clone(),
            clock,
            time: Time::Real,
            sample: None,
            leftovers: Vec::new(),
        };
        progress.step("calibrating");
        let before = house.calibrate(plan).await?;
        let folder = Folder::named(&pair.file("real"))?;
        let outcome = Box::pin(house.measured(plan)).await;
        let mut real = write(plan, folder, outcome)?;
        progress.step("calibrating once more");
        let after = house.calibrate(plan).await?;
        real.leftovers.append(&mut house.leftovers);
        Ok::<_, RunError>((real, (before, after)))
    })?;
    let (before, after) = calibrating;
    let drift = drift(&before, &after);
    let calibration = before.and(&after).calibration();
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
    let mut agreement = Agreement::of(&real.report, &simulated.report);
    agreement.notes.extend(drift);
    pair.write("validation.json", &agreement.json())?;
    pair.write("validation.md", agreement.markdown().as_bytes())?;
    Ok(Validated {
        agreement,
        real,
        simulated,
        folder: pair.path().to_owned(),
    })
}

/// How far the machine was from itself before and after the run that is predicted.
fn drift(before: &Calibrating, after: &Calibrating) -> Option<String> {
    let (before, after) = (before.median()?, after.median()?);
    let apart = after.as_secs_f64() / before.as_secs_f64() - 1.0;
    Some(format!(
        "half of the local hits took {} µs before the run and {} µs after it, {:+.0}%: no simulation can \
         be nearer than the machine is to itself",
        before.as_micros(),
        after.as_micros(),
        apart * 100.0
    ))
}
