//! The progress line of a run, on standard error and only on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use crate::runner::{Moment, Progress};
use crate::units::{self, Ratio, thousands};

/// Shows nothing.
pub(super) struct Silent;

impl Progress for Silent {
    fn step(&self, _: &str) {}
    fn moment(&self, _: &Moment) {}
}

/// Shows what is worth knowing, line by line: for logs.
pub(super) struct Notes;

impl Progress for Notes {
    fn step(&self, _: &str) {}
    fn moment(&self, _: &Moment) {}
    fn note(&self, text: &str) {
        super::warn(text);
    }
}

/// One line that is rewritten.
pub(super) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::no_length();
        bar.set_style(spinner());
        Self { bar }
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn step(&self, doing: &str) {
        self.bar.set_style(spinner());
        self.bar.set_message(doing.to_owned());
        self.bar.tick();
    }

    fn note(&self, text: &str) {
        self.bar.println(text);
    }

    fn aside(&self, print: &dyn Fn()) {
        self.bar.suspend(print);
    }

    fn moment(&self, moment: &Moment) {
        self.bar.set_style(line());
        self.bar.set_length(moment.total.as_secs());
        self.bar.set_position(moment.elapsed.as_secs());
        self.bar.set_message(text(moment));
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn line() -> ProgressStyle {
    ProgressStyle::with_template("{bar:16.cyan/dim} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━─")
}

/// `steady 23/60 s · 1,000 users · 512/s · p95 12 ms · hits 94.1% · 0 errors`
fn text(moment: &Moment) -> String {
    let p95 = moment
        .live
        .response_time_p95
        .map_or_else(|| "–".to_owned(), units::short);
    let hits = moment
        .live
        .hit_ratio
        .map_or_else(|| "–".to_owned(), |hits| Ratio(hits).to_string());
    format!(
        "{} {}/{} s · {} users · {:.0}/s · p95 {p95} · hits {hits} · {} errors",
        moment.phase,
        moment.elapsed.as_secs(),
        moment.total.as_secs(),
        thousands(moment.live.users),
        moment.live.rate_per_s,
        thousands(moment.live.errors),
    )
}
