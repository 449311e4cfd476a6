//! A service that is not ours: where it is and how it is asked.

use std::path::PathBuf;
use std::sync::Arc;

use http::header::HeaderName;
use http::uri::PathAndQuery;

use super::super::decode::{Entry, Field, Located, Switch};
use super::super::diagnostics::{Diagnostic, Errors, Place, did_you_mean};
use super::super::file::File;
use super::super::file::target::{
    AskedFile, OneOrMore, OwnFile, StatusRange, TargetFile, TellingFile, TlsFile, statuses,
};
use super::super::plan::Driver;
use super::super::yaml::short;
use super::Built;
use super::data_types::Names;
use super::headers::headers;
use super::traffic::{self, Traffic};
use crate::engine::data_type::{DataType, DataTypeId};
use crate::engine::layer::Operation;
use crate::environment::external::answer::{OwnField, Telling};
use crate::environment::external::template::{Template, WORDS};
use crate::environment::external::url::base_url;
use crate::environment::external::{AskedSo, ExternalService, Statuses, Trust};
use crate::gates::alert::Alert;
use crate::gates::inside::is_inside;
use crate::workload::What;

/// More than these go to a name that a load balancer answers for.
const URLS_MAX: usize = 1_000;
/// What a body may be, but for what is filled in.
const TEMPLATE_BYTES_MAX: usize = 1 << 16;
/// A text with holes, the same holes for all texts of an operation.
pub(super) type Holes<'h> = &'h [&'h str];

/// The service; inside, `None` is the built-in one. `rows` are `None` if data types are wrong.
pub(super) fn build(
    file: &File,
    names: &Names,
    (rows, traffic): (Option<&[DataType]>, Option<&Traffic>),
    errors: &mut Errors,
) -> Built<Option<Arc<ExternalService>>> {
    let target = match &file.target {
        Field::Absent => return Some(None),
        Field::Wrong => return None,
        Field::Given(given) => match &given.value {
            Switch::Off => return Some(None),
            Switch::On(target) => target,
        },
    };
    let over_http = is_over_http(file, errors);
    let urls = urls(target, errors);
    let tls = trust(&target.tls);
    let headers = headers(&target.headers, &[], errors);
    let outcome = outcome(&target.outcome, errors);
    let expect = expect(&target.expect);
    let operations = target.operations.given().and_then(|operations| {
        let asked = operations.value.0.iter();
        let asked: Vec<_> = asked
            .map(|entry| asked_so(entry, names, rows, errors))
            .collect();
        asked.into_iter().collect::<Option<Vec<_>>>()
    });
    let service = ExternalService {
        urls: urls?,
        tls: tls?,
        headers: headers?,
        operations: operations?,
        outcome: outcome?,
        expect: expect?,
    };
    let all_known = all_known(&service, target, (names, traffic?), errors);
    (over_http && all_known).then(|| Some(Arc::new(service)))
}

/// Whoever is not ours is reached over HTTP alone.
fn is_over_http(file: &File, errors: &mut Errors) -> bool {
    let driver = file
        .traffic
        .value()
        .and_then(|traffic| traffic.driver.given());
    let Some(given) = driver.filter(|driver| driver.value == Driver::Direct) else {
        return true;
    };
    let message = "the driver `direct` leaves HTTP out, and a target is reached over nothing else";
    errors.push(Diagnostic::new(&given.place, message).label("write `closed` or `open`"));
    false
}

fn urls(target: &TargetFile, errors: &mut Errors) -> Built<Vec<String>> {
    let given = target.url.given()?;
    let all = given.value.all()?;
    if all.is_empty() || all.len() > URLS_MAX {
        let message = format!("a target has from 1 to {URLS_MAX} URLs");
        errors.push(Diagnostic::new(&given.place, message));
        return None;
    }
    let checked: Vec<_> = all
        .into_iter()
        .map(|url| match base_url(&url.value) {
            Ok(_) => Some(url.value.trim_end_matches('/').to_owned()),
            Err(problem) => {
                let message = format!("nothing can be sent to {:?}: {problem}", short(&url.value));
                let advice = "write it as in http://127.0.0.1:8080 or https://shop.example";
                errors.push(Diagnostic::new(&url.place, message).label(advice));
                None
            }
        })
        .collect();
    checked.into_iter().collect()
}

fn trust(field: &Field<TlsFile>) -> Built<Trust> {
    let Some(tls) = field.value() else {
        return field.is_absent().then(Trust::default);
    };
    let ca = match &tls.ca {
        Field::Absent => None,
        Field::Wrong => return None,
        Field::Given(path) => {
            let file = PathBuf::from(&*path.value);
            Some(match path.place {
                // What is typed is meant from where it is typed.
                Place::Argument(_) => std::path::absolute(&file).unwrap_or(file),
                _ => file,
            })
        }
    };
    Some(Trust {
        ca,
        verify: tls.verify.or(true)?,
    })
}

/// A text with holes; every hole that is none is told.
pub(super) fn template(
    text: &Located<Arc<str>>,
    params: Holes<'_>,
    errors: &mut Errors,
) -> Built<Template> {
    if text.value.len() > TEMPLATE_BYTES_MAX {
        let message = "this text is longer than 64 KiB";
        let advice = "let {value} make the most of it, and give the data type a `value_size`";
        errors.push(Diagnostic::new(&text.place, message).help(advice));
        return None;
    }
    match Template::parse(&text.value, params) {
        Ok(template) => Some(template),
        Err(unknown) => {
            for name in unknown {
                let known = params.iter().chain(&WORDS).copied();
                let message = format!("nothing can stand for `{{{}}}` here", short(&name));
                let advice = did_you_mean(&name, "placeholder", known);
                errors.push(
                    Diagnostic::new(&text.place, message)
                        .label(advice)
                        .help(format!("write {{{{{name}}}}} if the text itself is meant")),
                );
            }
            None
        }
    }
}

fn expect(field: &Field<OneOrMore<StatusRange>>) -> Built<Option<Statuses>> {
    match field.value() {
        None => field.is_absent().then_some(None),
        Some(list) => statuses(list).map(Some),
    }
}

fn asked_so(
    (name, asked): &Entry<AskedFile>,
    names: &Names,
    rows: Option<&[DataType]>,
    errors: &mut Errors,
) -> Built<AskedSo> {
    let known = traffic::operation(name, names, errors);
    let asked = asked.as_ref();
    // Without its key, no one knows what can stand in it.
    let (data_type, operation) = known?;
    let row = rows?.get(data_type.index())?;
    let asked = &asked?.value;
    let mut params: Vec<&str> = row.key.params().collect();
    match operation {
        Operation::InvalidatePattern => {
            params.pop();
        }
        Operation::InvalidateAll => params.clear(),
        Operation::Get | Operation::Put | Operation::Invalidate | Operation::Admit => {}
    }
    let path = asked
        .path
        .given()
        .and_then(|path| self::path(path, &params, errors));
    let headers = headers(&asked.headers, &params, errors);
    let body = match &asked.body {
        Field::Absent => Some(None),
        Field::Wrong => None,
        Field::Given(body) => template(body, &params, errors).map(Some),
    };
    let method = match &asked.method {
        Field::Absent => Some(None),
        Field::Wrong => None,
        Field::Given(method) => Some(Some(method.value.0.clone())),
    };
    Some(AskedSo {
        data_type,
        operation,
        method: method?,
        path: path?,
        headers: headers?,
        body: body?,
        expect: expect(&asked.expect)?,
    })
}

fn path(path: &Located<Arc<str>>, params: Holes<'_>, errors: &mut Errors) -> Built<Template> {
    let built = template(path, params, errors)?;
    let mut refuse = |message: &str, advice: &str| {
        errors.push(Diagnostic::new(&path.place, message).label(advice));
        None
    };
    if !path.value.starts_with('/') {
        return refuse(
            "a path begins with `/`",
            "write it as in /products/{product_id}",
        );
    }
    let plain = |c: char| c.is_ascii_graphic() && c != '#';
    let sendable = built
        .literals()
        .all(|text| text.chars().all(plain) && PathAndQuery::try_from(format!("/{text}")).is_ok());
    if !sendable {
        return refuse(
            "something stands in this path that cannot be sent in a URL",
            "write blanks and the like by percent signs, as in %20",
        );
    }
    Some(built)
}

fn outcome(field: &Field<TellingFile>, errors: &mut Errors) -> Built<Telling> {
    let Some(telling) = field.value() else {
        return field.is_absent().then_some(Telling::Auto);
    };
    Some(match telling {
        TellingFile::Auto => Telling::Auto,
        TellingFile::CacheStatus => Telling::CacheStatus,
        TellingFile::XCache => Telling::XCache,
        TellingFile::Age => Telling::Age,
        TellingFile::None => Telling::None,
        TellingFile::Own(own) => Telling::Field(own_field(own, errors)?),
    })
}

fn own_field(own: &OwnFile, errors: &mut Errors) -> Built<OwnField> {
    let given = own.header.given()?;
    let Ok(name) = HeaderName::from_bytes(given.value.as_bytes()) else {
        let message = format!("{:?} is no name of a header field", short(&given.value));
        errors.push(Diagnostic::new(&given.place, message).label("write it as in x-my-cache"));
        return None;
    };
    let words = |field: &Field<OneOrMore<Arc<str>>>| -> Option<Vec<String>> {
        let all = field.value()?.all()?;
        Some(
            all.iter()
                .map(|word| word.value.trim().to_owned())
                .collect(),
        )
    };
    let (hit, miss) = (words(&own.hit)?, words(&own.miss)?);
    let twice = hit
        .iter()
        .find(|word| miss.iter().any(|other| other.eq_ignore_ascii_case(word)));
    if let Some(word) = twice {
        let message = format!("{:?} cannot be a hit and a miss", short(word));
        let place = own.miss.place().unwrap_or(&given.place);
        errors.push(Diagnostic::new(place, message).label("remove it from one of the two"));
        return None;
    }
    Some(OwnField { name, hit, miss })
}

/// Whether nobody is told of what nobody can know of such a service.
pub(super) fn check_alerts(file: &File, alerts: &[Alert], errors: &mut Errors) -> bool {
    let on = matches!(file.target.value(), Some(Switch::On(_)));
    let written = file.alerts.value().map(Vec::as_slice);
    let mut fit = true;
    for (file, alert) in written.unwrap_or_default().iter().zip(alerts) {
        let place = file
            .as_ref()
            .map(|file| file.value.check.place().unwrap_or(&file.place));
        if let Some(place) = place.filter(|_| on && is_inside(&alert.check)) {
            let message =
                "nobody can know this of a target: it is read inside the built-in service";
            let advice = "remove it, or watch what users see, such as hit_ratio or error_ratio";
            errors.push(Diagnostic::new(place, message).label(advice));
            fit = false;
        }
    }
    fit
}

/// Whether it is said how to ask all that users ask.
fn all_known(
    service: &ExternalService,
    target: &TargetFile,
    (names, traffic): (&Names, &Traffic),
    errors: &mut Errors,
) -> bool {
    let Some(operations) = target.operations.given() else {
        return false;
    };
    let mut told: Vec<(DataTypeId, Operation)> = Vec::new();
    for asked in asked_by(traffic) {
        if told.contains(&asked) || service.asks(asked.0, asked.1).is_some() {
            continue;
        }
        told.push(asked);
        let (data_type, operation) = asked;
        let name = format!("{}.{}", names[data_type.index()].0, operation.name());
        let message = format!("nobody says how to ask for `{name}`, and users do");
        let advice = format!("add it, as in `{name}: {{ path: \"/…\" }}`");
        errors.push(Diagnostic::new(&operations.place, message).help(advice));
    }
    told.is_empty()
}

/// What users ask for, with repetitions.
fn asked_by(traffic: &Traffic) -> Vec<(DataTypeId, Operation)> {
    let mut asked = Vec::new();
    for kind in &traffic.kinds {
        asked.extend(&kind.on_start);
        match &kind.what {
            What::Mix(mix) => {
                let weighs = mix.iter().filter(|line| line.weight > 0.0);
                asked.extend(weighs.map(|line| (line.data_type, line.operation)));
            }
            What::Journeys(journeys) => {
                let steps = journeys.iter().flat_map(|journey| &journey.steps);
                asked.extend(steps.map(|step| (step.data_type, step.operation)));
            }
        }
    }
    asked
}
