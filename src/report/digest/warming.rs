//! Warming in two sentences: what it did, and how soon the cache was warm.

use super::{Fact, counted, listed};
use crate::report::model::{Report, WarmingResult};
use crate::report::table::Tone;
use crate::report::words::{NOTHING, ratio, seconds};
use crate::units::thousands;

pub(super) fn facts(report: &Report) -> Vec<Fact> {
    let Some(warming) = &report.warming else {
        return Vec::new();
    };
    let rounds = Fact::new("warming", rounds(warming), Tone::Plain);
    let mut facts = vec![
        rounds,
        Fact::new("warm", warm_after(warming), tone(warming)),
    ];
    // The same question to the other variants: a cold start, say.
    let others = report.variants.iter().filter(|variant| !variant.main);
    facts.extend(others.filter_map(|variant| {
        let text = format!(
            "{}: {}",
            variant.name,
            warm_after(variant.warming.as_ref()?)
        );
        Some(Fact::new("", text, Tone::Plain))
    }));
    facts
}

fn rounds(warming: &WarmingResult) -> String {
    let rows = || warming.data_types.values();
    if warming.rounds == 0 {
        return "none: a cold start".to_owned();
    }
    let sum = |of: fn(&crate::report::model::WarmedDataType) -> u64| rows().map(of).sum::<u64>();
    let parts = [
        (sum(|row| row.loaded), "loaded"),
        (sum(|row| row.renewed), "renewed"),
        (sum(|row| row.found), "found"),
        (sum(|row| row.failed), "FAILED"),
        (sum(|row| row.skipped), "SKIPPED"),
    ];
    let told = parts.into_iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told
        .map(|(count, what)| format!("{} {what}", thousands(count)))
        .collect();
    let before = if warming.before_traffic {
        format!(
            "; {} before the first user",
            seconds(warming.before_traffic_s)
        )
    } else {
        String::new()
    };
    format!(
        "{} of {}, {} at once: {}{before}",
        counted(warming.rounds, "round"),
        counted(sum(|row| row.keys), "key"),
        thousands(warming.concurrency.into()),
        told.join(", "),
    )
}

fn warm_after(warming: &WarmingResult) -> String {
    let after = |time: Option<u32>| match time {
        Some(time) => format!("after {}", seconds(f64::from(time))),
        None => "never".to_owned(),
    };
    let rows = warming.data_types.iter();
    let rows = rows.filter(|(_, row)| row.keys > 0);
    let by_type = rows.map(|(name, row)| format!("{name} {}", after(row.time_to_target_s)));
    let all = format!("all reads {}", after(warming.time_to_target_s));
    let times = listed(std::iter::once(all).chain(by_type));
    let first = match warming.first_hit_ratio {
        Some(first) => ratio(Some(first)),
        None => NOTHING.to_owned(),
    };
    format!(
        "hit ratio {} reached by {times}; {first} in the first {}",
        ratio(Some(warming.target_hit_ratio)),
        seconds(f64::from(warming.window_s)),
    )
}

fn tone(warming: &WarmingResult) -> Tone {
    if warming.time_to_target_s.is_some() {
        Tone::Plain
    } else {
        Tone::Doubtful
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{bare_report, variants_report, warmed_report};

    fn told(report: &Report) -> String {
        let lines = facts(report).into_iter();
        let lines = lines.map(|fact| format!("{}: {}", fact.label, fact.text));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_warming_did_and_what_it_bought() {
        let mut report = warmed_report();
        insta::assert_snapshot!(told(&report), @"
        warming: 3 rounds of 300 keys, 16 at once: 300 loaded, 600 found; 4.2 s before the first user
        warm: hit ratio 85% reached by all reads after 9 s, customer after 1 s, product after 1 s; 79% in the first 5 s
        ");
        report.variants = variants_report().variants;
        report.variants[1].warming = report.warming.clone();
        if let Some(cold) = &mut report.variants[1].warming {
            cold.time_to_target_s = None;
            cold.first_hit_ratio = None;
        }
        insta::assert_snapshot!(facts(&report)[2].text, @"memcached: hit ratio 85% reached by all reads never, customer after 1 s, product after 1 s; – in the first 5 s");
        if let Some(warming) = &mut report.warming {
            warming.rounds = 0;
        }
        insta::assert_snapshot!(facts(&report)[0].text, @"none: a cold start");
        assert_eq!(told(&bare_report()), "");
    }
}
