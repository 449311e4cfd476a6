//! `summary.md`: for the summary of a CI job or a comment on a pull request.
//!
//! The verdict first, then what was lost, then the tables. Text from elsewhere is escaped.

use super::digest::{all_targets, before_and_after, data_types, facts, lost};
use super::export::{ExportError, Exporter};
use super::knee;
use super::model::Report;
use super::sampled;
use super::table::{Table, markdown_text};
use super::user_kinds;
use super::variants;
use super::watched::fired;
use super::words::{tally, title, verdict};
use crate::gates::Verdict;

/// Makes `summary.md`.
#[derive(Clone, Copy, Debug)]
pub struct Markdown;

impl Exporter for Markdown {
    fn file_name(&self) -> &'static str {
        "summary.md"
    }

    fn export(&self, report: &Report) -> Result<Vec<u8>, ExportError> {
        Ok(summary(report).into_bytes())
    }
}

fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅",
        Verdict::Fail => "❌",
        Verdict::Inconclusive => "⚠️",
    }
}

fn summary(report: &Report) -> String {
    let tables = [
        section("Targets", &all_targets(report)),
        section("Data types", &data_types(report)),
        section("Kinds of users", &user_kinds::table(report)),
        section(
            if report.baseline.is_some() {
                "Before and after"
            } else {
                "The run"
            },
            &before_and_after(report),
        ),
        section("Estimates from samples", &sampled::table(report)),
        section("Alerts that fired", &fired(report)),
        section("Variants", &variants::table(report)),
    ];
    let mut parts = vec![heading(report)];
    parts.extend(the_knee(report));
    parts.extend(losses(report));
    parts.extend(tables.into_iter().flatten());
    parts.extend(missed(report));
    let facts = facts(report);
    let facts = facts
        .iter()
        .map(|fact| format!("- **{}**: {}", fact.label, markdown_text(&fact.text)));
    parts.push("### Can this run be trusted?".to_owned());
    parts.push(facts.collect::<Vec<_>>().join("\n"));
    let title: Vec<String> = title(report)
        .iter()
        .map(|part| markdown_text(part))
        .collect();
    let started = markdown_text(&report.started_at);
    parts.push(format!("{} · started {started}", title.join(" · ")));
    parts.join("\n\n") + "\n"
}

fn heading(report: &Report) -> String {
    let name = markdown_text(&report.scenario.name);
    let trust = match (report.validity.valid, report.validity.interrupted) {
        (false, _) => ", **INVALID run**",
        (true, true) => ", **interrupted**",
        (true, false) => "",
    };
    let (sign, word) = (sign(report.verdict), verdict(report.verdict));
    format!(
        "## {sign} {word}: {name}\n\n**{}**{trust}",
        tally(&report.gates)
    )
}

