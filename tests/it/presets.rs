//! The presets hold what was published, the documentation lists them all, and their scenario shows what
//! they are for.

use std::fs;
use std::path::{Path, PathBuf};

use cachestorm::scenario::plan::Plan;
use cachestorm::scenario::{Overrides, parse};
use cachestorm::units::Ratio;
use cachestorm::workload::presets::PRESETS;
use cachestorm::workload::size::ValueSize;
use cachestorm::workload::{Popularity, Population, What};
use std::process::Command;

use crate::support::program::cachestorm;

const SCENARIO: &str = "scenarios/presets.yaml";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A published table; `None`, with a word, where it is not at hand.
fn published(name: &str) -> Option<String> {
    let path: PathBuf = root().join("../shared/traces").join(name);
    let text = fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("skipped: {} is not there", path.display());
    }
    text
}

/// A plan of one data type that takes everything that the preset gives.
fn plan_of(preset: &str) -> Plan {
    let text = format!(
        "name: one\n\
         data_types:\n  \
           one:\n    \
             key: \"one:{{id}}\"\n    \
             strategy: cache-aside\n    \
             preset: {preset}\n    \
             population: 1000\n    \
             origin: {{ query_time: {{ median: 1ms, p99: 2ms }} }}\n\
         layers: {{ local: none, remote: none }}\n\
         origin: {{ connections: 1 }}\n\
         traffic:\n  \
           users: 1\n  \
           think_time: 1s\n  \
           phases: [{{ name: steady, for: 1s }}]\n  \
           mix: {{ one: 1 }}\n"
    );
    let ttl = text.replace("    strategy", "    ttl: 1h\n    strategy");
    let plan = parse("one.yaml", &text, &Overrides::default());
    let plan = plan.or_else(|_| parse("one.yaml", &ttl, &Overrides::default()));
    plan.unwrap_or_else(|errors| panic!("{errors}"))
}

fn keys(plan: &Plan) -> &Population {
    &plan.workload.populations[0]
}

/// The share of the mix that is this operation.
fn share(plan: &Plan, operation: &str) -> f64 {
    let What::Mix(mix) = &plan.workload.kinds[0].what else {
        panic!("a mix");
    };
    let named = mix.iter().filter(|line| line.operation.name() == operation);
    named.map(|line| line.weight).sum()
}

/// `1.8h` in seconds.
fn seconds(text: &str) -> f64 {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "s" => 1.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        other => panic!("{other}"),
    };
    number.parse::<f64>().expect(text) * unit
}

/// `name:number` pairs of a cell.
fn pairs(cell: &str) -> Vec<(&str, f64)> {
    cell.split([',', ' '])
        .filter_map(|pair| pair.split_once(':'))
        .map(|(name, number)| (name, number.parse().expect(number)))
        .collect()
}

/// The row of one cluster against its preset.
fn check_cluster(cells: &[&str]) {
    let name = cells[0];
    let plan = plan_of(&format!("twitter/{name}"));
    let number = |at: usize| cells[at].parse::<f64>().expect(cells[at]);
    let law = match cells[13] {
        "NA" => Popularity::Uniform,
        alpha => match alpha.parse().expect(alpha) {
            0.0 => Popularity::Uniform,
            skew => Popularity::Zipf { skew },
        },
    };
    assert_eq!(keys(&plan).popularity, law, "{name}");
    let one_hit = number(7) * number(8) / 1e4;
    let found = keys(&plan).one_hit.0;
    assert!(
        (found - one_hit).abs() <= 0.51e-4,
        "{name}: {found} {one_hit}"
    );
    let size = &plan.database.tables[0].value_size;
    assert!(matches!(size, ValueSize::Constant(_)), "{name}");
    assert_eq!(size.mean().0.to_string(), cells[4], "{name}");

    let mut ttls: Vec<(f64, f64)> = pairs(cells[9])
        .into_iter()
        .map(|(ttl, share)| (seconds(ttl), share))
        .collect();
    ttls.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all: f64 = ttls.iter().map(|(_, share)| share).sum();
    let (_, ttl) = plan
        .policies
        .iter()
        .next()
        .map(|(id, row)| (id, row.ttl))
        .expect("one");
    let upto = |strictly: bool| -> f64 {
        let least = ttl.as_secs_f64() + if strictly { -1e-3 } else { 1e-3 };
        let upto = ttls.iter().filter(|(one, _)| *one <= least);
        upto.map(|(_, share)| share).sum()
    };
    // Less than half is shorter, and at least half is not longer.
    assert!(upto(true) < all / 2.0 + 1e-9, "{name}: {ttl:?}");
    assert!(upto(false) > all / 2.0 - 1e-9, "{name}: {ttl:?}");

    let asked = pairs(cells[12]);
    let sum: f64 = asked.iter().map(|(_, share)| share).sum();
    for (operation, names) in [
        ("get", &["get", "gets"][..]),
        ("put", &["set", "add", "cas", "incr", "prepend"]),
        ("invalidate", &["delete"]),
    ] {
        let wanted = asked.iter().filter(|(name, _)| names.contains(name));
        let wanted: f64 = wanted.map(|(_, share)| share).sum::<f64>() / sum;
        let found = share(&plan, operation);
        assert!(
            (found - wanted).abs() < 1e-9,
            "{name}.{operation}: {found} {wanted}"
        );
    }
}

