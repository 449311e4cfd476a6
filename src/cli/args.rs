//! The arguments as typed. Options that mean the same have the same name in every command.

mod knee;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::trace::TraceArguments;
use crate::scenario::{Overrides, shown_argument};
use crate::seed::Seed;
use crate::units::Span;
pub(super) use knee::KneeArguments;

/// Will this caching design keep its promises under our traffic, and what must we buy?
#[derive(Debug, Parser)]
#[command(
    name = "cachestorm",
    version,
    max_term_width = 100,
    args_override_self = true
)]
#[command(
    after_help = "Exit codes: 0 every gate passed · 1 unexpected error · 2 the scenario or \
the arguments are wrong · 3 a gate failed · 4 inconclusive or invalid run · 5 the environment could \
not be brought up · 130 interrupted (what was measured is still written)"
)]
pub(super) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a scenario against real Redis, judge it by its gates and write a report.
    Run(RunArguments),
    /// Simulate a scenario in virtual time, with models of Redis and of the network: days pass in
    /// seconds, and the same seed gives the same report.
    Simulate(SimulateArguments),
    /// Run a scenario both ways, against real Redis and in virtual time, and compare the figures: how
    /// far can the simulation be trusted on this machine?
    Validate(ValidateArguments),
    /// Start the service of a scenario alone, for other load tools, until Ctrl-C: what a run starts,
    /// without users, report and verdict.
    Serve(ServeArguments),
    /// Check a scenario without running it; report every error in it.
    Check(CheckArguments),
    /// Look into recorded traffic, convert it, or capture that of a Redis.
    Trace(TraceArguments),
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Which scenario, and what to change in it.
    #[command(flatten)]
    pub(super) scenario: ScenarioArguments,

    /// Print the scenario as it would be run instead: overrides applied, defaults and presets filled
    /// in.
    #[arg(long)]
    pub(super) resolved: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Which scenario, and what to change in it.
    #[command(flatten)]
    pub(super) scenario: ScenarioArguments,

    /// Which servers to use instead of starting them.
    #[command(flatten)]
    pub(super) servers: ServerArguments,

    /// Whether the knee is searched.
    #[command(flatten)]
    pub(super) knee: KneeArguments,

    /// Where the report goes, and what is shown meanwhile.
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// The scenario file.
    #[arg(value_name = "SCENARIO")]
    pub(super) file: PathBuf,

    /// Serve what a run with this seed would.
    #[arg(long)]
    pub(super) seed: Option<Seed>,

    /// Change a value of the scenario, as in --set layers.remote.maxmemory=64MiB; repeatable.
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = assignment)]
    pub(super) set: Vec<(String, String)>,

    /// Which servers to use instead of starting them.
    #[command(flatten)]
    pub(super) servers: ServerArguments,

    /// Let the first instance listen on this port of 127.0.0.1 and the others on those that follow
    /// [default: any free ones].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: Option<u16>,

    /// How long to serve, as in 30s or 5m [default: until Ctrl-C].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) duration: Option<Duration>,

    /// Print the addresses alone, without progress.
    #[arg(long, short)]
    pub(super) quiet: bool,
}

impl ServeArguments {
    pub(super) fn scenario(&self) -> ScenarioArguments {
        ScenarioArguments {
            file: self.file.clone(),
            seed: self.seed,
            users: None,
            driver: None,
            targets: Vec::new(),
            duration: None,
            set: self.set.clone(),
        }
    }

    pub(super) fn output(&self) -> OutputArguments {
        OutputArguments {
            out: None,
            quiet: self.quiet,
        }
    }
}

/// Which servers to use instead of starting them.
#[derive(Debug, Args)]
pub(super) struct ServerArguments {
    /// Use this Redis instead of starting one; keys get a prefix of the run's own and are deleted.
    /// Several servers by `redis+replicated://HOST,HOST`, `redis+sentinel://HOST,HOST/SERVICE` or
    /// `redis+cluster://HOST,HOST`; TLS by `rediss`.
    #[arg(long, value_name = "URL")]
    pub(super) redis: Option<String>,

    /// Use this Redis for one of the scenario's stores aside (layers.remote.stores) instead of
    /// starting one, as in --store sessions=redis://HOST; repeatable.
    #[arg(long = "store", value_name = "NAME=URL", value_parser = store)]
    pub(super) stores: Vec<(String, String)>,

