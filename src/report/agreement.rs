//! A simulation held against a real run of the same scenario: figure by figure, with how far they may
//! be apart.
//!
//! Pure: made of two reports. Called by the runner's validation; printed by the command line, and
//! written as `validation.json` and `validation.md`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::Report;
use super::table::{Cell, Column, Table, Tone, markdown_text, wrap};
use super::terminal::Style;
use super::words;
use crate::units::thousands;

/// How far a simulated figure may be from the real one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// So many points of a ratio: 0.02 is two points.
    Points(f64),
    /// So large a share of the real figure.
    Share(f64),
    /// So large a share of the real figure, or so much of it where that is more.
    ShareOr(f64, f64),
}

/// What a figure is, as far as it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A share from 0 to 1.
    Ratio,
    /// A count.
    Count,
    /// A time in microseconds.
    TimeUs,
}

/// One figure of both runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// As measured; `null` if it was not.
    pub real: Option<f64>,
    /// As simulated; `null` if it was not.
    pub simulated: Option<f64>,
    /// How far apart they may be; `null` if the figure is told but not judged.
    pub tolerance: Option<Tolerance>,
    /// Whether they are; `null` if it is not judged.
    pub agrees: Option<bool>,
}

/// A simulation held against a real run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Agreement {
    /// The scenario's name.
    pub scenario: String,
    /// Its seed.
    pub seed: u64,
    /// Why the real run is no measure; empty if it is one.
    pub doubts: Vec<String>,
    /// What a reader should know beside the figures.
    pub notes: Vec<String>,
    /// Figure by figure.
    pub figures: Vec<Compared>,
}

/// The tolerances of the design: hit ratios within two points, database queries within 5%,
/// connections within 10% (or two of them), the median within 15% and the 99th percentile within 30%.
const HIT_RATIO: Tolerance = Tolerance::Points(0.02);
const QUERIES: Tolerance = Tolerance::Share(0.05);
const CONNECTIONS: Tolerance = Tolerance::ShareOr(0.1, 2.0);
const P50: Tolerance = Tolerance::Share(0.15);
const P99: Tolerance = Tolerance::Share(0.3);

impl Agreement {
    /// `simulated` held against `real`.
    pub fn of(real: &Report, simulated: &Report) -> Self {
        let mut doubts = real.validity.reasons.clone();
        doubts.extend(simulated.validity.reasons.iter().cloned());
        for (what, report) in [("real run", real), ("simulation", simulated)] {
            if let Some(ended) = &report.ended_early {
                let gates = ended.gates.join(", ");
                doubts.push(format!("{gates} ended the {what} before its plan was done"));
            }
        }
        let mut figures = Vec::new();
        let mut add = |name: &str, kind, tolerance, figure: &dyn Fn(&Report) -> Option<f64>| {
            let (real, simulated) = (figure(real), figure(simulated));
            figures.push(Compared::new(name, kind, (real, simulated), tolerance));
        };
        for layer in ["local", "remote"] {
            let name = format!("hit ratio, {layer}");
            add(&name, Kind::Ratio, Some(HIT_RATIO), &|report| {
                report.layers.get(layer)?.hit_ratio
            });
        }
        for name in real.data_types.keys() {
            let title = format!("hit ratio, {name}");
            add(&title, Kind::Ratio, None, &|report| {
                report.data_types.get(name)?.hit_ratio
            });
        }
        add("database queries", Kind::Count, Some(QUERIES), &|report| {
            Some(report.origin.as_ref()?.queries as f64)
        });
        add(
            "database connections, most",
            Kind::Count,
            Some(CONNECTIONS),
            &|report| Some(report.origin.as_ref()?.peak_connections.into()),
        );
        let times = |report: &Report| report.requests.response_time_us;
        add("response time, p50", Kind::TimeUs, Some(P50), &|report| {
            Some(times(report).p50)
        });
        add("response time, p95", Kind::TimeUs, None, &|report| {
            Some(times(report).p95)
        });
        add("response time, p99", Kind::TimeUs, Some(P99), &|report| {
            Some(times(report).p99)
        });
        add("requests", Kind::Count, None, &|report| {
            Some(report.requests.total as f64)
        });
        add("Redis keys", Kind::Count, None, &|report| {
            Some(report.redis.as_ref()?.keys as f64)
        });
        Self {
            scenario: real.scenario.name.clone(),
            seed: real.seed,
            doubts,
            notes: Vec::new(),
            figures,
        }
    }

