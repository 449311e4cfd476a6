//! What `cachestorm trace` says to people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::environment::keyspace::mask_url;
use crate::environment::redis_monitor::{CaptureOptions, Captured};
use crate::units::{ByteSize, Ratio, Span, long, short, thousands};
use crate::workload::trace::convert::Converted;
use crate::workload::trace::stats::{
    KEYS_MAX, Keys, Quantiles, RESIDENCE_MIN, Rates, TraceStatistics,
};
use crate::workload::trace::{Skipped, TimeResolution, TraceReader};

/// How many rows a picture of the rate has.
const BARS: usize = 60;
/// How many reasons are told by name.
const REASONS_TOLD: usize = 5;

/// The statistics, as a table and some sentences.
pub(super) fn statistics(of: &TraceStatistics) -> String {
    let mut text = format!("{} · {}\n\n", of.trace, of.format);
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<16}{value}");
    };
    row("requests", &requests(of));
    row("time", &time(of));
    if let Some(rate) = &of.rate {
        row("rate", &rates(rate));
        row("", &picture(&rate.requests_by_row));
    }
    row("keys", &keys(&of.keys));
    row("popularity", &popularity(&of.keys));
    row("value size", &sizes(of));
    if of.value_size_bytes.is_some() {
        let distinct = ByteSize(of.keys.bytes_distinct);
        let all = ByteSize(of.bytes_total);
        row("", &format!("all keys once {distinct}, all requests {all}"));
    }
    let ttls = of
        .ttl_s
        .map(|ttls| told_quantiles(&ttls, "", |ttl| short(secs(ttl))));
    row("TTL", ttls.as_deref().unwrap_or("none is told"));
    text.push_str(&residence(of));
    text.push_str(&skipped(&of.skipped));
    if of.keys.sampled_one_of > 1 {
        let _ = writeln!(
            text,
            "\nWhat is told of keys is an estimate from one of {} keys, taken by their hash: there are \
             more than {} of them.",
            of.keys.sampled_one_of,
            thousands(KEYS_MAX as u64)
        );
    }
    text
}

