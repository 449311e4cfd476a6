//! The command line: arguments in, words and an exit code out. The only room that prints.
//!
//! Standard output carries the result alone; progress and errors go to standard error.

mod args;
mod exit_code;
mod progress;
mod trace;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::drivers::{DriverError, interrupt};
use crate::report::terminal::{self, Style};
use crate::runner::{self, Finished, RunError, RunOptions, Served};
use crate::scenario::{self, plan::Plan};
use crate::units::{Span, thousands};
use args::{
    Arguments, CheckArguments, Command, KneeArguments, OutputArguments, RunArguments,
    ScenarioArguments, ServeArguments, ServerArguments, SimulateArguments, ValidateArguments,
};
use exit_code::Exit;
use progress::{Bar, Notes, Silent};

/// The widest that tables are printed.
const WIDTH_MAX: usize = 110;

/// What is done when a run is stopped.
const WRITING: &str = "what was measured is being written";

/// The whole command.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap's own words: help and versions to standard output, errors to standard error.
            let wrong = error.use_stderr();
            let _ = error.print();
            return if wrong {
                Exit::WrongInput
            } else {
                Exit::Success
            }
            .into();
        }
    };
    let exit = match arguments.command {
        Command::Run(arguments) => run(&arguments),
        Command::Simulate(arguments) => simulate(&arguments),
        Command::Validate(arguments) => validate(&arguments),
        Command::Serve(arguments) => serve(&arguments),
        Command::Check(arguments) => check(&arguments),
        Command::Trace(arguments) => trace::trace(&arguments),
    };
    exit.into()
}

/// `cachestorm check`.
fn check(arguments: &CheckArguments) -> Exit {
    match load(&arguments.scenario) {
        Ok(plan) => {
            if arguments.resolved {
                tell(&plan.resolved_yaml);
            } else {
                tell(&describe(&plan, &arguments.scenario));
            }
            Exit::Success
        }
        Err(exit) => exit,
    }
}

/// `cachestorm run`.
fn run(arguments: &RunArguments) -> Exit {
    let knee = &arguments.knee;
    let options = |options| searching(with_servers(options, &arguments.servers), knee);
    let place = (&arguments.scenario, &arguments.output, header_of(knee));
    let outcome = carry_out(place, options, |work| {
        work.runtime.block_on(async {
            let stop = stop_on_signals(WRITING);
            let (plan, told) = (work.plan, (work.options, work.progress));
            match knee.wanted() {
                Some(wanted) => Box::pin(runner::find_knee(plan, &wanted, told, &stop)).await,
                None => Box::pin(runner::run(plan, told.0, told.1, stop)).await,
            }
        })
    });
    outcome.map_or_else(std::convert::identity, |finished| tell_finished(&finished))
}

/// `cachestorm serve`. Its end by a signal is what its users expect, so it is no failure.
fn serve(arguments: &ServeArguments) -> Exit {
    let options = |options| RunOptions {
        port: arguments.port,
        ..with_servers(options, &arguments.servers)
    };
    let place = (
        &arguments.scenario(),
        &arguments.output(),
        service as Header,
    );
    let outcome = carry_out(place, options, |work| {
        work.runtime.block_on(async {
            let orders = (
                work.progress,
                stop_on_signals("what was started is being ended"),
            );
            let ready = |served: &Served| {
                work.progress.aside(&|| tell(&served.to_string()));
            };
            let (plan, options) = (work.plan, work.options);
            Box::pin(runner::serve(
                plan,
                options,
                arguments.duration,
                orders,
                ready,
            ))
            .await
        })
    });
    match outcome {
        Ok(leftovers) => {
            for warning in leftovers {
                warn(&format!("warning: {warning}"));
            }
            Exit::Success
        }
        Err(exit) => exit,
    }
}

fn with_servers(options: RunOptions, servers: &ServerArguments) -> RunOptions {
    RunOptions {
        redis_url: servers.redis.clone(),
        stores: servers.stores.iter().cloned().collect(),
        memcached: servers.memcached.clone(),
        ..options
    }
}

