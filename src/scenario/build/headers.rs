//! The header fields of requests to a service that is not ours, and what of them the environment says.
//!
//! The one place of the scenario that reads the environment. Its values go into the plan and nowhere else.

use std::sync::Arc;

use http::header::HeaderName;

use super::super::decode::{Field, Located, Map};
use super::super::diagnostics::{Diagnostic, Errors};
use super::super::file::target::HeaderFile;
use super::super::yaml::short;
use super::Built;
use super::target::{Holes, template};
use crate::environment::external::field::{FieldValue, HIDDEN, Variable};

/// Fields that whoever sends makes itself.
const SENDERS_OWN: [&str; 8] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

const UNSENDABLE: &str = "a header field holds plain characters alone";
const SENDABLE: &str = "letters, digits, signs and blanks";

/// The fields of a target, or of one of its operations.
pub(super) fn headers(
    field: &Field<Map<HeaderFile>>,
    params: Holes<'_>,
    errors: &mut Errors,
) -> Built<Vec<(HeaderName, FieldValue)>> {
    let Some(given) = field.value() else {
        return field.is_absent().then(Vec::new);
    };
    let mut seen: Vec<HeaderName> = Vec::new();
    let mut built = Vec::new();
    for (name, value) in &given.0 {
        let header = header_name(name, errors);
        let value = value.as_ref();
        let value = value.and_then(|value| header_value(value, params, errors));
        if let Some(header) = &header {
            if seen.contains(header) {
                let message = format!("the field `{header}` stands twice");
                errors.push(Diagnostic::new(&name.place, message).label("remove one of them"));
            }
            seen.push(header.clone());
        }
        built.push(header.zip(value));
    }
    built.into_iter().collect()
}

fn header_name(name: &Located<Arc<str>>, errors: &mut Errors) -> Built<HeaderName> {
    let refuse = |errors: &mut Errors, message: String, advice: &str| {
        errors.push(Diagnostic::new(&name.place, message).label(advice));
        None
    };
    let Ok(header) = HeaderName::from_bytes(name.value.as_bytes()) else {
        let message = format!("{:?} is no name of a header field", short(&name.value));
        return refuse(errors, message, "write it as in x-api-key");
    };
    if SENDERS_OWN.contains(&header.as_str()) {
        let message = format!("the field `{header}` is made by whoever sends");
        return refuse(errors, message, "remove it");
    }
    Some(header)
}

fn header_value(
    value: &Located<HeaderFile>,
    params: Holes<'_>,
    errors: &mut Errors,
) -> Built<FieldValue> {
    match &value.value {
        HeaderFile::Written(text) => {
            let text = Located {
                value: Arc::clone(text),
                place: value.place.clone(),
            };
            written(&text, params, errors)
        }
        HeaderFile::FromEnvironment { env, prefix } => from_environment(env, prefix, errors),
    }
}

fn written(text: &Located<Arc<str>>, params: Holes<'_>, errors: &mut Errors) -> Built<FieldValue> {
    if &*text.value == HIDDEN {
        let message = "a secret stood here, which no report holds";
        let advice = "write it again, best as `{ env: NAME }`";
        errors.push(Diagnostic::new(&text.place, message).label(advice));
        return None;
    }
    let built = template(text, params, errors)?;
    if !built.literals().all(is_sendable) {
        errors.push(Diagnostic::new(&text.place, UNSENDABLE).label(SENDABLE));
        return None;
    }
    Some(FieldValue::written(built))
}

/// Nothing of the value stands in an error.
fn from_environment(
    env: &Field<Arc<str>>,
    prefix: &Field<Arc<str>>,
    errors: &mut Errors,
) -> Built<FieldValue> {
    let before = prefix.or("".into());
    if let Some(prefix) = prefix.given().filter(|prefix| !is_sendable(&prefix.value)) {
        errors.push(Diagnostic::new(&prefix.place, UNSENDABLE).label(SENDABLE));
        return None;
    }
    let env = env.given()?;
    let name = short(&env.value);
    let mut refuse = |message: String, advice: &str| {
        errors.push(Diagnostic::new(&env.place, message).label(advice));
        None
    };
    let Some(value) = std::env::var_os(&*env.value) else {
        let message = format!("the environment has no variable `{name}`");
        return refuse(message, "set it where cachestorm is called, then try again");
    };
    let value = value.to_str().map(str::trim);
    match value {
        Some("") => {
            let message = format!("the environment variable `{name}` is empty");
            refuse(message, "give it a value, then try again")
        }
        Some(value) if is_sendable(value) => {
            let variable = Variable {
                name: env.value.to_string(),
                prefix: before?.to_string(),
            };
            Some(FieldValue::from_environment(variable, value))
        }
        _ => {
            let message = format!("the environment variable `{name}` cannot be sent: {UNSENDABLE}");
            refuse(message, SENDABLE)
        }
    }
}

fn is_sendable(text: &str) -> bool {
    text.chars().all(|c| c == ' ' || c.is_ascii_graphic())
}