#[test]
fn the_twitter_clusters_are_as_published() {
    let Some(table) = published("twitter_stat_2020Mar.md") else {
        return;
    };
    let mut rows = 0;
    for line in table
        .lines()
        .filter(|line| line.contains("| ") && line.contains("cluster"))
    {
        let cells: Vec<&str> = line
            .trim()
            .trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect();
        if !cells[0].starts_with("cluster") || cells[0] == "cluster" {
            continue;
        }
        rows += 1;
        assert!(
            PRESETS.contains(&format!("\ntwitter/{}:\n", cells[0])),
            "{}",
            cells[0]
        );
        if cells[4] != "N/A" {
            check_cluster(&cells);
        }
    }
    assert_eq!(rows, 54);
}

fn numbers(json: &serde_json::Value) -> Vec<f64> {
    let list = json.as_array().expect("a list");
    list.iter()
        .map(|one| one.as_f64().expect("a number"))
        .collect()
}

/// The share of `of` at `at`, between the points of a curve.
fn between(points: &[(f64, f64)], at: f64) -> f64 {
    let above = points
        .partition_point(|(x, _)| *x < at)
        .min(points.len() - 1);
    let (from, to) = (points[above.saturating_sub(1)], points[above]);
    if to.0 <= from.0 {
        return to.1;
    }
    from.1 + (to.1 - from.1) * (at - from.0) / (to.0 - from.0)
}

#[test]
fn the_key_value_cache_is_as_published() {
    let files =
        ["config", "pop", "sizes"].map(|name| published(&format!("kvcache_reg.{name}.json")));
    let [Some(config), Some(popularity), Some(sizes)] = files else {
        return;
    };
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let plan = plan_of("cachelib/kvcache-reg");

    let config = &json(&config)["test_config"];
    let ratio = |name: &str| config[name].as_f64().expect(name);
    let one_hit = ratio("loneGetRatio") / (ratio("getRatio") + ratio("loneGetRatio"));
    assert!((keys(&plan).one_hit.0 - one_hit).abs() < 1e-4);
    assert!((share(&plan, "get") - 1.0).abs() < 1e-9);

    // The share of the requests at every class of keys, against all of them.
    let popularity = json(&popularity);
    let mut classes: Vec<(f64, f64)> = numbers(&popularity["popularityBuckets"])
        .into_iter()
        .zip(numbers(&popularity["popularityWeights"]))
        .collect();
    classes.sort_by(|a, b| (b.1 / b.0).total_cmp(&(a.1 / a.0)));
    let all = classes
        .iter()
        .fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let Popularity::Shares(curve) = &keys(&plan).popularity else {
        panic!("a curve");
    };
    let mut points = vec![(0.0, 0.0)];
    points.extend(curve.points());
    let mut sum = (0.0, 0.0);
    for class in classes {
        sum = (sum.0 + class.0, sum.1 + class.1);
        let (found, wanted) = (between(&points, sum.0 / all.0), sum.1 / all.1);
        // Between its points the curve is straight, and what it stands for is not.
        assert!(
            found <= wanted + 1e-6 && wanted - found < 0.02,
            "{sum:?}: {found} {wanted}"
        );
    }

    let sizes = json(&sizes);
    let (ends, weights) = (
        numbers(&sizes["valSizeRange"]),
        numbers(&sizes["valSizeRangeProbability"]),
    );
    let total: f64 = weights.iter().sum();
    let weighed = ends.iter().zip(&weights).map(|(end, weight)| end * weight);
    let mean = weighed.sum::<f64>() / total;
    let found = plan.database.tables[0].value_size.mean().0 as f64;
    assert!((found / mean - 1.0).abs() < 0.02, "{found} {mean}");
}