    /// Whether every figure that is judged agrees, and the real run is a measure.
    pub fn holds(&self) -> bool {
        self.doubts.is_empty()
            && self
                .figures
                .iter()
                .all(|figure| figure.agrees != Some(false))
    }

    /// For a person at a terminal.
    pub fn text(&self, style: Style) -> String {
        let mut lines = vec![
            format!(
                "{} · seed {} · a real run and its simulation",
                self.scenario, self.seed
            ),
            String::new(),
        ];
        lines.extend(self.table().lines(style.width, style.color));
        lines.push(String::new());
        for (label, text) in self.remarks() {
            let mut label = label;
            for line in wrap(text, style.width.saturating_sub(9).max(30)) {
                lines.push(format!("  {label:<7}{line}"));
                label = "";
            }
        }
        lines.push(self.verdict());
        lines.join("\n") + "\n"
    }

    /// The same for programs.
    pub fn json(&self) -> Vec<u8> {
        let value = serde_json::json!(self);
        format!("{value:#}\n").into_bytes()
    }

    /// The same as Markdown.
    pub fn markdown(&self) -> String {
        let mut parts = vec![
            format!(
                "## {}, seed {}: a real run and its simulation",
                self.scenario, self.seed
            ),
            self.table().markdown(),
        ];
        let remarks = self.remarks();
        let remarks = remarks.map(|(label, text)| format!("- {label}: {}", markdown_text(text)));
        parts.push(remarks.collect::<Vec<_>>().join("\n"));
        parts.push(self.verdict());
        parts.join("\n\n") + "\n"
    }

    fn remarks(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let doubts = self.doubts.iter().map(|doubt| ("doubt", doubt));
        doubts.chain(self.notes.iter().map(|note| ("note", note)))
    }

    fn verdict(&self) -> String {
        let judged = self.figures.iter().filter_map(|figure| figure.agrees);
        let agree = judged.clone().filter(|agrees| *agrees).count();
        let word = if self.holds() { "AGREE" } else { "DISAGREE" };
        format!("{word}  {agree} of {} judged figures agree", judged.count())
    }

    fn table(&self) -> Table {
        let columns = vec![
            Column::names("figure"),
            Column::figures("real"),
            Column::figures("simulated"),
            Column::figures("apart"),
            Column::figures("allowed"),
            Column::names("verdict"),
        ];
        let mut table = Table::new(columns);
        for figure in &self.figures {
            let tone = match figure.agrees {
                Some(true) => Tone::Good,
                Some(false) => Tone::Bad,
                None => Tone::Faint,
            };
            let word = match figure.agrees {
                Some(true) => "agrees",
                Some(false) => "DISAGREES",
                None => "not judged",
            };
            let told = |value: Option<f64>| value.map_or_else(nothing, |v| figure.kind.print(v));
            let cells = vec![
                figure.name.clone().into(),
                told(figure.real).into(),
                told(figure.simulated).into(),
                figure.apart().into(),
                figure
                    .tolerance
                    .map_or_else(nothing, Tolerance::print)
                    .into(),
                Cell::toned(word, tone),
            ];
            table.push(None, cells);
        }
        table
    }
}

fn nothing() -> String {
    "–".to_owned()
}

impl Kind {
    fn print(self, value: f64) -> String {
        match self {
            Self::Ratio => words::ratio(Some(value)),
            #[allow(clippy::cast_sign_loss, reason = "a count is not negative")]
            Self::Count => thousands(value as u64),
            Self::TimeUs => words::us(value),
        }
    }
}

impl Tolerance {
    fn print(self) -> String {
        match self {
            Self::Points(points) => format!("{} points", points * 100.0),
            Self::Share(share) => format!("{}%", share * 100.0),
            Self::ShareOr(share, least) => format!("{}%, or {least}", share * 100.0),
        }
    }

    fn allows(self, real: f64, simulated: f64) -> bool {
        let apart = (simulated - real).abs();
        apart
            <= match self {
                Self::Points(points) => points,
                Self::Share(share) => share * real,
                Self::ShareOr(share, least) => (share * real).max(least),
            }
    }
}

