//! Reads a check. Every error points at the byte where it starts, says what would be right, and
//! names the nearest thing that exists. Never panics, whatever it is given.

use std::fmt::Display;
use std::str::FromStr;

use super::super::metric::{Kind, METRICS, MetricInfo};
use super::{Check, CheckError, Comparison, Metric, Selector, Selectors, Statistic, Target, Unit};
use crate::engine::layer::{Layer, Operation, Outcome};
use crate::units::{ByteSize, Rate, Ratio, Span};

impl FromStr for Check {
    type Err = CheckError;
    fn from_str(text: &str) -> Result<Self, CheckError> {
        let mut cursor = Cursor { text, at: 0 };
        let metric = metric(&mut cursor)?;
        let selectors = selectors(&mut cursor, metric.info())?;
        let comparison = comparison(&mut cursor)?;
        let target = target(&mut cursor, metric.info())?;
        Ok(Self {
            text: text.to_owned(),
            metric,
            selectors,
            comparison,
            target,
        })
    }
}

/// A place in the text.
struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Takes `token` if it comes next, after space.
    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Takes the next word, which may be empty, and tells where it stands.
    fn word(&mut self) -> (usize, &'t str) {
        self.skip_space();
        let start = self.at;
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c)))
            .unwrap_or(rest.len());
        self.at += end;
        (start, &rest[..end])
    }

    fn error(&self, message: impl Into<String>) -> CheckError {
        error_at(self.at, message)
    }

    /// What comes next, for an error.
    fn next_shown(&self) -> String {
        match self.rest().chars().next() {
            Some(next) => format!("'{next}'"),
            None => "the end".to_owned(),
        }
    }
}

fn error_at(at: usize, message: impl Into<String>) -> CheckError {
    CheckError {
        at,
        message: message.into(),
    }
}

fn metric(cursor: &mut Cursor<'_>) -> Result<Metric, CheckError> {
    let (at, word) = cursor.word();
    if word.is_empty() {
        return Err(cursor.error(format!(
            "expected a metric such as p95(response_time) or hit_ratio, found {}",
            cursor.next_shown()
        )));
    }
    if cursor.take("(") {
        return distribution(cursor, at, word);
    }
    let info = find_metric(at, word)?;
    match info.kind {
        Kind::Scalar(scalar) => Ok(Metric::Scalar(scalar)),
        Kind::Distribution(_) => Err(error_at(
            at,
            format!(
                "{name} is a distribution; say which value of it, such as p95({name}) or \
                 mean({name})",
                name = info.name
            ),
        )),
    }
}

fn distribution(
    cursor: &mut Cursor<'_>,
    function_at: usize,
    function: &str,
) -> Result<Metric, CheckError> {
    let statistic = statistic(function_at, function)?;
    let (at, name) = cursor.word();
    if name.is_empty() {
        return Err(cursor.error(format!(
            "expected a metric such as {function}(response_time), found {}",
            cursor.next_shown()
        )));
    }
    let info = find_metric(at, name)?;
    let Kind::Distribution(of) = info.kind else {
        return Err(error_at(
            function_at,
            format!(
                "{name} is one number, not a distribution; write it without {function}( )",
                name = info.name
            ),
        ));
    };
    if cursor.take(")") {
        Ok(Metric::Distribution(of, statistic))
    } else {
        Err(cursor.error(format!(
            "expected ')' after {name}, found {}",
            cursor.next_shown()
        )))
    }
}

fn find_metric(at: usize, name: &str) -> Result<&'static MetricInfo, CheckError> {
    if let Some(info) = METRICS.iter().find(|info| info.name == name) {
        return Ok(info);
    }
    let lower = name.to_lowercase();
    let synonym = METRICS
        .iter()
        .find(|info| info.also.contains(&&*lower))
        .map(|info| info.name);
    let names: Vec<&str> = METRICS.iter().map(|info| info.name).collect();
    let hint = match synonym.or_else(|| nearest(name, &names)) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", names.join(", ")),
    };
    Err(error_at(at, format!("there is no metric {name}; {hint}")))
}

