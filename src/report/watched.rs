//! Alerts and what keys had left to live, as facts and tables; a part of the digest.
//!
//! Called by the digest and by Markdown. An alert decides nothing: it is told, not judged.

use std::time::Duration;

use super::digest::Fact;
use super::model::{Alert, Report, TtlDistribution, Ttls};
use super::table::{Cell, Column, Table, Tone};
use super::words::{NOTHING, counted, plain, seconds};
use crate::units::{short, thousands};

/// The most alerts or data types that are listed one by one.
const LISTED_MAX: usize = 8;

/// What fired, and how many were watched; nothing if none was.
pub(super) fn alerts(report: &Report) -> Vec<Fact> {
    let mut facts = Vec::new();
    let watched = report.alerts_watched.len() as u64;
    let mut names: Vec<&str> = Vec::new();
    for alert in &report.alerts {
        if !names.contains(&&*alert.name) {
            names.push(&alert.name);
        }
    }
    let fired = names.len() as u64;
    let mut told: Vec<String> = names.iter().map(|name| of_name(report, name)).collect();
    let more = told.len().saturating_sub(LISTED_MAX);
    told.truncate(LISTED_MAX);
    if more > 0 {
        told.push(format!("and {} more", thousands(more as u64)));
    }
    if fired > 0 {
        let of = match watched {
            0 => String::new(),
            _ => format!("{fired} of {watched} fired: "),
        };
        let text = format!("{of}{}", told.join("; "));
        facts.push(Fact::new("alerts", text, Tone::Doubtful));
    } else if watched > 0 {
        let text = format!("none of {watched} fired");
        facts.push(Fact::new("alerts", text, Tone::Plain));
    }
    let blind = report.alerts_watched.iter();
    let blind: Vec<&str> = blind
        .filter(|alert| alert.looks > 0 && alert.blind_looks == alert.looks)
        .map(|alert| &*alert.name)
        .collect();
    if !blind.is_empty() {
        let text = format!("could not be seen in this run: {}", blind.join(", "));
        facts.push(Fact::new("alerts", text, Tone::Doubtful));
    }
    facts
}

/// Every firing of one alert.
fn of_name(report: &Report, name: &str) -> String {
    let firings = || report.alerts.iter().filter(|alert| alert.name == name);
    let watched = report
        .alerts_watched
        .iter()
        .find(|alert| alert.name == name);
    let times = watched
        .map_or(0, |alert| alert.fired)
        .max(firings().count() as u64);
    let (Some(first), Some(last)) = (firings().next(), firings().next_back()) else {
        return name.to_owned();
    };
    if times > 1 {
        let (from, to) = (seconds(first.start_s), until(last));
        return format!("{name} {} times between {from} and {to}", thousands(times));
    }
    let worst = match &*first.worst {
        "" => String::new(),
        worst => format!(", worst {worst}"),
    };
    let (from, to) = (seconds(first.start_s), until(first));
    format!("{name} from {from} to {to}{worst}")
}

fn until(alert: &Alert) -> String {
    alert.end_s.map_or_else(|| "the end".to_owned(), seconds)
}

/// One row for each firing.
pub(super) fn fired(report: &Report) -> Table {
    let mut table = Table::new(vec![
        Column::names("alert").cut_to(18),
        Column::figures("from"),
        Column::figures("until"),
        Column::figures("worst"),
        Column::names("condition"),
        Column::names("source").rank(1),
    ]);
    for alert in &report.alerts {
        let worst = match &*alert.worst {
            "" => NOTHING,
            worst => worst,
        };
        table.push(
            None,
            vec![
                Cell::toned(plain(&alert.name), Tone::Doubtful),
                seconds(alert.start_s).into(),
                until(alert).into(),
                plain(worst).into(),
                plain(&alert.check).into(),
                plain(&alert.source).into(),
            ],
        );
    }
    table
}