fn secs(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn requests(of: &TraceStatistics) -> String {
    let share = |count| Ratio::of(count, of.requests).unwrap_or_default();
    let asked = &of.operations;
    format!(
        "{}: {} get, {} put, {} invalidate",
        thousands(of.requests),
        share(asked.get),
        share(asked.put),
        share(asked.invalidate)
    )
}

fn time(of: &TraceStatistics) -> String {
    let lasts = long(secs(of.duration_s));
    match of.time_resolution {
        TimeResolution::Absent => {
            "none is told: only the order of the requests is known".to_owned()
        }
        TimeResolution::Seconds => format!("{lasts}, told in whole seconds"),
        TimeResolution::Finer => lasts,
    }
}

fn rates(rate: &Rates) -> String {
    format!(
        "{} requests/s on average, {} in the busiest second, after {}",
        per_second(rate.mean_per_s),
        thousands(rate.peak_second_requests),
        long(Duration::from_secs(rate.peak_second_at_s))
    )
}

fn per_second(rate: f64) -> String {
    if rate < 10.0 {
        format!("{rate:.2}")
    } else {
        // Rates are far below what the seconds of a duration can count.
        thousands(secs(rate.round()).as_secs())
    }
}

/// Requests over time, the highest row as a full block.
fn picture(rows: &[u64]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let width = rows.len().div_ceil(BARS).max(1);
    let bars: Vec<u64> = rows.chunks(width).map(|rows| rows.iter().sum()).collect();
    // The last bar may be of a part of the time only.
    let most = bars.iter().copied().max().unwrap_or(0).max(1);
    let block = |count: &u64| match count {
        0 => ' ',
        count => BLOCKS[((count * 8).div_ceil(most) as usize - 1).min(7)],
    };
    bars.iter().map(block).collect()
}

fn keys(keys: &Keys) -> String {
    let about = if keys.sampled_one_of > 1 {
        "about "
    } else {
        ""
    };
    let once = Ratio(keys.one_hit_share);
    format!(
        "{about}{}, of which {once} were asked for once",
        thousands(keys.distinct)
    )
}

fn popularity(keys: &Keys) -> String {
    let mut text = match &keys.zipf {
        None => "too few keys for a fit".to_owned(),
        Some(fit) => {
            let gap = Ratio(fit.largest_gap);
            let poor = if fit.largest_gap > 0.1 {
                ": a poor fit"
            } else {
                ""
            };
            format!("Zipf of skew {:.2}, off by {gap} at most{poor}", fit.skew)
        }
    };
    if let Some(share) = keys.most_popular_share {
        let _ = write!(text, "; the most popular key takes {}", Ratio(share));
    }
    text
}

fn sizes(of: &TraceStatistics) -> String {
    let Some(sizes) = &of.value_size_bytes else {
        return "none is told".to_owned();
    };
    let size = |bytes: f64| ByteSize(secs(bytes.round()).as_secs()).to_string();
    told_quantiles(sizes, &format!("mean {}, ", size(sizes.mean)), size)
}

fn told_quantiles(of: &Quantiles, before: &str, told: impl Fn(f64) -> String) -> String {
    let [p50, p90, p99, max] = [of.p50, of.p90, of.p99, of.max].map(told);
    format!(
        "{before}p50 {p50}, p90 {p90}, p99 {p99}, max {max} (of {})",
        thousands(of.count)
    )
}

/// How long entries would stay, and what that means for Redis.
fn residence(of: &TraceStatistics) -> String {
    let mut text = String::new();
    if of.residence.is_empty() {
        return text;
    }
    text.push_str("\nHow long an LRU cache keeps an entry after it was last asked for, at the trace's pace:\n");
    let mut brief = false;
    for residence in &of.residence {
        let time = residence.residence_s.map(secs);
        brief |= time.is_some_and(|time| time < RESIDENCE_MIN);
        let told = time.map_or_else(|| "it never fills".to_owned(), short);
        let _ = writeln!(
            text,
            "  {:>5} of the keys ({} entries)  {told}",
            Ratio(residence.share_of_keys).to_string(),
            thousands(residence.entries)
        );
    }
    if brief {
        let _ = writeln!(
            text,
            "Below about {} a real Redis evicts nearly at random, for its LRU clock ticks once a second:\n\
             replay that slower, or with allkeys-lfu, or simulate it.",
            long(RESIDENCE_MIN)
        );
    }
    text
}

/// What gave no request, if anything.
fn skipped(skipped: &Skipped) -> String {
    let mut text = String::new();
    if !skipped.other.is_empty() {
        let _ = writeln!(
            text,
            "\nNo requests on a key, left out: {}",
            reasons(&skipped.other)
        );
    }
    if let Some(first) = &skipped.first_malformed {
        let count = thousands(skipped.malformed);
        let _ = writeln!(
            text,
            "\nLines that could not be read, left out: {count}; the first: {first}"
        );
    }
    if skipped.times_raised > 0 {
        let count = thousands(skipped.times_raised);
        let _ = writeln!(
            text,
            "\nTimes that went backwards, raised to the latest: {count}"
        );
    }
    text
}

/// `PING 12, EXPIRE 3`, the most frequent first.
fn reasons(counts: &BTreeMap<String, u64>) -> String {
    let mut sorted: Vec<(&String, &u64)> = counts.iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let told = sorted.iter().take(REASONS_TOLD);
    let told = told.map(|(name, count)| format!("{name} {}", thousands(**count)));
    let mut text = told.collect::<Vec<_>>().join(", ");
    let rest: u64 = sorted
        .iter()
        .skip(REASONS_TOLD)
        .map(|(_, count)| **count)
        .sum();
    if rest > 0 {
        let _ = write!(text, ", others {}", thousands(rest));
    }
    text
}

/// What was written, and what was lost on the way.
pub(super) fn converted(of: &Converted, trace: &TraceReader, out: &Path) -> String {
    let mut text = format!(
        "{}: {} of {} records of {}",
        out.display(),
        thousands(of.written),
        thousands(of.read),
        trace.format()
    );
    for (count, what) in [
        (of.not_sampled, "of keys outside the sample"),
        (
            of.invalidations_left_out,
            "invalidations left out, for which the form has no place",
        ),
        (of.puts_as_gets, "puts became reads"),
        (of.ttls_left_out, "TTLs left out"),
        (
            of.sizes_made_one,
            "sizes are not known and became 1, for libCacheSim passes over 0",
        ),
    ] {
        if count > 0 {
            let _ = write!(text, "\n  {} {what}", thousands(count));
        }
    }
    if trace.resolution() == TimeResolution::Absent {
        text.push_str("\n  the trace has no times: all became 0");
    }
    let skipped = skipped(trace.skipped());
    for line in skipped.lines().filter(|line| !line.is_empty()) {
        let _ = write!(text, "\n  {line}");
    }
    text
}

/// Before a capture.
pub(super) fn about_to_capture(options: &CaptureOptions) -> String {
    let keys = if options.plain_keys {
        "keys are written as they are"
    } else {
        "keys are hashed with a secret that is not kept"
    };
    format!(
        "capturing from {} for {}; {keys}\nwarning: MONITOR takes throughput from the server while it \
         runs, more than half of it in Redis' own figures (104,275 GETs a second without, 45,331 with)",
        mask_url(&options.url),
        Span(options.duration)
    )
}

/// After a capture.
pub(super) fn captured(of: &Captured, out: &Path) -> String {
    let mut text = format!(
        "{}: {} requests of {} commands in {}",
        out.display(),
        thousands(of.requests),
        thousands(of.commands),
        long(of.duration)
    );
    if !of.skipped.is_empty() {
        let _ = write!(text, "\n  no requests on a key: {}", reasons(&of.skipped));
    }
    if of.lost > 0 {
        let _ = write!(
            text,
            "\n  warning: {} requests came faster than they could be written and were lost: write to a \
             faster disk, or without compression",
            thousands(of.lost)
        );
    }
    if of.unreadable > 0 {
        let _ = write!(
            text,
            "\n  warning: {} lines of MONITOR could not be read and were left out",
            thousands(of.unreadable)
        );
    }
    if of.requests == 0 {
        text.push_str("\n  warning: nothing was captured: is this the server that is used?");
    }
    text
}

/// A capture that ended before its time.
pub(super) fn lost_connection(of: &Captured) -> String {
    format!(
        "the server ended the connection after {}; what was captured until then is complete. It may \
         have been restarted, or it ends clients that fall behind (client-output-buffer-limit normal)",
        short(of.duration)
    )
}

#[cfg(test)]
mod tests;
