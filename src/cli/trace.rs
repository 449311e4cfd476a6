//! `cachestorm trace`: what is in a trace, traces in other forms, and traces of a Redis of one's own.
//!
//! Standard output carries the statistics, or the converted trace if it was asked for there; what is
//! told besides goes to standard error.

mod words;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::exit_code::Exit;
use super::{fail, started, stop_on_signals, tell, warn};
use crate::clock::Clock;
use crate::environment::redis_monitor::{CaptureError, CaptureOptions, Ended, capture};
use crate::units::{Ratio, Span};
use crate::workload::trace::convert::{Converted, Selection, to_csv, to_oracle_general};
use crate::workload::trace::stats::TraceStatistics;
use crate::workload::trace::{
    Malformed, OutputFile, TraceError, TraceFormat, TraceReader, open_with,
};

/// Stands for standard output.
const STANDARD: &str = "-";

/// Arguments of `trace`.
#[derive(Debug, Args)]
pub(super) struct TraceArguments {
    #[command(subcommand)]
    command: TraceCommand,
}

#[derive(Debug, Subcommand)]
enum TraceCommand {
    /// Say what is in a trace: requests, keys, rates, sizes, TTLs, and how skewed it is.
    Stats(StatsArguments),
    /// Write a trace in another form, a part of it, or a sample of its keys.
    Convert(ConvertArguments),
    /// Write what a Redis is asked as a trace, by its MONITOR; keys are hashed. MONITOR takes throughput
    /// from the server: more than half of it in Redis' own figures.
    Capture(CaptureArguments),
}

#[derive(Debug, Args)]
struct InputArguments {
    /// The trace, plain or compressed with gzip or zstd; - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Leave out lines that cannot be read, and count them.
    #[arg(long)]
    skip_malformed: bool,
}

impl InputArguments {
    fn open(&self, format: Option<TraceFormat>) -> Result<TraceReader, TraceError> {
        let malformed = if self.skip_malformed {
            Malformed::Skip
        } else {
            Malformed::Refuse
        };
        open_with(&self.file, format, malformed)
    }
}

#[derive(Debug, Args)]
struct StatsArguments {
    #[command(flatten)]
    input: InputArguments,

    /// Its format, if that cannot be told: twitter, cachelib, oracle-general, access-log or
    /// redis-monitor.
    #[arg(long)]
    format: Option<TraceFormat>,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ConvertArguments {
    #[command(flatten)]
    input: InputArguments,

    /// Where to write it, compressed if the name ends in .gz or .zst; - for standard output.
    #[arg(value_name = "OUT")]
    out: PathBuf,

    /// The format of FILE, if that cannot be told: twitter, cachelib, oracle-general, access-log or
    /// redis-monitor.
    #[arg(long, value_name = "FORMAT")]
    from: Option<TraceFormat>,

    /// The form of OUT: twitter (CSV) or oracle-general [default: by its name, else twitter].
    #[arg(long, value_name = "FORMAT", value_parser = writable)]
    to: Option<TraceFormat>,

    /// Write at most so many records.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// Write all requests of this share of the keys, as in 10%.
    #[arg(long, value_name = "SHARE")]
    sample: Option<Ratio>,
}

#[derive(Debug, Args)]
struct CaptureArguments {
    /// The server; one of them where there are several.
    #[arg(long, value_name = "URL")]
    redis: String,

    /// For how long.
    #[arg(long = "for", value_name = "TIME", default_value = "30s")]
    duration: Span,

    /// Where to write the trace, compressed if the name ends in .gz or .zst.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Write keys as they are, instead of hashes with a secret that is not kept.
    #[arg(long)]
    no_hash: bool,