#[test]
fn the_documentation_lists_every_preset() {
    let document = fs::read_to_string(root().join("docs/workloads.md")).expect("the document");
    let rows: Vec<(&str, Vec<&str>)> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .filter(|(name, _)| name.contains('/'))
        .map(|(name, rest)| {
            (
                name,
                rest.trim_end_matches('|')
                    .split('|')
                    .map(str::trim)
                    .collect(),
            )
        })
        .collect();
    let names: Vec<&str> = PRESETS
        .lines()
        .filter(|line| !line.starts_with([' ', '#']))
        .filter_map(|line| line.strip_suffix(':'))
        .collect();
    let listed: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, names);
    for (name, cells) in rows {
        let row = PRESETS.split(&format!("\n{name}:\n")).nth(1).expect(name);
        let row = row.split("\n\n").next().expect("a row");
        let value = |key: &str| {
            let found = row
                .lines()
                .find_map(|line| line.strip_prefix(&format!("  {key}: ")));
            found.unwrap_or("").trim_matches(['{', '}', ' ', '"'])
        };
        if cells[0].starts_with("refused: ") {
            assert_eq!(cells[0], format!("refused: {}", value("refused")), "{name}");
            continue;
        }
        for (at, key) in ["popularity", "one_hit", "value_size", "ttl", "operations"]
            .iter()
            .enumerate()
        {
            let value = value(key);
            // What is a curve there is counted here.
            if value.starts_with("shares") || value.starts_with("quantiles") {
                let points = format!("{} points", value.matches("%: ").count());
                assert!(cells[at].ends_with(&points), "{name}: {points}");
            } else {
                assert_eq!(cells[at], value, "{name}.{key}");
            }
        }
    }
}

/// The verdicts of a simulation of the scenario, by gate.
fn simulate(set: &[&str]) -> (i32, Vec<(String, String)>) {
    let set: Vec<&str> = set.iter().flat_map(|value| ["--set", value]).collect();
    let (output, report) = cachestorm("simulate", SCENARIO, &set);
    let report = report.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let text = |gate: &serde_json::Value, key: &str| gate[key].as_str().expect("a text").to_owned();
    let gates = report["gates"].as_array().expect("gates").iter();
    let verdicts = gates.map(|gate| (text(gate, "name"), text(gate, "verdict")));
    (output.status.code().unwrap_or(-1), verdicts.collect())
}

#[test]
fn the_scenario_passes_and_its_gates_can_fail() {
    let (code, verdicts) = simulate(&[]);
    assert_eq!(code, 0, "{verdicts:?}");
    for (set, broken) in [
        (
            "data_types.trend.popularity.drift=1%/1h",
            "a trend is cold when it comes",
        ),
        ("data_types.render.one_hit=0%", "what comes once never hits"),
        (
            "data_types.profile.one_hit=50%",
            "a skewed popularity is cached well",
        ),
        (
            "data_types.object.one_hit=0%",
            "the ceiling of a measured cache",
        ),
    ] {
        let (code, verdicts) = simulate(&[set]);
        let verdict = verdicts.iter().find(|(name, _)| name == broken);
        assert_eq!(
            verdict.map(|(_, verdict)| &**verdict),
            Some("fail"),
            "{set}: {verdicts:?}"
        );
        assert_eq!(code, 3, "{set}");
    }
}

#[test]
fn what_a_preset_gave_is_shown() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cachestorm"));
    let arguments = ["check", SCENARIO, "--resolved"];
    let output = command
        .current_dir(root())
        .args(arguments)
        .output()
        .expect("it runs");
    let resolved = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        resolved.contains("popularity: { zipf: 1.2117 }"),
        "{resolved}"
    );
    assert!(resolved.contains("one_hit: 0.59%"), "{resolved}");
    let again = parse("again.yaml", &resolved, &Overrides::default());
    let again = again.unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(again.resolved_yaml, resolved);
    assert_eq!(keys(&again).one_hit, Ratio(0.0059));
}
