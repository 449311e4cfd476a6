//! Searches the knee of a plan: probe after probe, each a run of its own, until the search says what it
//! has found.
//!
//! Every probe has an environment of its own. What one leaves behind (warm caches, rows of another
//! version, a backlog) would be judged with the next otherwise; bringing it up takes tenths of a
//! second. Called by the command line. Which rate comes next is decided by `capacity::knee`, what a
//! probe is by `capacity::probe`.

mod told;

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::sync::watch;

use super::{
    Finished, House, Moment, Orders, Outcome, Progress, RunError, RunOptions, Time, external,
    simulated, stores, write,
};
use crate::capacity::knee::{Found, Limits, LimitsError, Next, Probe, Search};
use crate::capacity::probe::{NoRate, Template, Wanted};
use crate::clock::Clock;
use crate::report::folder::Folder;
use crate::report::knee::rate;
use crate::report::model::KneeProbe;
use crate::scenario::plan::Plan;
use crate::units::Span;

/// How often a rate is probed where two looks at it differ.
const REPEATS_REAL: u32 = 3;
/// In virtual time a second look shows the same.
const REPEATS_VIRTUAL: u32 = 1;
/// Bringing an environment up and taking it down takes no longer where all is well.
const AROUND_MAX: Duration = Duration::from_secs(15);
/// Added to round up to whole seconds.
const ALMOST_A_SECOND: Duration = Duration::from_nanos(999_999_999);
/// What it usually takes, with the last answers of a probe that does not hold.
const AROUND_USUAL: Duration = Duration::from_secs(1);

/// Why there is nothing to search.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum KneeError {
    /// The traffic has no rate that could be set.
    #[error("{0}")]
    NoRate(#[from] NoRate),
    /// The range, the precision or the repeats make no sense.
    #[error("{0}")]
    Limits(#[from] LimitsError),
}

/// Searches the knee of `plan` in real time until it is found or `stop` turns true.
///
/// # Errors
/// As [`run`](super::run); and if `plan` has no rate that could be set, or there is nothing to search.
pub async fn find_knee(
    plan: &Plan,
    wanted: &Wanted,
    (options, progress): (&RunOptions, &dyn Progress),
    stop: &watch::Receiver<bool>,
) -> Result<Finished, RunError> {
    stores::all_known(plan, options)?;
    let clock = Clock::real();
    let mut hunt = Hunt::new(plan, wanted, true, (progress, stop))?;
    let folder = Folder::prepare(options.out.as_deref(), &plan.name, clock.now())?;
    progress.note(&hunt.estimate());
    let last_start = clock.now() + hunt.longest();
    while let Some((probe, plan)) = hunt.next() {
        if clock.now() > last_start {
            hunt.out_of_time();
            break;
        }
        let shown = OfProbe::new(progress, probe);
        let mut house = House {
            options,
            progress: &shown,
            stop: stop.clone(),
            clock: clock.clone(),
            time: Time::Real,
            sample: None,
            leftovers: Vec::new(),
        };
        let outcome = Box::pin(house.measured(&plan)).await;
        if hunt.judge(probe, outcome).is_break() {
            break;
        }
    }
    write(plan, folder, hunt.finish())
}

/// Searches the knee of `plan` in virtual time. To be called outside of any runtime.
///
/// # Errors
/// As [`simulate`](super::simulate) and [`find_knee`].
pub fn simulate_knee(
    plan: &Plan,
    wanted: &Wanted,
    (options, progress): (&RunOptions, &dyn Progress),
    stop: &watch::Receiver<bool>,
) -> Result<Finished, RunError> {
    external::refuse(plan, "simulate --find-knee")?;
    let mut hunt = Hunt::new(plan, wanted, false, (progress, stop))?;
    let now = Clock::real().now();
    let folder = Folder::prepare(options.out.as_deref(), &plan.name, now)?;
    progress.note(&hunt.estimate());
    while let Some((probe, plan)) = hunt.next() {
        let shown = OfProbe::new(progress, probe);
        let orders: Orders<'_> = (options, &shown, stop.clone());
        let outcome = simulated(&plan, orders);
        if hunt.judge(probe, outcome).is_break() {
            break;
        }
    }
    write(plan, folder, hunt.finish())
}

/// A search under way, and what its probes brought.
struct Hunt<'h> {
    plan: &'h Plan,
    progress: &'h dyn Progress,
    stop: &'h watch::Receiver<bool>,
    template: Template,
    limits: Limits,
    /// Whether time passes by itself.
    real: bool,
    search: Search,
    probes: Vec<KneeProbe>,
    /// The run that stands for all: of the highest rate that holds, or of the lowest.
    outcomes: Vec<Outcome>,
    notes: Vec<String>,
    found: Option<Found>,
    /// What ended it before its end.
    broken: Option<RunError>,
    leftovers: Vec<String>,
}