    /// Say nothing that is not an error or a loss.
    #[arg(long, short)]
    quiet: bool,
}

fn writable(word: &str) -> Result<TraceFormat, String> {
    match word.parse() {
        Ok(format @ (TraceFormat::Twitter | TraceFormat::OracleGeneral)) => Ok(format),
        _ => Err("a trace is written as twitter (CSV) or oracle-general".to_owned()),
    }
}

/// `cachestorm trace`.
pub(super) fn trace(arguments: &TraceArguments) -> Exit {
    match &arguments.command {
        TraceCommand::Stats(arguments) => stats(arguments),
        TraceCommand::Convert(arguments) => convert(arguments),
        TraceCommand::Capture(arguments) => take(arguments),
    }
}

fn stats(arguments: &StatsArguments) -> Exit {
    let read = |mut trace| TraceStatistics::of(&mut trace);
    match arguments.input.open(arguments.format).and_then(read) {
        Ok(statistics) if arguments.json => match serde_json::to_string_pretty(&statistics) {
            Ok(json) => {
                tell(&format!("{json}\n"));
                Exit::Success
            }
            Err(error) => fail(&error.to_string(), Exit::Unexpected),
        },
        Ok(statistics) => {
            tell(&words::statistics(&statistics));
            Exit::Success
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &TraceError) -> Exit {
    let exit = match error {
        TraceError::Interrupted { .. } => Exit::Interrupted,
        error if error.is_of_the_input() => Exit::WrongInput,
        _ => Exit::Unexpected,
    };
    fail(&error.to_string(), exit)
}

fn convert(arguments: &ConvertArguments) -> Exit {
    let selection = Selection {
        limit: arguments.limit,
        sample: arguments.sample,
    };
    let to_standard = arguments.out == Path::new(STANDARD);
    let to = arguments.to.unwrap_or_else(|| by_name(&arguments.out));
    if to == TraceFormat::OracleGeneral && to_standard {
        let text = "oracle-general is written from its end to its beginning, which standard output \
                    cannot: name a file";
        return fail(text, Exit::WrongInput);
    }
    let (runtime, stop) = match stoppable("the file is not written") {
        Ok(stoppable) => stoppable,
        Err(exit) => return exit,
    };
    let stop = || *stop.borrow();
    let converted = arguments.input.open(arguments.from).and_then(|mut trace| {
        let converted = match to {
            TraceFormat::OracleGeneral => {
                to_oracle_general(&mut trace, &selection, &arguments.out, &stop)
            }
            _ if to_standard => to_standard_output(&mut trace, &selection, &stop),
            _ => to_file(&mut trace, &selection, &arguments.out, &stop),
        };
        converted.map(|converted| (converted, trace))
    });
    runtime.shutdown_background();
    match converted {
        Ok((converted, trace)) => {
            warn(&words::converted(&converted, &trace, &arguments.out));
            Exit::Success
        }
        // Whoever reads has read enough.
        Err(TraceError::Write { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
            Exit::Success
        }
        Err(error) => failed(&error),
    }
}

fn by_name(out: &Path) -> TraceFormat {
    let name = out.to_string_lossy().to_ascii_lowercase();
    if name.contains("oraclegeneral") {
        TraceFormat::OracleGeneral
    } else {
        TraceFormat::Twitter
    }
}

fn to_file(
    trace: &mut TraceReader,
    selection: &Selection,
    path: &Path,
    stop: &dyn Fn() -> bool,
) -> Result<Converted, TraceError> {
    let mut out = OutputFile::create(path)?;
    let converted = to_csv(trace, selection, (path, &mut out), stop)?;
    out.finish()?;
    Ok(converted)
}

fn to_standard_output(
    trace: &mut TraceReader,
    selection: &Selection,
    stop: &dyn Fn() -> bool,
) -> Result<Converted, TraceError> {
    let path = Path::new("standard output");
    let mut out = BufWriter::new(io::stdout().lock());
    let converted = to_csv(trace, selection, (path, &mut out), stop)?;
    let flushed = out.flush();
    flushed.map_err(|source| TraceError::Write {
        path: path.display().to_string(),
        source,
    })?;
    Ok(converted)
}

/// A runtime that hears signals, and then says what is being done.
fn stoppable(doing: &'static str) -> Result<(Runtime, watch::Receiver<bool>), Exit> {
    let mut threads = Builder::new_multi_thread();
    let runtime = started(threads.worker_threads(1).thread_name("trace"))?;
    let stop = runtime.block_on(async { stop_on_signals(doing) });
    Ok((runtime, stop))
}

/// `cachestorm trace capture`.
fn take(arguments: &CaptureArguments) -> Exit {
    if arguments.duration.0.is_zero() {
        return fail("a capture must last longer than 0", Exit::WrongInput);
    }
    // Whatever can be wrong with the place shows before the server is asked anything.
    let out = match OutputFile::create(&arguments.out) {
        Ok(out) => out,
        Err(error) => return fail(&error.to_string(), Exit::WrongInput),
    };
    let (runtime, stop) = match stoppable("what was captured is being written") {
        Ok(stoppable) => stoppable,
        Err(exit) => return exit,
    };
    let options = CaptureOptions {
        url: arguments.redis.clone(),
        duration: arguments.duration.0,
        plain_keys: arguments.no_hash,
    };
    if !arguments.quiet {
        warn(&words::about_to_capture(&options));
    }
    let taken = runtime.block_on(async {
        let clock = Clock::real();
        Box::pin(capture(&options, out, &clock, stop)).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    let (out, captured) = match taken {
        Ok(taken) => taken,
        Err(error @ CaptureError::Environment(_)) => {
            return fail(&error.to_string(), Exit::Environment);
        }
        Err(error) => return fail(&error.to_string(), Exit::Unexpected),
    };
    if let Err(error) = out.finish() {
        return fail(&error.to_string(), Exit::Unexpected);
    }
    let nothing = captured.requests == 0;
    if !arguments.quiet || nothing || captured.lost > 0 || captured.unreadable > 0 {
        warn(&words::captured(&captured, &arguments.out));
    }
    match captured.ended {
        Ended::ConnectionLost => fail(&words::lost_connection(&captured), Exit::Environment),
        Ended::Stopped => Exit::Interrupted,
        Ended::InTime if nothing => Exit::Inconclusive,
        Ended::InTime => Exit::Success,
    }
}
