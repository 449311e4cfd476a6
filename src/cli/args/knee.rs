//! The arguments of a search for the knee, in real and in virtual time.

use std::time::Duration;

use clap::Args;

use super::duration;
use crate::capacity::probe::Wanted;
use crate::units::{Rate, Ratio, Span};

/// Whether the knee is searched, and how.
#[derive(Debug, Args)]
pub(in crate::cli) struct KneeArguments {
    /// Search the knee instead: the highest rate at which every gate holds. The scenario's driver must be
    /// open; its arrivals keep their form, scaled to the rate of each probe.
    #[arg(long, help_heading = "Knee")]
    pub(in crate::cli) find_knee: bool,

    /// The lowest rate to probe [default: an eighth of what the scenario offers].
    #[arg(
        long,
        value_name = "RATE",
        requires = "find_knee",
        help_heading = "Knee"
    )]
    pub(in crate::cli) from: Option<Rate>,

    /// The highest rate to probe [default: 32 times what the scenario offers].
    #[arg(
        long,
        value_name = "RATE",
        requires = "find_knee",
        help_heading = "Knee"
    )]
    pub(in crate::cli) to: Option<Rate>,

    /// How precisely the knee is to be known [default: 5%].
    #[arg(
        long,
        value_name = "SHARE",
        requires = "find_knee",
        help_heading = "Knee"
    )]
    pub(in crate::cli) precision: Option<Ratio>,

    /// How often to probe a rate before the majority decides [default: 3, in virtual time 1].
    #[arg(long, value_name = "N", requires = "find_knee", help_heading = "Knee")]
    pub(in crate::cli) repeats: Option<u32>,

    /// How long the measured phases of a probe last together, and its warm-up at most [default: as the
    /// scenario says, but at most 15s each].
    #[arg(
        long,
        value_name = "TIME",
        value_parser = duration,
        requires = "find_knee",
        help_heading = "Knee"
    )]
    pub(in crate::cli) probe_for: Option<Duration>,
}

impl KneeArguments {
    /// What is to be searched; `None`: nothing.
    pub(in crate::cli) fn wanted(&self) -> Option<Wanted> {
        let wanted = Wanted {
            from: self.from,
            to: self.to,
            repeats: self.repeats,
            probe_for: self.probe_for,
            precision: self.precision.unwrap_or(Wanted::default().precision),
        };
        self.find_knee.then_some(wanted)
    }

    /// As they would be typed, for the report.
    pub(in crate::cli) fn as_typed(&self) -> Vec<String> {
        let span = |time| Span(time).to_string().replace(' ', "");
        let typed = [
            self.find_knee.then(|| "--find-knee".to_owned()),
            self.from.map(|rate| format!("--from {rate}")),
            self.to.map(|rate| format!("--to {rate}")),
            self.precision.map(|share| format!("--precision {share}")),
            self.repeats.map(|repeats| format!("--repeats {repeats}")),
            self.probe_for
                .map(|time| format!("--probe-for {}", span(time))),
        ];
        typed.into_iter().flatten().collect()
    }
}