/// `cachestorm simulate`.
fn simulate(arguments: &SimulateArguments) -> Exit {
    let knee = &arguments.knee;
    let options = |options| searching(options, knee);
    let place = (&arguments.scenario, &arguments.output, header_of(knee));
    let outcome = carry_out(place, options, |work| {
        // Signals are heard on the runtime's threads, virtual time passes on this one.
        let stop = work.runtime.block_on(async { stop_on_signals(WRITING) });
        let (plan, told) = (work.plan, (work.options, work.progress));
        match knee.wanted() {
            Some(wanted) => runner::simulate_knee(plan, &wanted, told, &stop),
            None => runner::simulate(plan, told.0, told.1, stop),
        }
    });
    outcome.map_or_else(std::convert::identity, |finished| tell_finished(&finished))
}

/// What else was typed for a search of the knee.
fn searching(mut options: RunOptions, knee: &KneeArguments) -> RunOptions {
    options.overrides.extend(knee.as_typed());
    options
}

/// `cachestorm validate`.
fn validate(arguments: &ValidateArguments) -> Exit {
    let place = (&arguments.scenario, &arguments.output, header as Header);
    let outcome = carry_out(place, std::convert::identity, |work| {
        let stop = work.runtime.block_on(async { stop_on_signals(WRITING) });
        runner::validate(
            work.runtime,
            work.plan,
            work.options,
            (work.progress, &stop),
        )
    });
    let validated = match outcome {
        Ok(validated) => validated,
        Err(exit) => return exit,
    };
    tell(&validated.agreement.text(style()));
    tell(&format!(
        "{}\n",
        validated.folder.join("validation.md").display()
    ));
    for warning in &validated.real.leftovers {
        warn(&format!("warning: {warning}"));
    }
    match (
        validated.agreement.holds(),
        validated.agreement.doubts.is_empty(),
    ) {
        (true, _) => Exit::Success,
        (false, true) => Exit::GateFailed,
        (false, false) => Exit::Inconclusive,
    }
}

/// What a command works with.
struct Work<'w> {
    runtime: &'w Runtime,
    plan: &'w Plan,
    options: &'w RunOptions,
    progress: &'w dyn runner::Progress,
}

/// Says in a line what is about to happen.
type Header = fn(&Plan) -> String;