fn statistic(at: usize, name: &str) -> Result<Statistic, CheckError> {
    match name {
        "mean" => return Ok(Statistic::Mean),
        "min" => return Ok(Statistic::Min),
        "max" => return Ok(Statistic::Max),
        _ => {}
    }
    let digits = name.strip_prefix('p').unwrap_or_default();
    if let Some(percent) = percent(digits) {
        return Ok(Statistic::Percentile(percent));
    }
    let hint = if digits.starts_with(|c: char| c.is_ascii_digit()) {
        "a percentile lies above 0 and below 100, such as p95, p97.5 or p999 (99.9%); the \
         smallest is min, the largest max"
            .to_owned()
    } else {
        let others = ["avg", "average"].contains(&name).then_some("mean");
        let known = ["p50", "p90", "p95", "p99", "p999", "mean", "min", "max"];
        match others.or_else(|| nearest(name, &known)) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}", known.join(", ")),
        }
    };
    Err(error_at(at, format!("there is no function {name}; {hint}")))
}

/// `95` is 95, `97.5` is 97.5 and `999` is 99.9, as percentiles are commonly spelled.
fn percent(digits: &str) -> Option<f64> {
    let whole = digits.split_once('.').map_or(digits, |(whole, _)| whole);
    let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        && !digits.starts_with('.')
        && !digits.ends_with('.');
    let percent: f64 = if !plain {
        return None;
    } else if whole.len() <= 2 {
        digits.parse().ok()?
    } else if digits.len() <= 6 && digits.chars().all(|c| c == '9') {
        format!("99.{}", &digits[2..]).parse().ok()?
    } else {
        return None;
    };
    (percent > 0.0 && percent < 100.0).then_some(percent)
}

fn selectors(cursor: &mut Cursor<'_>, info: &MetricInfo) -> Result<Selectors, CheckError> {
    let mut selectors = Selectors::default();
    let mut seen = Vec::new();
    if !cursor.take("{") || cursor.take("}") {
        return Ok(selectors);
    }
    loop {
        let (at, name) = cursor.word();
        let which = which_selector(at, name, cursor, info)?;
        if seen.contains(&which) {
            return Err(error_at(
                at,
                format!("{name} stands twice; a gate takes one"),
            ));
        }
        seen.push(which);
        if !cursor.take("=") {
            return Err(cursor.error(format!(
                "expected '=' after {name}, found {}",
                cursor.next_shown()
            )));
        }
        set(&mut selectors, which, cursor, info)?;
        if cursor.take("}") {
            return Ok(selectors);
        }
        if !cursor.take(",") {
            return Err(cursor.error(format!(
                "expected ',' or '}}' after the value of {name}, found {}",
                cursor.next_shown()
            )));
        }
    }
}

fn which_selector(
    at: usize,
    name: &str,
    cursor: &Cursor<'_>,
    info: &MetricInfo,
) -> Result<Selector, CheckError> {
    let allowed: Vec<&str> = info.selectors.iter().map(|s| s.name()).collect();
    let takes = match allowed.len() {
        0 => format!("{} takes none", info.name),
        _ => format!("{} takes {}", info.name, allowed.join(", ")),
    };
    if name.is_empty() {
        return Err(cursor.error(format!(
            "expected a selector, found {}; {takes}",
            cursor.next_shown()
        )));
    }
    let known = Selector::ALL.into_iter().find(|s| s.name() == name);
    match known {
        Some(selector) if info.selectors.contains(&selector) => Ok(selector),
        Some(_) => Err(error_at(
            at,
            format!("{} cannot be narrowed by {name}; {takes}", info.name),
        )),
        None => {
            let hint = match nearest(name, &allowed) {
                Some(near) => format!("did you mean {near}?"),
                None => takes,
            };
            Err(error_at(at, format!("there is no selector {name}; {hint}")))
        }
    }
}

fn set(
    selectors: &mut Selectors,
    which: Selector,
    cursor: &mut Cursor<'_>,
    info: &MetricInfo,
) -> Result<(), CheckError> {
    let (at, value) = value(cursor, which)?;
    match which {
        Selector::DataType => selectors.data_type = Some(value.to_owned()),
        Selector::Phase => selectors.phase = Some(value.to_owned()),
        Selector::Alert => selectors.alert = Some(value.to_owned()),
        Selector::UserKind => selectors.user_kind = Some(value.to_owned()),
        Selector::Operation => {
            let all = Operation::ALL.map(|operation| (operation.name(), operation));
            selectors.operation = Some(pick(at, "operation", value, &all)?);
        }
        Selector::Outcome => {
            let all = Outcome::ALL.map(|outcome| (outcome.name(), outcome));
            selectors.outcome = Some(pick(at, "outcome", value, &all)?);
        }
        Selector::Layer => {
            let all = Layer::ALL.map(|layer| (layer.name(), layer));
            let layer = pick(at, "layer", value, &all)?;
            if layer == Layer::Origin && info.name == "hit_ratio" {
                return Err(error_at(
                    at,
                    "the origin is no cache and has no hit ratio; the layers that have one are \
                     edge, local, remote",
                ));
            }
            selectors.layer = Some(layer);
        }
    }
    Ok(())
}

