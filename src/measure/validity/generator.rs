//! Whether a run was limited by its generator, and by which of its means.
//!
//! A part of the judgement of validity. docs/validity.md has the same limits for people; a test holds
//! the two together.

use std::time::Duration;

use super::{Judgement, SLIP_P99_WARNING};
use crate::units::{Ratio, long, short, thousands};

/// A generator thread that uses this share of a core has none left. If requests start late at the same
/// time, the run is invalid; else it is a warning.
pub const THREAD_SHARE_LIMIT: Ratio = Ratio(0.95);

/// An event loop that is so late at p99 reads answers as much later than they came: invalid.
pub const LOOP_DELAY_P99_INVALID: Duration = Duration::from_millis(100);

/// Above this, response times of the same order say more about the generator: a warning.
pub const LOOP_DELAY_P99_WARNING: Duration = Duration::from_millis(10);

/// So much of the limit on file descriptors leaves too little for a peak: a warning.
pub const DESCRIPTORS_WARNING: Ratio = Ratio(0.9);

/// What is known of the generator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generator {
    /// The thread that used most processor time; `None` if that is unknown.
    pub busiest: Option<BusyThread>,
    /// 99th percentile of the delay of its event loops; `None` if nobody probed.
    pub loop_delay_p99: Option<Duration>,
    /// The most file descriptors that this process had open; `None` if unknown.
    pub descriptors_max: Option<u64>,
    /// How many it may have; `None` for no limit.
    pub descriptors_limit: Option<u64>,
    /// Requests that failed for want of a file descriptor.
    pub without_descriptor: u64,
    /// Requests that failed for want of a local port.
    pub without_port: u64,
}

/// How busy one thread was.
#[derive(Clone, Debug, PartialEq)]
pub struct BusyThread {
    /// Its name.
    pub name: String,
    /// Its share of a core over the measured time.
    pub share: Ratio,
    /// The same in its worst second.
    pub share_worst: Ratio,
    /// When that second began, from the start of the run.
    pub worst_at: Duration,
}

/// Judges the generator of a run whose requests started so late at p99.
pub(super) fn judge(generator: &Generator, slip_p99: Duration, judgement: &mut Judgement) {
    if let Some(busiest) = &generator.busiest {
        judge_thread(busiest, slip_p99, judgement);
    }
    if let Some(delay) = generator.loop_delay_p99 {
        judge_loop(delay, judgement);
    }
    judge_descriptors(generator, judgement);
    if generator.without_port > 0 {
        judgement.reasons.push(format!(
            "local ports: {} failed because none was left, which is the generator's fault and not \
             the system's; use more instances, fewer connections, or widen \
             net.ipv4.ip_local_port_range",
            requests(generator.without_port)
        ));
    }
}

fn judge_thread(busiest: &BusyThread, slip_p99: Duration, judgement: &mut Judgement) {
    if busiest.share < THREAD_SHARE_LIMIT {
        return;
    }
    let text = |meaning: &str| {
        format!(
            "processor: the thread {} of the generator used {} of a core, and {} from {} on: \
             {meaning}; lower the load, or give the generator more cores",
            busiest.name,
            busiest.share,
            busiest.share_worst,
            long(busiest.worst_at)
        )
    };
    if slip_p99 > SLIP_P99_WARNING {
        judgement
            .reasons
            .push(text("it was the limit, and requests started late"));
    } else {
        judgement
            .warnings
            .push(text("it has nothing left, though requests started on time"));
    }
}

fn judge_loop(delay: Duration, judgement: &mut Judgement) {
    let text = |meaning: &str| {
        format!(
            "event loop: 1% of the time the generator's was {} or more late, so {meaning}; lower the \
             load, or give the generator more cores",
            short(delay)
        )
    };
    if delay > LOOP_DELAY_P99_INVALID {
        judgement
            .reasons
            .push(text("answers lay there unread as long"));
    } else if delay > LOOP_DELAY_P99_WARNING {
        judgement
            .warnings
            .push(text("response times contain this delay of the generator"));
    }
}

fn judge_descriptors(generator: &Generator, judgement: &mut Judgement) {
    if generator.without_descriptor > 0 {
        judgement.reasons.push(format!(
            "file descriptors: {} failed because none was left, which is the generator's fault and \
             not the system's; raise the limit (ulimit -n), or have fewer requests under way",
            requests(generator.without_descriptor)
        ));
        return;
    }
    let (Some(most), Some(limit)) = (generator.descriptors_max, generator.descriptors_limit) else {
        return;
    };
    if Ratio::of(most, limit).is_some_and(|share| share >= DESCRIPTORS_WARNING) {
        judgement.warnings.push(format!(
            "file descriptors: {} of {} were open at once; raise the limit (ulimit -n) before more is \
             asked for",
            thousands(most),
            thousands(limit)
        ));
    }
}

