//! Whether a run can be trusted: was the system measured, or the generator?
//!
//! A pure judgement of what the runner gathered. An invalid run has no verdict; a warning is what
//! a reader should know though the run is valid. Each says what to do about it.

mod generator;

use std::time::Duration;

pub use self::generator::{
    BusyThread, DESCRIPTORS_WARNING, Generator, LOOP_DELAY_P99_INVALID, LOOP_DELAY_P99_WARNING,
    THREAD_SHARE_LIMIT,
};

use crate::units::{Ratio, short, thousands};

/// Requests that start this much later than intended, at p99, were not the traffic that the
/// scenario asks for: the run is invalid.
pub const SLIP_P99_INVALID: Duration = Duration::from_millis(100);

/// Above this, response times below the same order say more about the generator: a warning.
pub const SLIP_P99_WARNING: Duration = Duration::from_millis(10);

/// A generator that uses more than this share of all cores left too little for the system under
/// test: the run is invalid.
pub const GENERATOR_SHARE_INVALID: Ratio = Ratio(0.9);

/// Above this the generator competes with a system on the same machine: a warning.
pub const GENERATOR_SHARE_WARNING: Ratio = Ratio(0.5);

/// With fewer samples a 99th percentile rests on less than ten requests: a warning.
pub const SAMPLES_WARNING: u64 = 1_000;

/// What is known of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Requests that ended, of the measured phases.
    pub requests: u64,
    /// Requests that were due in them but never started.
    pub dropped: u64,
    /// 99th percentile of the slip in them.
    pub slip_p99: Duration,
    /// Whether time was virtual: then the generator cannot be too slow.
    pub simulated: bool,
    /// Processor time of the generator as a share of one core; `None` if unknown.
    pub generator_cpu_cores: Option<f64>,
    /// What else is known of the generator.
    pub generator: Generator,
    /// Processors of the machine.
    pub cpus: u32,
    /// How many users should be live at once at some time.
    pub users_planned: u64,
    /// The most that were live at once.
    pub users_live_max: u64,
    /// The run was ended before its plan was done.
    pub interrupted: bool,
    /// A gate ended it: then what is missing is not missed.
    pub ended_by_gate: bool,
    /// How Redis died, if it did though no fault was injected.
    pub redis_died: Option<String>,
}

/// Whether a run can be trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Why it cannot; empty if it can.
    pub reasons: Vec<String>,
    /// What a reader should know though it can.
    pub warnings: Vec<String>,
    /// Whether one of the reasons is that the generator could not do more.
    pub generator_limited: bool,
}

