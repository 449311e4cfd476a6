//! A service that is not ours, and the sections of a scenario that has one.

use http::header::HeaderName;

use super::super::plan::Plan;
use super::super::target::{OF_THE_POLICY, OF_THE_SERVICE};
use super::{Yaml, map};
use crate::environment::external::answer::Telling;
use crate::environment::external::field::{FieldValue, Variable};
use crate::environment::external::{AskedSo, ExternalService, Statuses, Trust};

/// `sections` as they are with the target of `plan`, if it has one.
pub(super) fn instead(plan: &Plan, mut sections: Vec<(String, Yaml)>) -> Vec<(String, Yaml)> {
    let Some(service) = &plan.target else {
        return sections;
    };
    sections.retain(|(key, _)| !OF_THE_SERVICE.contains(&&**key));
    for (key, section) in &mut sections {
        if let ("data_types", Yaml::Map(rows)) = (&**key, section) {
            for (_, row) in rows {
                if let Yaml::Map(keys) = row {
                    keys.retain(|(key, _)| !OF_THE_POLICY.contains(&&**key));
                }
            }
        }
    }
    let after = sections.iter().position(|(key, _)| key == "data_types");
    let target = ("target".to_owned(), write(plan, service));
    sections.insert(after.unwrap_or(0), target);
    sections
}

fn write(plan: &Plan, service: &ExternalService) -> Yaml {
    let operations = service.operations.iter().map(|asked| {
        let data_type = &plan.policies.get(asked.data_type).name;
        (
            format!("{data_type}.{}", asked.operation.name()),
            asked_so(asked),
        )
    });
    let urls = service.urls.iter().map(Yaml::text);
    let mut keys = vec![("url", Yaml::List(urls.collect()))];
    if service.tls != Trust::default() {
        keys.push(("tls", trust(&service.tls)));
    }
    keys.extend([
        ("headers", headers(&service.headers)),
        ("operations", Yaml::Map(operations.collect())),
        ("outcome", outcome(&service.outcome)),
    ]);
    keys.extend(service.expect.as_ref().map(expect));
    map(keys)
}

fn asked_so(asked: &AskedSo) -> Yaml {
    let mut keys = Vec::new();
    keys.extend(
        asked
            .method
            .as_ref()
            .map(|method| ("method", Yaml::word(method))),
    );
    keys.push(("path", Yaml::text(asked.path.source())));
    if !asked.headers.is_empty() {
        keys.push(("headers", headers(&asked.headers)));
    }
    keys.extend(
        asked
            .body
            .as_ref()
            .map(|body| ("body", Yaml::text(body.source()))),
    );
    keys.extend(asked.expect.as_ref().map(expect));
    map(keys)
}

fn trust(tls: &Trust) -> Yaml {
    let ca = tls.ca.as_ref();
    let ca = ca.map(|path| ("ca", Yaml::text(path.display().to_string())));
    let keys = ca.into_iter().chain([("verify", Yaml::word(tls.verify))]);
    map(keys)
}

/// Without secrets: what the environment said is said by its name.
fn headers(headers: &[(HeaderName, FieldValue)]) -> Yaml {
    let headers = headers.iter().map(|(name, value)| {
        let written = match value.variable() {
            None => Yaml::text(value.shown(name)),
            Some(Variable {
                name: variable,
                prefix,
            }) => {
                let mut keys = vec![("env", Yaml::text(variable))];
                if !prefix.is_empty() {
                    keys.push(("prefix", Yaml::text(prefix)));
                }
                map(keys)
            }
        };
        (name.to_string(), written)
    });
    Yaml::Map(headers.collect())
}

fn expect(statuses: &Statuses) -> (&'static str, Yaml) {
    let ranges = statuses.0.iter();
    let ranges = ranges.map(|range| Yaml::word(Statuses(vec![*range])));
    ("expect", Yaml::List(ranges.collect()))
}

fn outcome(telling: &Telling) -> Yaml {
    match telling {
        Telling::Field(own) => {
            let words = |words: &[String]| Yaml::List(words.iter().map(Yaml::text).collect());
            map([
                ("header", Yaml::text(own.name.as_str())),
                ("hit", words(&own.hit)),
                ("miss", words(&own.miss)),
            ])
        }
        word => Yaml::word(word.name()),
    }
}