fn requests(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} request{plural}", thousands(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(share: f64) -> BusyThread {
        BusyThread {
            name: "generator-1".to_owned(),
            share: Ratio(share),
            share_worst: Ratio(1.0),
            worst_at: Duration::from_secs(34),
        }
    }

    fn told(generator: &Generator, slip_ms: u64) -> String {
        let mut judgement = Judgement::default();
        judge(generator, Duration::from_millis(slip_ms), &mut judgement);
        let reasons = judgement
            .reasons
            .iter()
            .map(|text| format!("INVALID {text}"));
        let warnings = judgement
            .warnings
            .iter()
            .map(|text| format!("warning {text}"));
        let all: Vec<String> = reasons.chain(warnings).collect();
        if all.is_empty() {
            "fine".to_owned()
        } else {
            all.join("\n")
        }
    }

    #[test]
    fn each_limit_is_named_in_a_sentence() {
        let none = Generator::default();
        let delay = |ms| Generator {
            loop_delay_p99: Some(Duration::from_millis(ms)),
            ..none.clone()
        };
        let busy = |share| Generator {
            busiest: Some(busy(share)),
            ..none.clone()
        };
        let open = |most| Generator {
            descriptors_max: Some(most),
            descriptors_limit: Some(1_000),
            ..none.clone()
        };
        let failed = |without_descriptor, without_port| Generator {
            without_descriptor,
            without_port,
            ..none.clone()
        };
        let table = [
            ("nothing known", told(&none, 500)),
            ("thread at 94%, late", told(&busy(0.94), 50)),
            ("thread at 95%, on time", told(&busy(0.95), 10)),
            ("thread at 95%, late", told(&busy(0.95), 11)),
            ("loop 10 ms late", told(&delay(10), 0)),
            ("loop 11 ms late", told(&delay(11), 0)),
            ("loop 100 ms late", told(&delay(100), 0)),
            ("loop 101 ms late", told(&delay(101), 0)),
            ("899 of 1,000 descriptors", told(&open(899), 0)),
            ("900 of 1,000 descriptors", told(&open(900), 0)),
            ("no descriptors", told(&failed(1_204, 0), 0)),
            ("no ports", told(&failed(0, 1), 0)),
        ];
        let table = table.map(|(case, told)| format!("{case}: {told}"));
        insta::assert_snapshot!(table.join("\n"), @"
        nothing known: fine
        thread at 94%, late: fine
        thread at 95%, on time: warning processor: the thread generator-1 of the generator used 95% of a core, and 100% from 34 s on: it has nothing left, though requests started on time; lower the load, or give the generator more cores
        thread at 95%, late: INVALID processor: the thread generator-1 of the generator used 95% of a core, and 100% from 34 s on: it was the limit, and requests started late; lower the load, or give the generator more cores
        loop 10 ms late: fine
        loop 11 ms late: warning event loop: 1% of the time the generator's was 11 ms or more late, so response times contain this delay of the generator; lower the load, or give the generator more cores
        loop 100 ms late: warning event loop: 1% of the time the generator's was 100 ms or more late, so response times contain this delay of the generator; lower the load, or give the generator more cores
        loop 101 ms late: INVALID event loop: 1% of the time the generator's was 101 ms or more late, so answers lay there unread as long; lower the load, or give the generator more cores
        899 of 1,000 descriptors: fine
        900 of 1,000 descriptors: warning file descriptors: 900 of 1,000 were open at once; raise the limit (ulimit -n) before more is asked for
        no descriptors: INVALID file descriptors: 1,204 requests failed because none was left, which is the generator's fault and not the system's; raise the limit (ulimit -n), or have fewer requests under way
        no ports: INVALID local ports: 1 request failed because none was left, which is the generator's fault and not the system's; use more instances, fewer connections, or widen net.ipv4.ip_local_port_range
        ");
        let unlimited = Generator {
            descriptors_limit: None,
            ..open(1 << 20)
        };
        assert_eq!(told(&unlimited, 0), "fine");
    }

    #[test]
    fn the_documentation_names_every_limit() {
        let documentation = include_str!("../../../docs/validity.md");
        for text in [
            format!("| processor of one thread | ≥ {THREAD_SHARE_LIMIT} of a core"),
            format!("start slip p99 > {}", short(SLIP_P99_WARNING)),
            format!(
                "| event-loop delay, p99 | > {} | > {} |",
                short(LOOP_DELAY_P99_WARNING),
                short(LOOP_DELAY_P99_INVALID)
            ),
            format!("| file descriptors | ≥ {DESCRIPTORS_WARNING} of the limit"),
            format!(
                "| start slip, p99 | > {} | > {} |",
                short(SLIP_P99_WARNING),
                short(super::super::SLIP_P99_INVALID)
            ),
            format!(
                "| processor of all its threads | > {} of all cores | > {} of all cores |",
                super::super::GENERATOR_SHARE_WARNING,
                super::super::GENERATOR_SHARE_INVALID
            ),
        ] {
            assert!(
                documentation.contains(&text),
                "docs/validity.md lacks\n{text}"
            );
        }
    }
}
