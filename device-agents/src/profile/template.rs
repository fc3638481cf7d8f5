//! Text with places to fill: `{seq}`, `{cmd_id}` and the parameters of a command. Pure.
//!
//! A place is a name in braces with nothing else between them, so that JSON's own braces need no escaping.

use std::collections::BTreeMap;

/// A text with places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Place(String),
}

impl Template {
    /// Finds the places of `text`.
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(brace) = rest.find('{') {
            literal.push_str(&rest[..brace]);
            let after = &rest[brace + 1..];
            let name_end = after
                .find(|c: char| !(c.is_ascii_lowercase() || c == '_'))
                .unwrap_or(after.len());
            if name_end > 0 && after[name_end..].starts_with('}') {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
                parts.push(Part::Place(after[..name_end].to_owned()));
                rest = &after[name_end + 1..];
            } else {
                literal.push('{');
                rest = after;
            }
        }
        literal.push_str(rest);
        parts.push(Part::Literal(literal));
        Self { parts }
    }

    /// The names of the places, in order.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Place(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The text with every place filled from `values`; a place without a value stays empty, which the profile's
    /// checks exclude.
    pub fn fill(&self, values: &BTreeMap<&str, String>) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Literal(text) => text.as_str(),
                Part::Place(name) => values.get(name.as_str()).map_or("", String::as_str),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_braces_are_not_places() {
        let template = Template::parse(r#"{"op":"reboot","id":"{cmd_id}","delay":{delay}}"#);
        assert_eq!(template.places().collect::<Vec<_>>(), ["cmd_id", "delay"]);
        let values = BTreeMap::from([("cmd_id", "7".to_owned()), ("delay", "10".to_owned())]);
        assert_eq!(
            template.fill(&values),
            r#"{"op":"reboot","id":"7","delay":10}"#
        );
    }

    #[test]
    fn a_text_without_places_stays_as_it_is() {
        for text in ["", "{", "{}", "{{a", "{a b}", "}{", r#"{"a":{"b":1}}"#] {
            let template = Template::parse(text);
            assert_eq!(template.places().count(), 0, "{text}");
            assert_eq!(template.fill(&BTreeMap::new()), text);
        }
    }
}