    /// Use this memcached, where the scenario's store is one, instead of starting one; keys get a
    /// prefix of the run's own and stay until their TTLs end.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) memcached: Option<String>,
}

/// Arguments of `simulate`.
#[derive(Debug, Args)]
pub(super) struct SimulateArguments {
    /// Which scenario, and what to change in it.
    #[command(flatten)]
    pub(super) scenario: ScenarioArguments,

    /// Whether the knee is searched.
    #[command(flatten)]
    pub(super) knee: KneeArguments,

    /// Where the report goes, and what is shown meanwhile.
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub(super) struct ValidateArguments {
    /// Which scenario, and what to change in it.
    #[command(flatten)]
    pub(super) scenario: ScenarioArguments,

    /// Where the reports and their comparison go, and what is shown meanwhile.
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// Where the report goes, and what is shown meanwhile.
#[derive(Debug, Args)]
pub(super) struct OutputArguments {
    /// Write the report into this folder [default: reports/<scenario>-<UTC time>].
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,

    /// Print the result alone, without progress.
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// Which scenario, and what to change in it.
#[derive(Debug, Args)]
pub(super) struct ScenarioArguments {
    /// The scenario file.
    #[arg(value_name = "SCENARIO")]
    pub(super) file: PathBuf,

    /// Reproduce a run with its seed, or try another.
    #[arg(long)]
    pub(super) seed: Option<Seed>,

    /// How many concurrent users.
    #[arg(long, value_name = "N")]
    pub(super) users: Option<u32>,

    /// What drives the users, closed (over HTTP) or direct (in process), instead of what the scenario
    /// says.
    #[arg(long, value_name = "DRIVER")]
    pub(super) driver: Option<String>,

    /// Drive the service at this base URL instead of the one that the scenario's target names;
    /// repeatable.
    #[arg(long = "target", value_name = "URL")]
    pub(super) targets: Vec<String>,

    /// How long to measure, warm-up not counted, as in 30s or 5m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) duration: Option<Duration>,

    /// Change a value of the scenario, as in --set layers.remote.maxmemory=64MiB; repeatable.
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = assignment)]
    pub(super) set: Vec<(String, String)>,
}

impl ScenarioArguments {
    /// The changes for the scenario's reader.
    pub(super) fn overrides(&self) -> Overrides {
        Overrides {
            set: self.set.clone(),
            users: self.users,
            driver: self.driver.clone(),
            target: self.targets.clone(),
            seed: self.seed,
            duration: self.duration,
        }
    }

    /// The changes as they would be typed, for the report, but for secrets.
    pub(super) fn as_typed(&self) -> Vec<String> {
        let named = [
            self.seed.map(|seed| format!("--seed {seed}")),
            self.users.map(|users| format!("--users {users}")),
            self.driver
                .as_ref()
                .map(|driver| format!("--driver {driver}")),
            self.duration.map(|time| {
                let span = Span(time).to_string().replace(' ', "");
                format!("--duration {span}")
            }),
        ];
        let targets = self.targets.iter().map(|url| format!("--target {url}"));
        let set = self
            .set
            .iter()
            .map(|(path, value)| shown_argument(path, value));
        let named = named.into_iter().flatten();
        named.chain(targets).chain(set).collect()
    }
}

fn store(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, url)) if !name.is_empty() && !url.is_empty() => {
            Ok((name.to_owned(), url.to_owned()))
        }
        _ => Err("it is not of the form NAME=URL, such as sessions=redis://HOST:6379".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}"))?;
    if span.0.is_zero() {
        Err("a run must last longer than 0".to_owned())
    } else {
        Ok(span.0)
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((path, value)) if !path.is_empty() => Ok((path.to_owned(), value.to_owned())),
        _ => Err(format!(
            "{text:?} is not of the form path=value, such as traffic.users=500"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_hold_together() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn arguments_are_told_back_as_typed() {
        let typed =
            "cachestorm run a.yaml --seed 7 --users 50 --duration 90s --set traffic.ramp=1s";
        let parsed = Arguments::try_parse_from(typed.split(' ')).expect("valid arguments");
        let Command::Run(run) = parsed.command else {
            panic!("run was typed")
        };
        let told = [
            "--seed 7",
            "--users 50",
            "--duration 1m30s",
            "--set traffic.ramp=1s",
        ];
        assert_eq!(run.scenario.as_typed(), told);
    }
}
