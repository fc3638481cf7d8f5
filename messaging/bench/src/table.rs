//! What the runner prints: one line for each figure. Pure.

use std::fmt::Write as _;

use serde::Serialize;

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Which scenario.
    pub scenario: &'static str,
    /// Who was measured.
    pub side: String,
    /// What was measured, with its unit.
    pub measured: String,
    /// Ours in proportion to this side.
    pub ratio: Option<f64>,
    /// What the ratio or the figure is to be.
    pub target: Option<Target>,
}

/// What is to be reached, and whether it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// In words.
    pub text: String,
    /// Whether it was reached.
    pub met: bool,
}

impl Row {
    /// A figure without a target.
    #[must_use]
    pub fn plain(scenario: &'static str, side: impl ToString, measured: String) -> Self {
        Self {
            scenario,
            side: side.to_string(),
            measured,
            ratio: None,
            target: None,
        }
    }

    /// Adds in what proportion it stands.
    #[must_use]
    pub fn ratio(self, ratio: f64) -> Self {
        Self {
            ratio: Some(ratio),
            ..self
        }
    }

    /// Adds what is to be reached.
    #[must_use]
    pub fn target(self, text: impl Into<String>, met: bool) -> Self {
        let text = text.into();
        Self {
            target: Some(Target { text, met }),
            ..self
        }
    }
}

/// All rows, in columns.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    const HEAD: [&str; 6] = ["scenario", "side", "measured", "ratio", "target", "met"];
    let lines: Vec<[String; 6]> = rows
        .iter()
        .map(|row| {
            let (target, met) = match &row.target {
                Some(Target { text, met: true }) => (text.as_str(), "yes"),
                Some(Target { text, met: false }) => (text.as_str(), "NO"),
                None => ("", ""),
            };
            [
                row.scenario.to_owned(),
                row.side.clone(),
                row.measured.clone(),
                row.ratio
                    .map_or(String::new(), |ratio| format!("{ratio:.2}")),
                target.to_owned(),
                met.to_owned(),
            ]
        })
        .collect();
    let head = HEAD.map(str::to_owned);
    let mut widths = [0; 6];
    for line in std::iter::once(&head).chain(&lines) {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    let rule = widths.map(|width| "-".repeat(width));
    for line in [&head, &rule].into_iter().chain(&lines) {
        let mut cells = String::new();
        for (cell, width) in line.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(cells, "| {cell:width$} ");
        }
        text.push_str(&cells);
        text.push_str("|\n");
    }
    text
}

/// A number with its thousands set apart: 1,234,567.
#[must_use]
pub fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            Row::plain("fan-out", "ours", "1,000/s".to_owned()),
            Row::plain("idle", "ours", "8 KiB".to_owned())
                .ratio(1.5)
                .target("at most 2", true),
        ];
        let expected = "\
| scenario | side | measured | ratio | target    | met |
| -------- | ---- | -------- | ----- | --------- | --- |
| fan-out  | ours | 1,000/s  |       |           |     |
| idle     | ours | 8 KiB    | 1.50  | at most 2 | yes |
";
        assert_eq!(table(&rows), expected);
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [
            (0.0, "0"),
            (999.0, "999"),
            (1000.0, "1,000"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }
}
