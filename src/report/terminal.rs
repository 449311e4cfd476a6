//! What `run` prints on standard output at its end: the result alone.
//!
//! From top to bottom as one asks: what was run, what did caching buy, who answered, did it hold,
//! can it be trusted. Whatever did not hold is said again right above the last line, so that it is
//! on the screen however long the tables are.

use std::path::Path;

use unicode_width::UnicodeWidthStr;

use super::digest::{Fact, all_targets, before_and_after, data_types, facts, lost};
use super::knee;
use super::model::Report;
use super::sampled;
use super::table::{Tone, wrap};
use super::user_kinds;
use super::variants;
use super::words::{tally, title, verdict};
use crate::gates::Verdict;

/// How it may look.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether to use colours; the words say the same without.
    pub color: bool,
    /// How many columns the terminal has.
    pub width: usize,
}

/// Lines are kept between these widths: narrower cannot be read, wider is not followed by the eye.
const WIDTH_MIN: usize = 40;
const WIDTH_MAX: usize = 110;

/// The report for a person at a terminal; `html` is where the HTML report was written.
pub fn render(report: &Report, html: &Path, style: Style) -> String {
    let style = Style {
        width: style.width.clamp(WIDTH_MIN, WIDTH_MAX),
        ..style
    };
    let mut lines = heading(&title(report), style.width);
    lines.extend(knee_lines(report, style));
    for table in [
        before_and_after(report),
        data_types(report),
        user_kinds::table(report),
        all_targets(report),
        sampled::table(report),
        variants::table(report),
    ] {
        if !table.is_empty() {
            lines.push(String::new());
            lines.extend(table.lines(style.width, style.color));
        }
    }
    lines.extend(missed_lines(report, style));
    lines.push(String::new());
    lines.extend(
        facts(report)
            .iter()
            .flat_map(|fact| fact_lines(fact, style)),
    );
    lines.push(String::new());
    let losses = lost_lines(report, style);
    if !losses.is_empty() {
        lines.extend(losses);
        lines.push(String::new());
    }
    lines.push(last_line(report, html, style));
    lines.join("\n") + "\n"
}

/// The parts with dots between them, broken between parts only.
fn heading(parts: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if line.width() + 3 + part.width() <= width => {
                line.push_str(" · ");
                line.push_str(part);
            }
            Some(_) => lines.push(format!("  {part}")),
            None => lines.push(part.clone()),
        }
    }
    lines
}

/// The knee, what limits it, and what each rate showed: before all else, which is of one of them.
fn knee_lines(report: &Report, style: Style) -> Vec<String> {
    let facts = knee::facts(report);
    if facts.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![String::new()];
    lines.extend(facts.iter().flat_map(|fact| fact_lines(fact, style)));
    lines.push(String::new());
    lines.extend(knee::table(report).lines(style.width, style.color));
    lines
}

const LABEL_WIDTH: usize = 9;

fn fact_lines(fact: &Fact, style: Style) -> Vec<String> {
    let indent = 2 + LABEL_WIDTH;
    wrap(&fact.text, style.width.saturating_sub(indent))
        .iter()
        .enumerate()
        .map(|(at, line)| {
            let label = if at == 0 { fact.label } else { "" };
            let label = Tone::Faint.paint(&format!("{label:LABEL_WIDTH$}"), style.color);
            format!("  {label}{}", fact.tone.paint(line, style.color))
        })
        .collect()
}

/// What each variant misses, below their table.
fn missed_lines(report: &Report, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    for missed in variants::misses(report) {
        let mark = match missed.verdict {
            Verdict::Pass => "  ",
            Verdict::Fail => "✗ ",
            Verdict::Inconclusive => "? ",
        };
        let text = format!("{} {}", missed.name, missed.text);
        for (at, line) in wrap(&text, style.width - 4).iter().enumerate() {
            let mark = if at == 0 { mark } else { "    " };
            let line = format!("{mark}{line}");
            lines.push(tone(missed.verdict).paint(&line, style.color));
        }
    }
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

fn lost_lines(report: &Report, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    for (wanted, mark) in [(Verdict::Inconclusive, "? "), (Verdict::Fail, "✗ ")] {
        for gate in report.gates.iter().filter(|gate| gate.verdict == wanted) {
            for (at, line) in wrap(&lost(gate), style.width - 2).iter().enumerate() {
                let mark = if at == 0 { mark } else { "  " };
                lines.push(tone(wanted).paint(&format!("{mark}{line}"), style.color));
            }
        }
    }
    lines
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Pass => Tone::Good,
        Verdict::Fail => Tone::Bad,
        Verdict::Inconclusive => Tone::Doubtful,
    }
}