impl<'h> Hunt<'h> {
    fn new(
        plan: &'h Plan,
        wanted: &Wanted,
        real: bool,
        (progress, stop): (&'h dyn Progress, &'h watch::Receiver<bool>),
    ) -> Result<Self, KneeError> {
        let template = Template::new(plan, wanted.probe_for)?;
        let repeats = if real { REPEATS_REAL } else { REPEATS_VIRTUAL };
        let limits = template.limits(wanted, wanted.repeats.unwrap_or(repeats));
        let search = Search::new(limits, plan.seed.fork("knee"))?;
        let mut notes = Vec::new();
        if !template.left_out().is_empty() {
            let names = template.left_out().join(", ");
            notes.push(format!(
                "not judged, because no baseline is run for each rate: {names}"
            ));
        }
        if !template.has_gates() {
            let text =
                "no gate is judged: the knee is where what is offered is no longer sustained";
            notes.push(text.to_owned());
        }
        Ok(Self {
            plan,
            progress,
            stop,
            template,
            limits,
            real,
            search,
            probes: Vec::new(),
            outcomes: Vec::new(),
            notes,
            found: None,
            broken: None,
            leftovers: Vec::new(),
        })
    }

    /// What is about to happen, and how long it may take.
    fn estimate(&self) -> String {
        let Limits {
            from,
            to,
            precision,
            repeats,
        } = self.limits;
        let (usual, most) = (self.search.probes_usual(), self.search.probes_max());
        let each = self.template.duration();
        let rounded =
            |time: Duration| Span(Duration::from_secs((time + ALMOST_A_SECOND).as_secs()));
        let times = match repeats {
            1 => "once".to_owned(),
            many => format!("{many} times in shuffled order"),
        };
        let (about, at_most) = if self.real {
            let about = rounded((each + AROUND_USUAL) * usual);
            let at_most = rounded(self.longest() + self.longest_probe());
            (format!(", about {about}"), format!(", {at_most}"))
        } else {
            (String::new(), String::new())
        };
        let mut text = format!(
            "searching the knee from {} to {} with a precision of {precision}, each rate that decides \
             {times}; a probe drives for {}; usually {usual} of them do{about}, never more than \
             {most}{at_most}",
            rate(from.per_s),
            rate(to.per_s),
            rounded(each),
        );
        for note in &self.notes {
            text.push('\n');
            text.push_str(note);
        }
        text
    }

    /// How long one probe may take.
    fn longest_probe(&self) -> Duration {
        self.template.duration() + self.template.request_timeout() + AROUND_MAX
    }

    /// After how long no probe is begun any more.
    fn longest(&self) -> Duration {
        self.longest_probe() * self.search.probes_max().saturating_sub(1)
    }

    /// The next probe and its plan; `None` when the search is over.
    fn next(&mut self) -> Option<(Probe, Plan)> {
        if *self.stop.borrow() {
            return None;
        }
        match self.search.ask() {
            Next::Found(found) => {
                self.found = Some(found);
                None
            }
            Next::Probe(probe) => Some((probe, self.template.of(probe))),
        }
    }

    /// Takes in what a probe brought. The search ends if it brought nothing.
    fn judge(&mut self, probe: Probe, outcome: Result<Outcome, RunError>) -> ControlFlow<()> {
        let mut outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                self.broken = Some(error);
                return ControlFlow::Break(());
            }
        };
        self.leftovers.append(&mut outcome.leftovers);
        // Half a probe would be held against whole ones.
        if outcome.report.validity.interrupted && *self.stop.borrow() {
            return ControlFlow::Break(());
        }
        let (showing, judged) = told::judged(probe, &outcome.report);
        self.progress.note(&told::line(&judged));
        self.search.tell(showing);
        self.probes.push(judged);
        self.outcomes.push(outcome);
        ControlFlow::Continue(())
    }

    fn out_of_time(&mut self) {
        let text = "the search took longer than it may: probes lasted longer than they should";
        self.notes.push(text.to_owned());
    }

    /// The run that stands for all, with what was found.
    fn finish(mut self) -> Result<Outcome, RunError> {
        let interrupted = *self.stop.borrow() && self.found.is_none();
        if self.probes.is_empty() {
            return Err(self.broken.unwrap_or(RunError::Interrupted));
        }
        if let Some(error) = &self.broken
            && !interrupted
        {
            self.notes.push(format!("the search broke off: {error}"));
        }
        let found = self.found.unwrap_or_else(|| self.search.stopped());
        let shown = told::shown(&found, &self.probes);
        let mut outcome = self.outcomes.swap_remove(shown);
        let knee = told::result(
            &found,
            (&self.limits, &self.template),
            self.probes,
            self.notes,
        );
        told::into_report(&mut outcome.report, knee, &found);
        outcome.report.seed = self.plan.seed.0;
        outcome.report.validity.interrupted |= interrupted;
        outcome.leftovers = self.leftovers;
        Ok(outcome)
    }
}

/// Shows where a probe is, and nothing of what every run tells.
struct OfProbe<'p> {
    progress: &'p dyn Progress,
    name: String,
}

impl<'p> OfProbe<'p> {
    fn new(progress: &'p dyn Progress, probe: Probe) -> Self {
        let rate = rate(probe.rate.per_s);
        Self {
            progress,
            name: format!("probe {}, {rate}", probe.order),
        }
    }
}

impl Progress for OfProbe<'_> {
    fn step(&self, doing: &str) {
        self.progress.step(&format!("{}: {doing}", self.name));
    }

    fn moment(&self, moment: &Moment) {
        self.progress.moment(&Moment {
            phase: format!("{}: {}", self.name, moment.phase),
            ..moment.clone()
        });
    }
}