/// What did not pass, in a list; nothing if all did.
fn losses(report: &Report) -> Option<String> {
    let lines: Vec<String> = [Verdict::Fail, Verdict::Inconclusive]
        .into_iter()
        .flat_map(|wanted| {
            report
                .gates
                .iter()
                .filter(move |gate| gate.verdict == wanted)
        })
        .map(|gate| format!("- {} {}", sign(gate.verdict), markdown_text(&lost(gate))))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The knee, what limits it, and what each rate showed; nothing if it was not searched.
fn the_knee(report: &Report) -> Vec<String> {
    let facts = knee::facts(report);
    let lines: Vec<String> = facts
        .iter()
        .map(|fact| format!("- {}", markdown_text(&fact.text)))
        .collect();
    let mut parts = Vec::new();
    if !lines.is_empty() {
        parts.push("### Knee".to_owned());
        parts.push(lines.join("\n"));
        parts.push(knee::table(report).markdown().trim_end().to_owned());
    }
    parts
}

/// What each variant misses, in a list; nothing without variants.
fn missed(report: &Report) -> Option<String> {
    let lines: Vec<String> = variants::misses(report)
        .iter()
        .map(|missed| {
            let (name, text) = (markdown_text(&missed.name), markdown_text(&missed.text));
            format!("- {} **{name}** {text}", sign(missed.verdict))
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn section(heading: &str, table: &Table) -> Option<String> {
    (!table.is_empty()).then(|| format!("### {heading}\n\n{}", table.markdown().trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, failed_report};

    #[test]
    fn a_run_that_failed() {
        insta::assert_snapshot!(summary(&failed_report()), @"
        ## ❌ FAIL: adr-006

        **15 of 17 targets held, 1 failed, 1 inconclusive**

        - ❌ inventory hit ratio: observed 82.1%, wanted ≥ 85% (ADR-006, Performance Impact)
        - ⚠️ Redis memory: inconclusive, wanted ≤ 90%; Redis did not answer INFO (ADR-006, Cache Monitoring)

        ### Targets

        | target | wanted | observed | verdict | section of ADR-006 | samples |
        | :-- | --: | --: | :-- | :-- | --: |
        | p95 response time, 1,000 users | < 1.0 s | 61 ms | pass | Context | 29,739 |
        | concurrent users | ≥ 1,000 | 1,000 | pass | Context | 85 |
        | customer hit ratio | ≥ 95% | 97.1% | pass | Performance Impact | 4,166 |
        | product hit ratio | ≥ 98% | 99.0% | pass | Performance Impact | 11,928 |
        | **inventory hit ratio** | ≥ 85% | **82.1%** | **FAIL** | Performance Impact | 6,504 |
        | quote hit ratio | ≥ 75% | 81.1% | pass | Performance Impact | 2,090 |
        | hit ratio of all reads | ≥ 85% | 93.2% | pass | Cache Monitoring | 26,478 |
        | customer lookup from the cache | ≤ 5.0 ms | 0.4 ms | pass | Performance Impact | 4,044 |
        | product lookup from the cache | ≤ 3.0 ms | 0.3 ms | pass | Performance Impact | 11,805 |
        | inventory lookup from the cache | ≤ 10 ms | 0.5 ms | pass | Performance Impact | 5,341 |
        | quote lookup from the cache | ≤ 8.0 ms | 0.6 ms | pass | Performance Impact | 1,696 |
        | response time reduction | ≥ 50% | 98.2% | pass | Consequences | 29,741 |
        | origin query reduction | ≥ 70% | 89.5% | pass | Consequences | 29,741 |
        | one load per key | = 1 | 1 | pass | Cache Stampede | 1,680 |
        | failed requests | < 0.1% | 0.01% | pass | Context | 29,741 |
        | Redis evictions | ≤ 100/s | 0/s | pass | Cache Monitoring | 60 |
        | **Redis memory** | ≤ 90% | **–** | **INCONCLUSIVE** | Cache Monitoring | 0 |

        ### Data types

        |  | requests | hit ratio | local | remote | origin | p50 | p95 | p99 | stale | p95 before |
        | :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |
        | activity | 891 | – | – | – | – | 0.8 ms | 1.9 ms | 3.5 ms | – | 84 ms |
        | customer | 4,466 | 97.1% | 58% | 39% | 3% | 0.4 ms | 3.1 ms | 162 ms | 0% | 1.3 s |
        | inventory | 7,094 | 82.1% | 38% | 45% | 18% | 0.6 ms | 103 ms | 187 ms | 0.02% | 1.2 s |
        | product | 11,928 | 99.0% | 72% | 27% | 1% | 0.3 ms | 1.6 ms | 131 ms | 0% | 1.3 s |
        | quote | 2,090 | 81.1% | 29% | 52% | 19% | 0.7 ms | 640 ms | 880 ms | 0% | 1.5 s |
        | rate_limit | 1,182 | – | – | – | – | 0.6 ms | 1.6 ms | 2.9 ms | – | 1.5 ms |
        | session | 2,090 | 100% | 0% | 100% | 0% | 0.7 ms | 19 ms | 35 ms | 0% | 806 ms |
        | all | 29,741 | 93.2% | 53% | 40% | 7% | 0.5 ms | 61 ms | 402 ms | <0.01% | 1.3 s |

        ### Before and after

        |  | for | requests | per s | errors | mean | p95 | origin queries | per request | connections |
        | :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: |
        | before | 20 s | 7,212 | 361 | 0 | 748 ms | 1.3 s | 6,871 | 0.95 | 60 |
        | after | 60 s | 29,741 | 496 | 2 | 13 ms | 61 ms | 2,984 | 0.10 | 23 |
        | change |  |  |  |  | -98% | -95% |  | -89% |  |

        ### Alerts that fired

        | alert | from | until | worst | condition | source |
        | :-- | --: | --: | --: | :-- | :-- |
        | **hit ratio below 80%** | 1 s | 12 s | 41.3% | hit_ratio < 80% | ADR-006, Cache Monitoring: cache hit rate < 80% |
        | **inventory hit ratio** | 1 s | 20 s | 22.7% | hit_ratio{data_type=inventory} < 80% |  |

        ### Can this run be trusted?

        - **origin**: 2,984 queries, 50/s; at most 23 of 60 connections; p95 wait for one 62 µs; 2 got none in time
        - **loads**: 1,680 loads in 1,680 flights, at most 1 of one key at once; 120 requests waited for another's load
        - **Redis**: 117.1 MiB of 256.0 MiB at most; 31,842 keys, 0 evicted, 1,204 expired; 4% of a core
        - **TTLs**: a sample of 4,835 keys, 2 without one; left at the median: activity 59.3 min, customer 13.2 min, inventory 4.0 min, product 55.4 min, session 22.9 h
        - **errors**: 2 of 29,741 requests: 503 origin timeout (2)
        - **oracles**: origin-pool, staleness, versions: no violation in 56,506 checks
        - **alerts**: 2 of 5 fired: hit ratio below 80% from 1 s to 12 s, worst 41.3%; inventory hit ratio from 1 s to 20 s, worst 22.7%
        - **faults**: origin slow x3 for 5 s at 55 s
        - **run**: valid: generator 21% of a core, busiest thread 14%, instances 34% of a core, loop delay p99 0.4 ms, start slip p99 0.3 ms, nothing dropped, at most 1,000 users live, 2,104 of 65,536 file descriptors

        adr-006 · seed 42 · closed loop, 1,000 users · Redis 7.0.15 standalone (managed) · 3 instances · started 2026-11-23T07:45:00Z
        ");
    }

    #[test]
    fn a_run_of_which_little_is_known() {
        insta::assert_snapshot!(summary(&bare_report()), @"
        ## ⚠️ INCONCLUSIVE: bare

        **no targets**, **INVALID run**

        ### Data types

        |  | requests | hit ratio | p50 | p95 | p99 | stale |
        | :-- | --: | --: | --: | --: | --: | --: |
        | rate_limit | 1,182 | – | 0.6 ms | 1.6 ms | 2.9 ms | – |

        ### The run

        |  | for | requests | per s | errors | mean | p95 | origin queries | per request | connections |
        | :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: |
        | run | 60 s | 29,741 | 496 | 2 | 13 ms | 61 ms | 2,599 | 0.09 | 23 |

        ### Alerts that fired

        | alert | from | until | worst | condition | source |
        | :-- | --: | --: | --: | :-- | :-- |
        | **hit ratio below 80%** | 1 s | 12 s | 41.3% | hit_ratio < 80% | ADR-006, Cache Monitoring: cache hit rate < 80% |

        ### Can this run be trusted?

        - **origin**: 2,599 queries, 43/s; at most 23 of 60 connections; p95 wait for one 62 µs; 2 got none in time
        - **loads**: 1,295 loads in 1,295 flights, at most 1 of one key at once; 60 requests waited for another's load
        - **errors**: 2 of 29,741 requests: 503 origin timeout (2)
        - **alerts**: 1 of 4 fired: hit ratio below 80% from 1 s to 12 s, worst 41.3%
        - **faults**: origin slow x3 for 5 s at 55 s
        - **run**: INTERRUPTED: this is what was measured until then
        - **run**: INVALID: the generator was the bottleneck: start slip p99 412 ms
        - **signs**: nothing dropped, at most 12 users live
        - **note**: only 3 requests measured

        bare · seed 42 · closed loop, 1,000 users · no Redis · 3 instances · started 2026-11-23T07:45:00Z
        ");
    }

    #[test]
    fn text_from_elsewhere_cannot_break_a_table() {
        let mut report = failed_report();
        report.gates[0].name = "a | b\n| <img src=x> `c`".to_owned();
        let text = summary(&report);
        let row = text
            .lines()
            .find(|line| line.contains("img"))
            .expect("the row");
        assert!(row.contains("a \\| b \\| \\<img src=x> \\`c\\`"), "{row}");
        let bars = row.replace("\\|", "").matches('|').count();
        assert_eq!(bars, 7, "{row}");
    }
}