/// The value of a selector: a word, or any text in quotes.
fn value<'t>(cursor: &mut Cursor<'t>, which: Selector) -> Result<(usize, &'t str), CheckError> {
    let (at, value) = if cursor.take("\"") {
        let at = cursor.at;
        let Some((value, _)) = cursor.rest().split_once('"') else {
            return Err(error_at(at - 1, "this quote has no partner"));
        };
        cursor.at += value.len() + 1;
        (at, value)
    } else {
        cursor.word()
    };
    if value.is_empty() {
        return Err(error_at(
            at,
            format!("expected a value for {}", which.name()),
        ));
    }
    Ok((at, value))
}

fn pick<T: Copy>(
    at: usize,
    kind: &str,
    value: &str,
    all: &[(&'static str, T)],
) -> Result<T, CheckError> {
    if let Some((_, found)) = all.iter().find(|(name, _)| *name == value) {
        return Ok(*found);
    }
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let hint = match nearest(value, &names) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", names.join(", ")),
    };
    Err(error_at(at, format!("there is no {kind} {value}; {hint}")))
}

fn comparison(cursor: &mut Cursor<'_>) -> Result<Comparison, CheckError> {
    cursor.skip_space();
    let at = cursor.at;
    // The longer operators first: "<" also begins "<=".
    let by_length = [2, 1].into_iter().flat_map(|length| {
        Comparison::ALL
            .into_iter()
            .filter(move |comparison| comparison.operator().len() == length)
    });
    for comparison in by_length {
        if cursor.take(comparison.operator()) {
            return Ok(comparison);
        }
    }
    let slips = [
        ("=>", ">="),
        ("=<", "<="),
        ("≥", ">="),
        ("≤", "<="),
        ("≠", "!="),
        ("<>", "!="),
        ("=", "=="),
        ("!", "!="),
    ];
    let slip = slips
        .into_iter()
        .find(|(wrong, _)| cursor.rest().starts_with(wrong));
    Err(error_at(
        at,
        match slip {
            Some((wrong, right)) => format!("write {right} instead of {wrong}"),
            None => format!(
                "expected one of < <= > >= == != and a target, found {}",
                cursor.next_shown()
            ),
        },
    ))
}

fn target(cursor: &mut Cursor<'_>, info: &MetricInfo) -> Result<Target, CheckError> {
    cursor.skip_space();
    let at = cursor.at;
    let written = cursor.rest().trim_end();
    cursor.at = cursor.text.len();
    let example = match info.unit {
        Unit::Us => "150ms or 1s",
        Unit::Ratio => "95% or 0.95",
        Unit::PerS => "100/s",
        Unit::Count => "1_000",
        Unit::Bytes => "256MiB",
    };
    let unit = info.unit;
    if written.is_empty() {
        let message = format!(
            "the target is missing; {} is {}, such as {example}",
            info.name,
            unit.kind()
        );
        return Err(error_at(at, message));
    }
    let value = parse_in_unit(written, unit)
        .map_err(|error| error_at(at, format!("{} is {}, and {error}", info.name, unit.kind())))?;
    Ok(Target { value, unit })
}

/// Reads a target as it is written in `unit`.
pub(super) fn parse_in_unit(written: &str, unit: Unit) -> Result<f64, String> {
    fn text(error: impl Display) -> String {
        error.to_string()
    }
    let value = match unit {
        Unit::Us => written.parse::<Span>().map_err(text)?.0.as_nanos() as f64 / 1e3,
        Unit::Ratio => written.parse::<Ratio>().map_err(text)?.0,
        Unit::PerS => written.parse::<Rate>().map_err(text)?.per_s,
        Unit::Bytes => written.parse::<ByteSize>().map_err(text)?.0 as f64,
        Unit::Count => {
            let digits = written.replace('_', "");
            let plain = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
            let count = plain.then(|| digits.parse::<u64>().ok()).flatten();
            count.ok_or_else(|| format!("{written:?} is not a whole number, such as 1_000"))? as f64
        }
    };
    // Turns -0 into 0, so that what is printed has no sign.
    Ok(value + 0.0)
}

/// The name that was probably meant: few letters away from `written`.
fn nearest<'n>(written: &str, names: &[&'n str]) -> Option<&'n str> {
    let written = written.to_lowercase();
    names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&written, name), *name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
