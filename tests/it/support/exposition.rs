//! Reads Prometheus' text format 0.0.4, strictly: whatever a scraper might stumble over is an error.

use std::collections::{BTreeMap, BTreeSet};

/// A page as a scraper understands it.
#[derive(Debug, Default)]
pub(crate) struct Page {
    kinds: BTreeMap<String, String>,
    /// By name and labels, in the order of the labels' names.
    samples: BTreeMap<(String, Labels), f64>,
}

pub(crate) type Labels = BTreeMap<String, String>;

impl Page {
    /// What a family is: `counter`, `gauge` or `histogram`.
    pub(crate) fn kind(&self, family: &str) -> Option<&str> {
        self.kinds.get(family).map(String::as_str)
    }

    /// The sum of every series called `name` whose labels are as `wanted`.
    pub(crate) fn sum(&self, name: &str, wanted: &[(&str, &str)]) -> f64 {
        let fits = |labels: &Labels| {
            let has =
                |(label, value): &(&str, &str)| labels.get(*label).is_some_and(|v| v == value);
            wanted.iter().all(has)
        };
        let series = self.samples.iter();
        series
            .filter(|((of, labels), _)| of == name && fits(labels))
            .map(|(_, value)| value)
            .sum()
    }

    /// Whether there is a series called `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.samples.keys().any(|(of, _)| of == name)
    }
}

/// Reads a page.
pub(crate) fn parse(text: &str) -> Result<Page, String> {
    if !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    let mut page = Page::default();
    let mut helped = BTreeSet::new();
    // The family whose lines stand here; families must not mix.
    let mut here = String::new();
    let mut closed = BTreeSet::new();
    for (number, line) in (1..).zip(text.lines()) {
        let wrong = |what: &str| format!("line {number}: {what}: {line}");
        let family = if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or(wrong("no help"))?;
            if help.trim().is_empty() || !helped.insert(name.to_owned()) {
                return Err(wrong("help is empty or stands twice"));
            }
            name.to_owned()
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or(wrong("no type"))?;
            if !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(wrong("no type of ours"));
            }
            if kind == "counter" && !name.ends_with("_total") {
                return Err(wrong("a counter's name ends with _total"));
            }
            let twice = page.kinds.insert(name.to_owned(), kind.to_owned());
            if twice.is_some() {
                return Err(wrong("a second type"));
            }
            name.to_owned()
        } else if line.starts_with('#') || line.is_empty() {
            return Err(wrong("neither help, type nor sample"));
        } else {
            let (name, labels, value) = sample(line).map_err(|what| wrong(&what))?;
            let family =
                family_of(&page, &name).ok_or(wrong("its type does not stand before it"))?;
            if !helped.contains(&family) {
                return Err(wrong("it has no help"));
            }
            if page.samples.insert((name, labels), value).is_some() {
                return Err(wrong("the series stands twice"));
            }
            family
        };
        if family != here {
            if !closed.insert(family.clone()) {
                return Err(wrong("its family stood before, and another came between"));
            }
            here = family;
        }
    }
    histograms_add_up(&page)?;
    let never_below = page.samples.iter().find(|((name, _), value)| {
        page.kinds.get(name).is_some_and(|kind| kind == "counter")
            && (value.is_nan() || **value < 0.0)
    });
    match never_below {
        Some((series, value)) => Err(format!("the counter {series:?} is {value}")),
        None => Ok(page),
    }
}

fn family_of(page: &Page, name: &str) -> Option<String> {
    let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| {
        let family = name.strip_suffix(part)?;
        (page.kinds.get(family)? == "histogram").then(|| family.to_owned())
    });
    let plain = page.kinds.get(name).filter(|kind| *kind != "histogram");
    of_histogram.or(plain.map(|_| name.to_owned()))
}

/// `name{label="value",…} 1.5`
fn sample(line: &str) -> Result<(String, Labels, f64), String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(end);
    if !is_name(name, true) {
        return Err(format!("{name:?} is no name"));
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    // No timestamps of ours.
    let value = value
        .parse()
        .map_err(|_| format!("{value:?} is no number"))?;
    Ok((name.to_owned(), labels, value))
}

fn labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("a label without value")?;
        if !is_name(name, false) {
            return Err(format!("{name:?} is no label"));
        }
        let mut value = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next().ok_or("a value without end")? {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match letters.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, letter @ ('\\' | '"'))) => letter,
                    other => return Err(format!("{other:?} cannot be escaped")),
                }),
                (_, letter) => value.push(letter),
            }
        };
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("{name} stands twice"));
        }
        let after = &after[end..];
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok((labels, after.strip_prefix('}').ok_or("no end of labels")?)),
        }
    }
}

fn is_name(name: &str, colon: bool) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || (colon && c == ':');
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// Buckets grow, the last has all, and there is a sum.
fn histograms_add_up(page: &Page) -> Result<(), String> {
    let families = page.kinds.iter().filter(|(_, kind)| *kind == "histogram");
    for (family, _) in families {
        let counts = page.samples.iter();
        let counts = counts.filter(|((name, _), _)| *name == format!("{family}_count"));
        for ((_, labels), count) in counts {
            let of = |part: &str| {
                let key = (format!("{family}_{part}"), labels.clone());
                page.samples.get(&key).copied()
            };
            let mut buckets: Vec<(f64, f64)> = Vec::new();
            for ((name, with), value) in &page.samples {
                let mut with = with.clone();
                let bound = with.remove("le");
                if *name == format!("{family}_bucket") && with == *labels {
                    let bound = bound.ok_or(format!("a bucket of {family} without le"))?;
                    let bound = bound.replace("+Inf", "inf").parse();
                    buckets.push((bound.map_err(|_| "le is no number")?, *value));
                }
            }
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let grow = buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
            let last = buckets.last().copied();
            if !grow || last != Some((f64::INFINITY, *count)) || of("sum").is_none() {
                return Err(format!("{family}{labels:?} does not add up: {buckets:?}"));
            }
        }
    }
    Ok(())
}

#[test]
fn what_a_scraper_stumbles_over_is_an_error() {
    let head = "# HELP a_total Things.\n# TYPE a_total counter\n";
    let page = parse(&format!("{head}a_total{{b=\"x\\\"\\n\"}} 3\na_total 4\n"));
    let page = page.expect("a page");
    assert_eq!(page.sum("a_total", &[]).to_bits(), 7f64.to_bits());
    assert_eq!(
        page.sum("a_total", &[("b", "x\"\n")]).to_bits(),
        3f64.to_bits()
    );
    for wrong in [
        "a_total 3",
        "a_total\n",
        "a_total 3 # comment\n",
        "a_total x\n",
        "a_total -1\n",
        "a_total{b=\"x} 3\n",
        "a_total{b=x} 3\n",
        "a_total{1=\"x\"} 3\n",
        "a_total 3\na_total 3\n",
        "b_total 3\n",
        "# HELP b B.\n# TYPE b counter\nb 3\n",
        "a_total 3\n# HELP g G.\n# TYPE g gauge\ng 3\na_total{b=\"x\"} 1\n",
        "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n",
        "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_sum 1\nh_count 2\n",
    ] {
        assert!(parse(&format!("{head}{wrong}")).is_err(), "{wrong}");
    }
}