/// Loads the scenario and lets `work` go about it; what went wrong is told.
fn carry_out<T>(
    (scenario, output, header): (&ScenarioArguments, &OutputArguments, Header),
    with_more: impl FnOnce(RunOptions) -> RunOptions,
    work: impl FnOnce(Work<'_>) -> Result<T, RunError>,
) -> Result<T, Exit> {
    let plan = load(scenario)?;
    let options = with_more(RunOptions {
        scenario_file: scenario.file.display().to_string(),
        overrides: scenario.as_typed(),
        out: output.out.clone(),
        ..RunOptions::default()
    });
    let runtime = started(Builder::new_multi_thread().thread_name("generator"))?;
    let bar = (!output.quiet && io::stderr().is_terminal()).then(Bar::new);
    let progress: &dyn runner::Progress = match &bar {
        Some(bar) => bar,
        None if output.quiet => &Silent,
        None => &Notes,
    };
    if !output.quiet {
        warn(&header(&plan));
    }
    let outcome = work(Work {
        runtime: &runtime,
        plan: &plan,
        options: &options,
        progress,
    });
    runtime.shutdown_background();
    if let Some(bar) = bar {
        bar.clear();
    }
    outcome.map_err(|error| {
        let exit = match error {
            RunError::Environment(_) | RunError::Preflight(_) => Exit::Environment,
            RunError::Folder(_)
            | RunError::NoSuchStore { .. }
            | RunError::HasTarget { .. }
            | RunError::Sample(_)
            | RunError::NoTimes { .. }
            | RunError::Trace(_)
            | RunError::Driver(DriverError::Tls(_))
            | RunError::Knee(_) => Exit::WrongInput,
            RunError::Interrupted => Exit::Interrupted,
            RunError::Driver(_) | RunError::Report(_) => Exit::Unexpected,
        };
        fail(&error.to_string(), exit)
    })
}

fn tell_finished(finished: &Finished) -> Exit {
    tell(&terminal::render(
        &finished.report,
        &finished.html_path(),
        style(),
    ));
    for warning in &finished.leftovers {
        warn(&format!("warning: {warning}"));
    }
    Exit::of(
        finished.report.verdict,
        finished.report.validity.interrupted,
    )
}

/// True from the first interrupt or termination signal on; the second ends the process at once.
/// Meanwhile something is done, `doing`.
fn stop_on_signals(doing: &'static str) -> watch::Receiver<bool> {
    let (to, stop) = watch::channel(false);
    // The closed-loop driver owns Ctrl-C: the load tool beneath it would exit the process.
    let mut interrupts = interrupt::claim();
    tokio::spawn(async move {
        // Without signals a run can still end by itself.
        let Ok(mut terminations) = signal(SignalKind::terminate()) else {
            return std::future::pending().await;
        };
        for again in [false, true] {
            tokio::select! {
                biased;
                changed = interrupts.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
                _ = terminations.recv() => {}
            }
            if again {
                give_up();
            }
            warn(&format!("stopping: {doing} (once more to give up)"));
            // The run may have ended in this moment.
            let _ = to.send(true);
        }
    });
    stop
}

/// Ends the process at once. Managed servers are ended by their watchdogs.
#[allow(clippy::exit, reason = "the second signal means: now")]
fn give_up() -> ! {
    std::process::exit(i32::from(Exit::Interrupted as u8))
}

fn load(arguments: &ScenarioArguments) -> Result<Plan, Exit> {
    scenario::load(&arguments.file, &arguments.overrides())
        .map_err(|errors| fail(&errors.to_string(), Exit::WrongInput))
}

/// One line on what is about to happen; the seed first of all.
fn header(plan: &Plan) -> String {
    format!(
        "{} · seed {} · {} users · {} · {}",
        plan.name,
        plan.seed,
        thousands(u64::from(plan.traffic.users)),
        place(plan),
        lasts(plan),
    ) + &compared(plan)
}

/// What is asked.
fn place(plan: &Plan) -> String {
    match &plan.target {
        Some(service) => format!("target {}", service.urls.join(" ")),
        None => format!("{} instances", plan.instances),
    }
}

/// What is told of a run, or of a search for the knee, which tells of its probes itself.
fn header_of(knee: &KneeArguments) -> Header {
    let searched: Header = |plan| format!("{} · seed {}", plan.name, plan.seed);
    if knee.find_knee { searched } else { header }
}

/// The same of a service without users.
fn service(plan: &Plan) -> String {
    format!(
        "{} · seed {} · {} instances without users",
        plan.name, plan.seed, plan.instances
    )
}

/// The variants by name; each lasts as long.
fn compared(plan: &Plan) -> String {
    if plan.variants.is_empty() {
        return String::new();
    }
    let names = plan.variants.iter().map(|variant| &*variant.name);
    let names: Vec<&str> = names.collect();
    format!(" · each of {} variants: {}", names.len(), names.join(", "))
}

fn lasts(plan: &Plan) -> String {
    let phases = plan.traffic.phases.iter();
    let mut parts: Vec<String> = plan
        .baseline
        .iter()
        .map(|baseline| format!("baseline {}", Span(plan.traffic.ramp + baseline.duration)))
        .collect();
    parts.extend(phases.map(|phase| format!("{} {}", phase.name, Span(phase.duration))));
    parts.join(", ")
}

fn describe(plan: &Plan, arguments: &ScenarioArguments) -> String {
    format!(
        "{}: valid\n{}\n{} data types, {} gates\n",
        arguments.file.display(),
        header(plan),
        plan.policies.len(),
        plan.gates.len(),
    )
}

fn style() -> Style {
    let stdout = io::stdout();
    let color = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    let columns = indicatif_columns().unwrap_or(WIDTH_MAX);
    Style {
        color,
        width: columns.min(WIDTH_MAX),
    }
}

/// The terminal's width, if there is a terminal.
fn indicatif_columns() -> Option<usize> {
    io::stdout()
        .is_terminal()
        .then(|| usize::from(console::Term::stdout().size().1))
}

/// Prints the result. A reader that has gone (`| head`) is no error.
#[allow(clippy::print_stdout, reason = "the result")]
fn tell(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

#[allow(clippy::print_stderr, reason = "progress and warnings")]
fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The runtime that `threads` describes.
fn started(threads: &mut Builder) -> Result<Runtime, Exit> {
    threads.enable_all().build().map_err(|error| {
        let text = format!("threads cannot be started: {error}");
        fail(&text, Exit::Unexpected)
    })
}

fn fail(text: &str, exit: Exit) -> Exit {
    warn(&format!("error: {}", text.trim_start_matches("error: ")));
    exit
}
