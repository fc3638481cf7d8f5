//! The part of JSON Schema (2020-12) that the API's document uses. A keyword that is not known here fails: nothing in the
//! document is taken for a promise that nobody looks at.

use contract::{DeviceId, FaultCode};
use serde_json::Value;

/// Pattern of our ids, and of fault codes: looked at by those who read them.
const ID: &str = "^[a-z0-9][a-z0-9._-]{0,63}$";
const FAULT: &str = "^[A-Z][A-Z0-9-]{0,63}$";

/// Whether `value` is as `schema` says; where not, and why not.
pub(super) fn check(
    document: &Value,
    schema: &Value,
    value: &Value,
    at: &str,
) -> Result<(), String> {
    let schema = resolve(document, schema);
    let wrong = |why: &str| Err(format!("{at}: {value} {why}"));
    for (keyword, meant) in schema.as_object().unwrap() {
        let holds = match keyword.as_str() {
            "description" | "example" | "examples" => true,
            "type" => match meant {
                Value::Array(names) => names.iter().any(|name| is(name, value)),
                name => is(name, value),
            },
            "enum" => meant.as_array().unwrap().contains(value),
            "const" => meant == value,
            "anyOf" => matching(document, meant, value, at) > 0,
            "oneOf" => matching(document, meant, value, at) == 1,
            "required" => {
                let names = meant.as_array().unwrap().iter();
                let mut names = names.map(|name| name.as_str().unwrap());
                value
                    .as_object()
                    .is_none_or(|object| names.all(|name| object.contains_key(name)))
            }
            "properties" => {
                for (name, schema) in meant.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(document, schema, value, &format!("{at}/{name}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                for (name, value) in others(&schema, value) {
                    if *meant == false {
                        return wrong(&format!("has {name} besides"));
                    }
                    check(document, meant, value, &format!("{at}/{name}"))?;
                }
                true
            }
            "items" => {
                for (n, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, meant, value, &format!("{at}/{n}"))?;
                }
                true
            }
            "minimum" => value
                .as_f64()
                .is_none_or(|number| number >= meant.as_f64().unwrap()),
            "minLength" => text(value, |text| {
                text.chars().count() as u64 >= meant.as_u64().unwrap()
            }),
            "maxLength" => text(value, |text| {
                text.chars().count() as u64 <= meant.as_u64().unwrap()
            }),
            "pattern" => text(value, |text| match meant.as_str().unwrap() {
                ID => text.parse::<DeviceId>().is_ok(),
                FAULT => text.parse::<FaultCode>().is_ok(),
                other => panic!("{at}: nobody knows the pattern {other}"),
            }),
            "format" => text(value, |text| match meant.as_str().unwrap() {
                "date-time" => text.parse::<chrono::DateTime<chrono::Utc>>().is_ok(),
                "uuid" => text.parse::<uuid::Uuid>().is_ok(),
                "uri" => text.parse::<url::Url>().is_ok(),
                // Of numbers; every number that JSON reads into an i64 is one.
                "int64" => true,
                other => panic!("{at}: nobody knows the format {other}"),
            }),
            other => panic!("{at}: nobody knows the keyword {other}"),
        };
        if !holds {
            return wrong(&format!("is not as {keyword} says: {meant}"));
        }
    }
    Ok(())
}

/// What a `$ref` leads to.
pub(super) fn resolve(document: &Value, schema: &Value) -> Value {
    match schema.get("$ref") {
        Some(to) => {
            let pointer = to.as_str().unwrap().trim_start_matches('#');
            let found = document.pointer(pointer);
            found
                .unwrap_or_else(|| panic!("{to} leads nowhere"))
                .clone()
        }
        None => schema.clone(),
    }
}

fn is(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("nobody knows the type {other}"),
    }
}

fn matching(document: &Value, schemas: &Value, value: &Value, at: &str) -> usize {
    let schemas = schemas.as_array().unwrap().iter();
    schemas
        .filter(|schema| check(document, schema, value, at).is_ok())
        .count()
}

/// The members of an object that `properties` does not name.
fn others<'a>(schema: &Value, value: &'a Value) -> Vec<(&'a String, &'a Value)> {
    let named = schema.get("properties");
    let members = value.as_object().into_iter().flatten();
    let others = members.filter(|(name, _)| named.is_none_or(|named| named.get(name).is_none()));
    others.collect()
}

/// What is no text is not bound by what is said of texts.
fn text(value: &Value, holds: impl Fn(&str) -> bool) -> bool {
    value.as_str().is_none_or(holds)
}

#[test]
fn what_is_not_as_written_is_told() {
    let document = serde_json::json!({"a": {"type": "object", "required": ["x"], "additionalProperties": false,
        "properties": {"x": {"type": ["integer", "null"]}, "y": {"type": "string", "enum": ["p"]}}}});
    let schema = serde_json::json!({"$ref": "#/a"});
    for (value, fits) in [
        (serde_json::json!({"x": 1}), true),
        (serde_json::json!({"x": null, "y": "p"}), true),
        (serde_json::json!({"x": 1.5}), false),
        (serde_json::json!({"y": "p"}), false),
        (serde_json::json!({"x": 1, "y": "q"}), false),
        (serde_json::json!({"x": 1, "z": 1}), false),
        (serde_json::json!([]), false),
    ] {
        assert_eq!(
            check(&document, &schema, &value, "").is_ok(),
            fits,
            "{value}"
        );
    }
}