impl Judgement {
    /// Whether there is no reason against it.
    pub fn valid(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Judges a run.
pub fn judge(evidence: &Evidence) -> Judgement {
    let mut judgement = Judgement::default();
    judge_completeness(evidence, &mut judgement);
    judge_samples(evidence, &mut judgement);
    if !evidence.simulated {
        let others = judgement.reasons.len();
        judge_slip(evidence.slip_p99, &mut judgement);
        judge_processor(evidence, &mut judgement);
        generator::judge(&evidence.generator, evidence.slip_p99, &mut judgement);
        judgement.generator_limited = judgement.reasons.len() > others;
    }
    judgement
}

fn judge_completeness(evidence: &Evidence, judgement: &mut Judgement) {
    if evidence.interrupted {
        judgement.reasons.push(
            "the run was interrupted before its plan was done; let it run to its end for a verdict"
                .to_owned(),
        );
    }
    if let Some(how) = &evidence.redis_died {
        judgement.reasons.push(format!(
            "Redis died during the run though no fault was injected: {how}; see its log, and check \
             that the machine has memory to spare"
        ));
    }
    if evidence.users_live_max < evidence.users_planned && !evidence.ended_by_gate {
        judgement.reasons.push(format!(
            "only {} of {} users were live at once; give the ramp more time, or check the limits \
             on open files and on the generator's processor",
            thousands(evidence.users_live_max),
            thousands(evidence.users_planned)
        ));
    }
}

fn judge_samples(evidence: &Evidence, judgement: &mut Judgement) {
    if evidence.requests == 0 && evidence.ended_by_gate {
        let text = "no request ended in a measured phase before a gate ended the run";
        judgement.warnings.push(text.to_owned());
    } else if evidence.requests == 0 {
        judgement.reasons.push(
            "no request ended in a measured phase; make the measured phases longer, and check \
             that the service answers"
                .to_owned(),
        );
    } else if evidence.requests < SAMPLES_WARNING {
        judgement.warnings.push(format!(
            "only {} requests were measured, so high percentiles rest on a few of them; measure \
             for longer",
            thousands(evidence.requests)
        ));
    }
    let due = evidence.requests + evidence.dropped;
    if evidence.dropped > 0 {
        // Dropped is what others left no place for: the system was too slow, and that is a result.
        judgement.warnings.push(format!(
            "{} of {} requests that were due were never sent, because those before them took up all \
             places for longer than the request timeout: their users got no answer, and no response \
             time counts them",
            thousands(evidence.dropped),
            thousands(due)
        ));
    }
}

fn judge_slip(slip_p99: Duration, judgement: &mut Judgement) {
    let text = |meaning| {
        format!(
            "1% of the requests started {} or more later than intended: {meaning}; lower the \
             load, or give the generator more cores",
            short(slip_p99)
        )
    };
    if slip_p99 > SLIP_P99_INVALID {
        judgement
            .reasons
            .push(text("the generator was the bottleneck"));
    } else if slip_p99 > SLIP_P99_WARNING {
        judgement
            .warnings
            .push(text("response times contain this delay of the generator"));
    }
}

fn judge_processor(evidence: &Evidence, judgement: &mut Judgement) {
    let Some(cores) = evidence.generator_cpu_cores else {
        let text = "the generator's processor time is unknown on this system, so that a saturated \
                    generator shows in the slip alone; run on Linux to have it measured";
        judgement.warnings.push(text.to_owned());
        return;
    };
    let share = Ratio(cores / f64::from(evidence.cpus.max(1)));
    let text = || {
        format!(
            "the generator used {cores:.1} of {} cores; lower the load, or use a larger machine",
            evidence.cpus
        )
    };
    if share > GENERATOR_SHARE_INVALID {
        judgement.reasons.push(text());
    } else if share > GENERATOR_SHARE_WARNING {
        judgement.warnings.push(text());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Evidence {
        Evidence {
            requests: 30_114,
            dropped: 0,
            slip_p99: Duration::from_micros(300),
            simulated: false,
            generator_cpu_cores: Some(0.21),
            generator: Generator::default(),
            cpus: 2,
            users_planned: 1_000,
            users_live_max: 1_000,
            interrupted: false,
            ended_by_gate: false,
            redis_died: None,
        }
    }

    #[test]
    fn a_sound_run_is_valid_without_a_word() {
        assert_eq!(judge(&sound()), Judgement::default());
    }

    #[test]
    fn every_reason_says_what_to_do() {
        let judgement = judge(&Evidence {
            requests: 0,
            dropped: 0,
            slip_p99: Duration::from_millis(250),
            generator_cpu_cores: Some(1.9),
            users_live_max: 997,
            interrupted: true,
            redis_died: Some("signal 9".to_owned()),
            ..sound()
        });
        assert!(!judgement.valid() && judgement.generator_limited);
        assert_eq!(judgement.warnings, [""; 0]);
        insta::assert_snapshot!(judgement.reasons.join("\n"), @"
        the run was interrupted before its plan was done; let it run to its end for a verdict
        Redis died during the run though no fault was injected: signal 9; see its log, and check that the machine has memory to spare
        only 997 of 1,000 users were live at once; give the ramp more time, or check the limits on open files and on the generator's processor
        no request ended in a measured phase; make the measured phases longer, and check that the service answers
        1% of the requests started 250 ms or more later than intended: the generator was the bottleneck; lower the load, or give the generator more cores
        the generator used 1.9 of 2 cores; lower the load, or use a larger machine
        ");
    }

    #[test]
    fn every_warning_leaves_the_run_valid() {
        let judgement = judge(&Evidence {
            requests: 999,
            dropped: 1,
            slip_p99: Duration::from_millis(11),
            generator_cpu_cores: Some(1.2),
            ..sound()
        });
        assert!(judgement.valid() && !judgement.generator_limited);
        insta::assert_snapshot!(judgement.warnings.join("\n"), @"
        only 999 requests were measured, so high percentiles rest on a few of them; measure for longer
        1 of 1,000 requests that were due were never sent, because those before them took up all places for longer than the request timeout: their users got no answer, and no response time counts them
        1% of the requests started 11 ms or more later than intended: response times contain this delay of the generator; lower the load, or give the generator more cores
        the generator used 1.2 of 2 cores; lower the load, or use a larger machine
        ");
    }

    #[test]
    fn only_what_the_generator_lacked_limits_it() {
        let interrupted = judge(&Evidence {
            interrupted: true,
            slip_p99: Duration::from_millis(11),
            ..sound()
        });
        assert!(!interrupted.valid() && !interrupted.generator_limited);
        let without_ports = judge(&Evidence {
            generator: Generator {
                without_port: 1,
                ..Generator::default()
            },
            ..sound()
        });
        assert!(without_ports.generator_limited);
    }

    #[test]
    fn unknown_processor_time_is_told() {
        let judgement = judge(&Evidence {
            generator_cpu_cores: None,
            ..sound()
        });
        assert!(judgement.valid());
        assert_eq!(judgement.warnings.len(), 1);
    }

    #[test]
    fn what_a_gate_cut_short_is_not_missed() {
        let judgement = judge(&Evidence {
            requests: 0,
            users_live_max: 12,
            ended_by_gate: true,
            ..sound()
        });
        assert!(judgement.valid());
        assert_eq!(judgement.warnings.len(), 1);
    }

    #[test]
    fn limits_themselves_are_allowed() {
        let judgement = judge(&Evidence {
            requests: SAMPLES_WARNING,
            slip_p99: SLIP_P99_WARNING,
            generator_cpu_cores: Some(GENERATOR_SHARE_WARNING.0 * 2.0),
            ..sound()
        });
        assert_eq!(judgement, Judgement::default());
        let judgement = judge(&Evidence {
            slip_p99: SLIP_P99_INVALID,
            generator_cpu_cores: Some(GENERATOR_SHARE_INVALID.0 * 2.0),
            ..sound()
        });
        assert!(judgement.valid());
        assert_eq!(judgement.warnings.len(), 2);
    }
}