/// How long keys had left to live; nothing if nobody looked.
pub(super) fn ttls(report: &Report) -> Option<Fact> {
    let redis = report.redis.as_ref()?;
    // A data type stands in one of the stores.
    let aside = redis.stores.values().map(|store| &store.ttl_distribution);
    let seen = std::iter::once(&redis.ttl_distribution).chain(aside);
    let seen: Vec<&TtlDistribution> = seen.flatten().collect();
    let looked_at = seen.iter().map(|seen| seen.looked_at).sum();
    if looked_at == 0 {
        return None;
    }
    let data_types = || seen.iter().flat_map(|seen| &seen.data_types);
    let mut told: Vec<String> = data_types()
        .filter_map(|(name, ttls)| Some(format!("{name} {}", span(ttls.p50_s?))))
        .collect();
    let more = told.len().saturating_sub(LISTED_MAX);
    told.truncate(LISTED_MAX);
    if more > 0 {
        told.push(format!("{} more", thousands(more as u64)));
    }
    let endless: u64 = data_types().map(|(_, ttls)| ttls.without_ttl).sum();
    let complete = seen.iter().all(|seen| seen.complete);
    let of = match (complete, counted(looked_at, "key")) {
        (true, keys) => keys,
        (false, keys) => format!("a sample of {keys}"),
    };
    let told = match told.len() {
        0 => String::new(),
        _ => format!("; left at the median: {}", told.join(", ")),
    };
    let text = format!("{of}, {} without one{told}", thousands(endless));
    Some(Fact::new("TTLs", text, Tone::Plain))
}

/// `4.0 min`, `23 h`.
pub(super) fn span(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or_else(|_| NOTHING.to_owned(), short)
}

/// The shortest, a tenth, half, nine of ten, the longest: what tables show of a data type.
pub(super) fn figures(ttls: &Ttls) -> [Option<f64>; 5] {
    [ttls.min_s, ttls.p10_s, ttls.p50_s, ttls.p90_s, ttls.max_s]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{failed_report, sample_report};

    fn texts(report: &Report) -> Vec<String> {
        alerts(report).into_iter().map(|fact| fact.text).collect()
    }

    #[test]
    fn what_fired_is_told_with_how_many_were_watched() {
        let mut report = failed_report();
        insta::assert_snapshot!(texts(&report).join("\n"), @"2 of 5 fired: hit ratio below 80% from 1 s to 12 s, worst 41.3%; inventory hit ratio from 1 s to 20 s, worst 22.7%");
        // Again, and to the end.
        let mut again = report.alerts[0].clone();
        (again.start_s, again.end_s) = (60.0, None);
        report.alerts.push(again);
        report.alerts_watched[2].blind_looks = report.alerts_watched[2].looks;
        insta::assert_snapshot!(texts(&report).join("\n"), @"
        2 of 5 fired: hit ratio below 80% 2 times between 1 s and the end; inventory hit ratio from 1 s to 20 s, worst 22.7%
        could not be seen in this run: Redis down
        ");
        report.alerts.clear();
        report.alerts_watched.truncate(2);
        assert_eq!(texts(&report), ["none of 2 fired"]);
        report.alerts_watched.clear();
        assert!(texts(&report).is_empty());
    }

    #[test]
    fn ttls_are_told_by_data_type() {
        let mut report = sample_report();
        let told = |report: &Report| ttls(report).map(|fact| fact.text);
        insta::assert_snapshot!(told(&report).expect("TTLs"), @"a sample of 4,835 keys, 2 without one; left at the median: activity 59.3 min, customer 13.2 min, inventory 4.0 min, product 55.4 min, session 22.9 h");
        let redis = report.redis.as_mut().expect("Redis");
        let seen = redis.ttl_distribution.as_mut().expect("TTLs");
        seen.complete = true;
        seen.data_types.retain(|name, _| name == "bookkeeping");
        seen.looked_at = 2;
        assert_eq!(told(&report).as_deref(), Some("2 keys, 2 without one"));
        report.redis.as_mut().expect("Redis").ttl_distribution = None;
        assert_eq!(told(&report), None);
    }
}