impl Compared {
    fn new(
        name: &str,
        kind: Kind,
        (real, simulated): (Option<f64>, Option<f64>),
        tolerance: Option<Tolerance>,
    ) -> Self {
        // What only one of the two has disagrees; what neither has cannot be judged.
        let agrees = tolerance.and_then(|tolerance| match (real, simulated) {
            (None, None) => None,
            (Some(real), Some(simulated)) => Some(tolerance.allows(real, simulated)),
            _ => Some(false),
        });
        Self {
            name: name.to_owned(),
            kind,
            real,
            simulated,
            tolerance,
            agrees,
        }
    }

    /// Points for a ratio, a share for the rest.
    fn apart(&self) -> String {
        let (Some(real), Some(simulated)) = (self.real, self.simulated) else {
            return nothing();
        };
        match self.kind {
            Kind::Ratio => format!("{:+.1} points", (simulated - real) * 100.0),
            _ if real == 0.0 => nothing(),
            _ => format!("{:+.1}%", (simulated / real - 1.0) * 100.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_run_agrees_with_itself_and_not_with_one_that_is_far_off() {
        let real = fixture::sample_report();
        let same = Agreement::of(&real, &real);
        assert!(same.holds());
        let mut off = real.clone();
        let origin = off.origin.as_mut().expect("an origin");
        origin.queries = origin.queries * 107 / 100;
        off.requests.response_time_us.p50 *= 1.1;
        off.requests.response_time_us.p99 *= 0.6;
        off.layers.remove("local");
        let agreement = Agreement::of(&real, &off);
        assert!(!agreement.holds());
        let style = Style {
            color: false,
            width: 100,
        };
        insta::assert_snapshot!(agreement.text(style), @"
        adr-006 · seed 42 · a real run and its simulation

          figure                        real  simulated        apart    allowed  verdict
          hit ratio, local             57.7%          –            –   2 points  DISAGREES
          hit ratio, remote            88.9%      88.9%  +0.0 points   2 points  agrees
          hit ratio, activity              –          –            –          –  not judged
          hit ratio, customer          97.1%      97.1%  +0.0 points          –  not judged
          hit ratio, inventory         89.0%      89.0%  +0.0 points          –  not judged
          hit ratio, product           99.0%      99.0%  +0.0 points          –  not judged
          hit ratio, quote             81.1%      81.1%  +0.0 points          –  not judged
          hit ratio, rate_limit            –          –            –          –  not judged
          hit ratio, session            100%       100%  +0.0 points          –  not judged
          database queries             2,599      2,780        +7.0%         5%  DISAGREES
          database connections, most      23         23        +0.0%  10%, or 2  agrees
          response time, p50          0.5 ms     0.5 ms       +10.0%        15%  agrees
          response time, p95           61 ms      61 ms        +0.0%          –  not judged
          response time, p99          402 ms     241 ms       -40.0%        30%  DISAGREES
          requests                    29,741     29,741        +0.0%          –  not judged
          Redis keys                  31,842     31,842        +0.0%          –  not judged

        DISAGREE  3 of 6 judged figures agree
        ");
    }

    #[test]
    fn a_run_that_is_not_valid_is_no_measure() {
        let mut real = fixture::sample_report();
        real.validity
            .reasons
            .push("the generator was the bottleneck".to_owned());
        let agreement = Agreement::of(&real, &real);
        assert!(!agreement.holds());
        assert!(
            agreement
                .markdown()
                .contains("- doubt: the generator was the bottleneck")
        );
    }

    #[test]
    fn tolerances_are_of_the_real_figure() {
        assert!(Tolerance::Points(0.02).allows(0.95, 0.931));
        assert!(!Tolerance::Points(0.02).allows(0.95, 0.929));
        assert!(Tolerance::Share(0.15).allows(100.0, 86.0));
        assert!(!Tolerance::Share(0.15).allows(100.0, 116.0));
        assert!(Tolerance::ShareOr(0.1, 2.0).allows(5.0, 7.0));
        assert!(!Tolerance::ShareOr(0.1, 2.0).allows(5.0, 7.5));
    }
}
