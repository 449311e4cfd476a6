//! The page as a whole: complete, well-formed, escaped, and sensible when there is little to show.

use super::*;
use crate::report::fixture::{
    bare_report, day_report, failed_report, sample_report, variants_report,
};
use crate::report::model::Report;

/// Set to a folder to have the pages written there, to be looked at in a browser.
const FOLDER_VARIABLE: &str = "CACHESTORM_HTML_DIR";

fn pages() -> [(&'static str, Report, String); 5] {
    [
        ("sample", sample_report()),
        ("failed", failed_report()),
        ("bare", bare_report()),
        ("variants", variants_report()),
        ("day", day_report()),
    ]
    .map(|(name, report)| {
        let page = render(&report).expect("a page");
        (name, report, page)
    })
}

/// Elements that have no end tag in HTML.
const VOID: [&str; 6] = ["meta", "br", "hr", "img", "link", "input"];

/// The first element that is not closed, or closed without being open.
fn unbalanced(page: &str) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if rest.starts_with('!') {
            continue;
        }
        let end = rest.find('>')?;
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name.trim()) {
                return Some(format!("</{name}>"));
            }
            continue;
        }
        let name = tag.split([' ', '\n', '/']).next().unwrap_or_default();
        if tag.ends_with('/') || VOID.contains(&name) {
            continue;
        }
        open.push(name);
        if name == "script" || name == "style" {
            rest = &rest[rest.find("</")?..];
        }
    }
    open.pop().map(str::to_owned)
}

#[test]
fn an_unbalanced_page_is_found() {
    assert_eq!(unbalanced("<p><b>x</b></p><br>"), None);
    assert_eq!(unbalanced("<p><b>x</p>").as_deref(), Some("</p>"));
    assert_eq!(unbalanced("<p>").as_deref(), Some("p"));
}

#[test]
fn every_page_is_complete_and_needs_nothing_but_itself() {
    for (name, report, page) in pages() {
        assert_eq!(unbalanced(&page), None, "{name}");
        assert!(page.contains("<html lang=\"en\""), "{name}");
        assert!(page.contains("name=\"viewport\""), "{name}");
        assert!(page.contains("prefers-color-scheme: dark"), "{name}");
        for gate in &report.gates {
            assert!(
                page.contains(&gate.name),
                "{name}: {} is missing",
                gate.name
            );
        }
        for outside in [
            "src=\"http",
            "href=\"http",
            "url(http",
            "@import",
            "NaN",
            ">inf",
        ] {
            assert!(!page.contains(outside), "{name}: {outside}");
        }
        assert!(page.len() < 500_000, "{name}: {} bytes", page.len());
    }
}

#[test]
fn every_picture_says_what_it_shows() {
    for (name, _, page) in pages() {
        let pictures: Vec<&str> = page.split("role=\"img\"").skip(1).collect();
        assert!(
            name == "bare" || pictures.len() >= 6,
            "{name}: {} pictures",
            pictures.len()
        );
        for picture in pictures {
            let head = &picture[..picture.find('>').expect("a tag")];
            let label = head
                .split("aria-label=\"")
                .nth(1)
                .and_then(|label| label.split('"').next());
            assert!(
                label.is_some_and(|label| label.len() > 20),
                "{name}: {head}"
            );
        }
    }
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    let first = render(&sample_report()).expect("a page");
    assert_eq!(first, render(&sample_report()).expect("a page"));
}

#[test]
fn texts_from_files_are_escaped() {
    let mut report = sample_report();
    let evil = "<script>alert('x')</script>&\"";
    report.scenario.name = evil.to_owned();
    report.scenario.description = evil.to_owned();
    report.gates[0].name = evil.to_owned();
    report.gates[0].note = evil.to_owned();
    report.validity.warnings.push(evil.to_owned());
    let row = report.data_types.values().next().expect("one").clone();
    report.data_types.insert(evil.to_owned(), row);
    let page = render(&report).expect("a page");
    assert!(!page.contains("<script>alert"), "a script came through");
    assert_eq!(unbalanced(&page), None);
}

#[test]
fn long_series_do_not_make_the_page_longer_without_end() {
    let mut report = sample_report();
    let last = report.timeseries.last().expect("seconds").clone();
    let from = report.timeseries.len() as u32;
    report.timeseries.extend((from..7_200).map(|t_s| {
        let mut second = last.clone();
        second.t_s = t_s;
        second
    }));
    let page = render(&report).expect("a page");
    assert!(page.len() < 600_000, "{} bytes", page.len());
}

#[test]
fn the_numbers_under_the_pointer_stay_within_their_plot() {
    let page = render(&sample_report()).expect("a page");
    let strips = page.matches("<svg class=\"tips\"").count();
    assert!(strips > 0, "there are charts over time");
    let bounded = ["92", "220"]
        .map(|height| format!("<svg class=\"tips\" width=\"100%\" height=\"{height}\">"))
        .map(|tag| page.matches(tag.as_str()).count());
    assert_eq!(bounded.iter().sum::<usize>(), strips);
}

/// The colours of one theme of the style sheet, by name.
fn colours(theme: &str) -> std::collections::BTreeMap<&str, f64> {
    let pairs = theme.split("--").filter_map(|part| part.split_once(": #"));
    pairs
        .filter_map(|(name, rest)| Some((name, lightness(rest.get(..6)?)?)))
        .collect()
}

/// Relative luminance, as WCAG 2.2 defines it.
fn lightness(hex: &str) -> Option<f64> {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?) / 255.0;
        Some(if value <= 0.040_45 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        })
    };
    Some(0.2126 * channel(0)? + 0.7152 * channel(2)? + 0.0722 * channel(4)?)
}

#[test]
fn texts_can_be_read_and_layers_told_apart_without_colour() {
    let contrast = |a: f64, b: f64| (a.max(b) + 0.05) / (a.min(b) + 0.05);
    let style = include_str!("page.css");
    let (light, rest) = style.split_once("@media screen").expect("two themes");
    let (dark, _) = rest.split_once("box-sizing").expect("the themes end");
    for (name, theme) in [("light", colours(light)), ("dark", colours(dark))] {
        let paper = theme["paper"];
        for ink in [
            "ink",
            "muted",
            "main",
            "calm",
            "extreme",
            "limit",
            "error",
            "ink-local",
            "ink-remote",
            "ink-origin",
            "pass",
            "fail",
            "inconclusive",
            "fault",
        ] {
            let found = contrast(theme[ink], paper);
            assert!(found >= 4.5, "{name}: {ink} has {found:.2}");
        }
        for (a, b) in [
            ("local", "remote"),
            ("remote", "origin"),
            ("origin", "error"),
        ] {
            let found = contrast(theme[a], theme[b]);
            assert!(found >= 1.4, "{name}: {a} and {b} have {found:.2}");
        }
    }
}

#[test]
fn the_pages_can_be_looked_at() {
    let Ok(folder) = std::env::var(FOLDER_VARIABLE) else {
        return;
    };
    for (name, _, page) in pages() {
        std::fs::write(format!("{folder}/{name}.html"), page).expect("written");
    }
}