/// Never broken: the path is there to be copied.
fn last_line(report: &Report, html: &Path, style: Style) -> String {
    let word = tone(report.verdict).paint(verdict(report.verdict), style.color);
    let mut tally = tally(&report.gates);
    if !report.validity.valid {
        tally += ", INVALID run";
    }
    format!("{word}  {tally}   {}", html.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, day_report, failed_report, sample_report};

    fn show(report: &Report, width: usize) -> String {
        let html = Path::new("reports/adr-006-20261123T074500Z/report.html");
        render(
            report,
            html,
            Style {
                color: false,
                width,
            },
        )
    }

    #[test]
    fn a_run_that_held() {
        insta::assert_snapshot!(show(&sample_report(), 110), @"
        adr-006 · seed 42 · closed loop, 1,000 users · Redis 7.0.15 standalone (managed) · 3 instances

                   for  requests  per s  errors    mean    p95  origin queries  per request  connections
          before  20 s     7,212    361       0  748 ms  1.3 s           6,871         0.95           60
          after   60 s    29,741    496       2   13 ms  61 ms           2,599         0.09           23
          change                                   -98%   -95%                         -91%

                      requests  hit ratio  local  remote  origin     p50     p95     p99   stale  p95 before
          activity         891          –      –       –       –  0.8 ms  1.9 ms  3.5 ms       –       84 ms
          customer       4,466      97.1%    58%     39%      3%  0.4 ms  3.1 ms  162 ms      0%       1.3 s
          inventory      7,094      89.0%    41%     48%     11%  0.6 ms  103 ms  187 ms   0.02%       1.2 s
          product       11,928      99.0%    72%     27%      1%  0.3 ms  1.6 ms  131 ms      0%       1.3 s
          quote          2,090      81.1%    29%     52%     19%  0.7 ms  640 ms  880 ms      0%       1.5 s
          rate_limit     1,182          –      –       –       –  0.6 ms  1.6 ms  2.9 ms       –      1.5 ms
          session        2,090       100%     0%    100%      0%  0.7 ms   19 ms   35 ms      0%      806 ms
          all           29,741      94.9%    54%     41%      5%  0.5 ms   61 ms  402 ms  <0.01%       1.3 s

          target                             wanted  observed  verdict  section of ADR-006  samples
          p95 response time, 1,000 users    < 1.0 s     61 ms  pass     Context              29,739
          concurrent users                  ≥ 1,000     1,000  pass     Context                  85
          customer hit ratio                  ≥ 95%     97.1%  pass     Performance Impact    4,166
          product hit ratio                   ≥ 98%     99.0%  pass     Performance Impact   11,928
          inventory hit ratio                 ≥ 85%     89.0%  pass     Performance Impact    6,504
          quote hit ratio                     ≥ 75%     81.1%  pass     Performance Impact    2,090
          hit ratio of all reads              ≥ 85%     94.9%  pass     Cache Monitoring     26,478
          customer lookup from the cache   ≤ 5.0 ms    0.4 ms  pass     Performance Impact    4,044
          product lookup from the cache    ≤ 3.0 ms    0.3 ms  pass     Performance Impact   11,805
          inventory lookup from the cache   ≤ 10 ms    0.5 ms  pass     Performance Impact    5,786
          quote lookup from the cache      ≤ 8.0 ms    0.6 ms  pass     Performance Impact    1,696
          response time reduction             ≥ 50%     98.2%  pass     Consequences         29,741
          origin query reduction              ≥ 70%     90.8%  pass     Consequences         29,741
          one load per key                      = 1         1  pass     Cache Stampede        1,295
          failed requests                    < 0.1%     0.01%  pass     Context              29,741
          Redis evictions                   ≤ 100/s       0/s  pass     Cache Monitoring         60
          Redis memory                        ≤ 90%     45.8%  pass     Cache Monitoring         60

          origin   2,599 queries, 43/s; at most 23 of 60 connections; p95 wait for one 62 µs; 2 got none in time
          loads    1,295 loads in 1,295 flights, at most 1 of one key at once; 60 requests waited for another's load
          Redis    117.1 MiB of 256.0 MiB at most; 31,842 keys, 0 evicted, 1,204 expired; 4% of a core
          TTLs     a sample of 4,835 keys, 2 without one; left at the median: activity 59.3 min, customer 13.2 min,
                   inventory 4.0 min, product 55.4 min, session 22.9 h
          errors   2 of 29,741 requests: 503 origin timeout (2)
          oracles  origin-pool, staleness, versions: no violation in 56,506 checks
          alerts   1 of 4 fired: hit ratio below 80% from 1 s to 12 s, worst 41.3%
          faults   origin slow x3 for 5 s at 55 s
          run      valid: generator 21% of a core, busiest thread 14%, instances 34% of a core, loop delay p99 0.4 ms,
                   start slip p99 0.3 ms, nothing dropped, at most 1,000 users live, 2,104 of 65,536 file descriptors

        PASS  17 of 17 targets   reports/adr-006-20261123T074500Z/report.html
        ");
    }

    #[test]
    fn a_run_that_held_at_80_columns() {
        insta::assert_snapshot!(show(&sample_report(), 80), @"
        adr-006 · seed 42 · closed loop, 1,000 users · Redis 7.0.15 standalone (managed)
          3 instances

                  for requests per s errors   mean   p95 origin queries per request
          before 20 s    7,212   361      0 748 ms 1.3 s          6,871        0.95
          after  60 s   29,741   496      2  13 ms 61 ms          2,599        0.09
          change                              -98%  -95%                       -91%

                     requests hit ratio local remote origin    p50    p95    p99  stale
          activity        891         –     –      –      – 0.8 ms 1.9 ms 3.5 ms      –
          customer      4,466     97.1%   58%    39%     3% 0.4 ms 3.1 ms 162 ms     0%
          inventory     7,094     89.0%   41%    48%    11% 0.6 ms 103 ms 187 ms  0.02%
          product      11,928     99.0%   72%    27%     1% 0.3 ms 1.6 ms 131 ms     0%
          quote         2,090     81.1%   29%    52%    19% 0.7 ms 640 ms 880 ms     0%
          rate_limit    1,182         –     –      –      – 0.6 ms 1.6 ms 2.9 ms      –
          session       2,090      100%    0%   100%     0% 0.7 ms  19 ms  35 ms     0%
          all          29,741     94.9%   54%    41%     5% 0.5 ms  61 ms 402 ms <0.01%

          target                            wanted observed verdict section of ADR-006
          p95 response time, 1,000 users   < 1.0 s    61 ms pass    Context
          concurrent users                 ≥ 1,000    1,000 pass    Context
          customer hit ratio                 ≥ 95%    97.1% pass    Performance Impact
          product hit ratio                  ≥ 98%    99.0% pass    Performance Impact
          inventory hit ratio                ≥ 85%    89.0% pass    Performance Impact
          quote hit ratio                    ≥ 75%    81.1% pass    Performance Impact
          hit ratio of all reads             ≥ 85%    94.9% pass    Cache Monitoring
          customer lookup from the cache  ≤ 5.0 ms   0.4 ms pass    Performance Impact
          product lookup from the cache   ≤ 3.0 ms   0.3 ms pass    Performance Impact
          inventory lookup from the cache  ≤ 10 ms   0.5 ms pass    Performance Impact
          quote lookup from the cache     ≤ 8.0 ms   0.6 ms pass    Performance Impact
          response time reduction            ≥ 50%    98.2% pass    Consequences
          origin query reduction             ≥ 70%    90.8% pass    Consequences
          one load per key                     = 1        1 pass    Cache Stampede
          failed requests                   < 0.1%    0.01% pass    Context
          Redis evictions                  ≤ 100/s      0/s pass    Cache Monitoring
          Redis memory                       ≤ 90%    45.8% pass    Cache Monitoring

          origin   2,599 queries, 43/s; at most 23 of 60 connections; p95 wait for one
                   62 µs; 2 got none in time
          loads    1,295 loads in 1,295 flights, at most 1 of one key at once; 60
                   requests waited for another's load
          Redis    117.1 MiB of 256.0 MiB at most; 31,842 keys, 0 evicted, 1,204
                   expired; 4% of a core
          TTLs     a sample of 4,835 keys, 2 without one; left at the median: activity
                   59.3 min, customer 13.2 min, inventory 4.0 min, product 55.4 min,
                   session 22.9 h
          errors   2 of 29,741 requests: 503 origin timeout (2)
          oracles  origin-pool, staleness, versions: no violation in 56,506 checks
          alerts   1 of 4 fired: hit ratio below 80% from 1 s to 12 s, worst 41.3%
          faults   origin slow x3 for 5 s at 55 s
          run      valid: generator 21% of a core, busiest thread 14%, instances 34% of
                   a core, loop delay p99 0.4 ms, start slip p99 0.3 ms, nothing
                   dropped, at most 1,000 users live, 2,104 of 65,536 file descriptors

        PASS  17 of 17 targets   reports/adr-006-20261123T074500Z/report.html
        ");
    }

    #[test]
    fn a_run_that_failed() {
        insta::assert_snapshot!(show(&failed_report(), 110), @"
        adr-006 · seed 42 · closed loop, 1,000 users · Redis 7.0.15 standalone (managed) · 3 instances

                   for  requests  per s  errors    mean    p95  origin queries  per request  connections
          before  20 s     7,212    361       0  748 ms  1.3 s           6,871         0.95           60
          after   60 s    29,741    496       2   13 ms  61 ms           2,984         0.10           23
          change                                   -98%   -95%                         -89%

                      requests  hit ratio  local  remote  origin     p50     p95     p99   stale  p95 before
          activity         891          –      –       –       –  0.8 ms  1.9 ms  3.5 ms       –       84 ms
          customer       4,466      97.1%    58%     39%      3%  0.4 ms  3.1 ms  162 ms      0%       1.3 s
          inventory      7,094      82.1%    38%     45%     18%  0.6 ms  103 ms  187 ms   0.02%       1.2 s
          product       11,928      99.0%    72%     27%      1%  0.3 ms  1.6 ms  131 ms      0%       1.3 s
          quote          2,090      81.1%    29%     52%     19%  0.7 ms  640 ms  880 ms      0%       1.5 s
          rate_limit     1,182          –      –       –       –  0.6 ms  1.6 ms  2.9 ms       –      1.5 ms
          session        2,090       100%     0%    100%      0%  0.7 ms   19 ms   35 ms      0%      806 ms
          all           29,741      93.2%    53%     40%      7%  0.5 ms   61 ms  402 ms  <0.01%       1.3 s

          target                             wanted  observed  verdict       section of ADR-006  samples
          p95 response time, 1,000 users    < 1.0 s     61 ms  pass          Context              29,739
          concurrent users                  ≥ 1,000     1,000  pass          Context                  85
          customer hit ratio                  ≥ 95%     97.1%  pass          Performance Impact    4,166
          product hit ratio                   ≥ 98%     99.0%  pass          Performance Impact   11,928
        ✗ inventory hit ratio                 ≥ 85%     82.1%  FAIL          Performance Impact    6,504
          quote hit ratio                     ≥ 75%     81.1%  pass          Performance Impact    2,090
          hit ratio of all reads              ≥ 85%     93.2%  pass          Cache Monitoring     26,478
          customer lookup from the cache   ≤ 5.0 ms    0.4 ms  pass          Performance Impact    4,044
          product lookup from the cache    ≤ 3.0 ms    0.3 ms  pass          Performance Impact   11,805
          inventory lookup from the cache   ≤ 10 ms    0.5 ms  pass          Performance Impact    5,341
          quote lookup from the cache      ≤ 8.0 ms    0.6 ms  pass          Performance Impact    1,696
          response time reduction             ≥ 50%     98.2%  pass          Consequences         29,741
          origin query reduction              ≥ 70%     89.5%  pass          Consequences         29,741
          one load per key                      = 1         1  pass          Cache Stampede        1,680
          failed requests                    < 0.1%     0.01%  pass          Context              29,741
          Redis evictions                   ≤ 100/s       0/s  pass          Cache Monitoring         60
        ? Redis memory                        ≤ 90%         –  INCONCLUSIVE  Cache Monitoring          0

          origin   2,984 queries, 50/s; at most 23 of 60 connections; p95 wait for one 62 µs; 2 got none in time
          loads    1,680 loads in 1,680 flights, at most 1 of one key at once; 120 requests waited for another's load
          Redis    117.1 MiB of 256.0 MiB at most; 31,842 keys, 0 evicted, 1,204 expired; 4% of a core
          TTLs     a sample of 4,835 keys, 2 without one; left at the median: activity 59.3 min, customer 13.2 min,
                   inventory 4.0 min, product 55.4 min, session 22.9 h
          errors   2 of 29,741 requests: 503 origin timeout (2)
          oracles  origin-pool, staleness, versions: no violation in 56,506 checks
          alerts   2 of 5 fired: hit ratio below 80% from 1 s to 12 s, worst 41.3%; inventory hit ratio from 1 s to 20
                   s, worst 22.7%
          faults   origin slow x3 for 5 s at 55 s
          run      valid: generator 21% of a core, busiest thread 14%, instances 34% of a core, loop delay p99 0.4 ms,
                   start slip p99 0.3 ms, nothing dropped, at most 1,000 users live, 2,104 of 65,536 file descriptors

        ? Redis memory: inconclusive, wanted ≤ 90%; Redis did not answer INFO (ADR-006, Cache Monitoring)
        ✗ inventory hit ratio: observed 82.1%, wanted ≥ 85% (ADR-006, Performance Impact)

        FAIL  15 of 17 targets held, 1 failed, 1 inconclusive   reports/adr-006-20261123T074500Z/report.html
        ");
    }

    #[test]
    fn a_run_of_which_little_is_known() {
        insta::assert_snapshot!(show(&bare_report(), 80), @"
        bare · seed 42 · closed loop, 1,000 users · no Redis · 3 instances

                for  requests  per s  errors   mean    p95  origin queries  per request
          run  60 s    29,741    496       2  13 ms  61 ms           2,599         0.09

                      requests  hit ratio     p50     p95     p99  stale
          rate_limit     1,182          –  0.6 ms  1.6 ms  2.9 ms      –

          origin   2,599 queries, 43/s; at most 23 of 60 connections; p95 wait for one
                   62 µs; 2 got none in time
          loads    1,295 loads in 1,295 flights, at most 1 of one key at once; 60
                   requests waited for another's load
          errors   2 of 29,741 requests: 503 origin timeout (2)
          alerts   1 of 4 fired: hit ratio below 80% from 1 s to 12 s, worst 41.3%
          faults   origin slow x3 for 5 s at 55 s
          run      INTERRUPTED: this is what was measured until then
          run      INVALID: the generator was the bottleneck: start slip p99 412 ms
          signs    nothing dropped, at most 12 users live
          note     only 3 requests measured

        INCONCLUSIVE  no targets, INVALID run   reports/adr-006-20261123T074500Z/report.html
        ");
    }

    #[test]
    fn a_day_of_millions() {
        let report = day_report();
        let head = |width| {
            let text = show(&report, width);
            let lines = text.lines().take_while(|line| !line.contains("wanted"));
            lines.collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(head(110), @"
        day · seed 42 · direct, 1,000 users · Redis 7.0.15 standalone (managed) · 3 instances · virtual time

                          for    requests  per s  errors    mean    p95  origin queries  per request  connections
          before         20 s       7,212    361       0  748 ms  1.3 s           6,871         0.95           60
          after   23 h 30 min  15,712,179    186       0   13 ms  61 ms       1,363,245         0.09           23
          change                                            -98%   -95%                         -91%

                        requests  hit ratio  local  remote  origin     p50     p95     p99   stale  p95 before
          activity       471,178          –      –       –       –  0.8 ms  1.9 ms  3.5 ms       –       84 ms
          customer     2,355,834      97.1%    57%     40%      3%  0.4 ms  3.1 ms  162 ms   0.02%       1.3 s
          inventory    3,719,649      88.9%    40%     48%     11%  0.6 ms  103 ms  187 ms   0.02%       1.2 s
          product      6,335,730      99.0%    71%     28%      1%  0.3 ms  1.6 ms  131 ms      0%       1.3 s
          quote        1,100,394      81.2%    29%     52%     19%  0.7 ms  640 ms  880 ms      0%       1.5 s
          rate_limit     621,236          –      –       –       –  0.6 ms  1.6 ms  2.9 ms       –      1.5 ms
          session      1,108,158       100%     0%    100%      0%  0.7 ms   19 ms   35 ms   0.02%      806 ms
          all         15,712,179      94.9%    53%     41%      5%  0.5 ms   61 ms  402 ms  <0.01%       1.3 s
        ");
        insta::assert_snapshot!(head(80), @"
        day · seed 42 · direct, 1,000 users · Redis 7.0.15 standalone (managed)
          3 instances · virtual time

                         for   requests errors   mean   p95 origin queries per request
          before        20 s      7,212      0 748 ms 1.3 s          6,871        0.95
          after  23 h 30 min 15,712,179      0  13 ms 61 ms      1,363,245        0.09
          change                                 -98%  -95%                       -91%

                       requests hit ratio local remote origin    p95    p99  stale
          activity      471,178         –     –      –      – 1.9 ms 3.5 ms      –
          customer    2,355,834     97.1%   57%    40%     3% 3.1 ms 162 ms  0.02%
          inventory   3,719,649     88.9%   40%    48%    11% 103 ms 187 ms  0.02%
          product     6,335,730     99.0%   71%    28%     1% 1.6 ms 131 ms     0%
          quote       1,100,394     81.2%   29%    52%    19% 640 ms 880 ms     0%
          rate_limit    621,236         –     –      –      – 1.6 ms 2.9 ms      –
          session     1,108,158      100%    0%   100%     0%  19 ms  35 ms  0.02%
          all        15,712,179     94.9%   53%    41%     5%  61 ms 402 ms <0.01%
        ");
    }

    #[test]
    fn lines_keep_to_the_width_but_for_the_last() {
        for report in [sample_report(), failed_report(), bare_report()] {
            for width in [72, 80, 100, 110, 300] {
                let text = show(&report, width);
                let lines: Vec<&str> = text.lines().collect();
                for line in &lines[..lines.len() - 1] {
                    assert!(line.width() <= width.min(WIDTH_MAX), "{width}: {line}");
                }
            }
        }
    }

    #[test]
    fn colours_only_if_asked_and_never_alone() {
        let html = Path::new("report.html");
        for report in [sample_report(), failed_report(), bare_report()] {
            let plain = render(
                &report,
                html,
                Style {
                    color: false,
                    width: 100,
                },
            );
            assert!(!plain.contains('\u{1b}'));
            let painted = render(
                &report,
                html,
                Style {
                    color: true,
                    width: 100,
                },
            );
            assert!(painted.contains('\u{1b}'));
            let mut bare = String::new();
            for (at, part) in painted.split("\u{1b}[").enumerate() {
                let text = if at == 0 {
                    part
                } else {
                    part.split_once('m').expect("a code").1
                };
                bare.push_str(text);
            }
            assert_eq!(bare, plain);
        }
    }
}
