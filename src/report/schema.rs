//! `docs/report.schema.json`: the JSON Schema of `report.json`, made from the model.
//!
//! The descriptions are the model's own doc comments, so the units are stated in one place. The
//! committed file is held against the model by a test.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::model::Report;

/// The schema of `report.json`, pretty and with a newline at its end.
///
/// # Errors
/// If the schema cannot be put into JSON.
pub fn report_schema() -> Result<String, serde_json::Error> {
    schema_of::<Report>("A report of cachestorm")
}

fn schema_of<T: JsonSchema>(title: &str) -> Result<String, serde_json::Error> {
    let mut schema = SchemaSettings::draft2020_12()
        .with_transform(PlainDescriptions)
        .into_generator()
        .into_root_schema_for::<T>();
    schema.insert("title".to_owned(), Value::from(title));
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}

/// Turns the links of doc comments into plain text: a reader of the schema cannot follow them.
#[derive(Clone, Debug)]
struct PlainDescriptions;

impl Transform for PlainDescriptions {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = text.replace("[`", "`").replace("`]", "`");
        }
        transform_subschemas(self, schema);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::export::Exporter;
    use crate::report::fixture::{bare_report, failed_report, sample_report, variants_report};
    use crate::report::json::Json;

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/report.schema.json");

    fn parsed() -> Value {
        serde_json::from_str(&report_schema().expect("a schema")).expect("JSON")
    }

    #[test]
    fn the_committed_schema_is_up_to_date() {
        let schema = report_schema().expect("a schema");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(COMMITTED, &schema).expect("docs/ can be written");
        }
        let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
        assert!(
            committed == schema,
            "docs/report.schema.json differs from src/report/model.rs; to write it anew:\n  \
             UPDATE_SCHEMA=1 cargo test --lib report::schema\n\
             A field that was renamed, removed or given another unit needs a new SCHEMA_VERSION."
        );
    }

    #[test]
    fn reports_are_valid_by_the_schema_and_damaged_ones_are_not() {
        let validator = jsonschema::validator_for(&parsed()).expect("a valid schema");
        let reports = [
            sample_report(),
            failed_report(),
            bare_report(),
            variants_report(),
        ];
        for report in reports {
            let bytes = Json.export(&report).expect("a report");
            let mut value: Value = serde_json::from_slice(&bytes).expect("JSON");
            let errors: Vec<String> = validator
                .iter_errors(&value)
                .map(|error| error.to_string())
                .collect();
            assert_eq!(errors, Vec::<String>::new());
            value["a_later_field"] = Value::from(1);
            assert!(validator.is_valid(&value), "a field may be added freely");
            value["requests"]["total"] = Value::from("many");
            assert!(!validator.is_valid(&value));
        }
    }

    #[test]
    fn every_field_is_described() {
        let schema = parsed();
        let definitions = schema["$defs"].as_object().expect("definitions");
        let objects = definitions.values().chain([&schema]);
        let mut count = 0;
        for properties in objects.filter_map(|object| object["properties"].as_object()) {
            for (name, property) in properties {
                let described = property["description"].as_str();
                assert!(described.is_some_and(|text| !text.contains("[`")), "{name}");
                count += 1;
            }
        }
        assert!(count > 100, "{count}");
    }
}
