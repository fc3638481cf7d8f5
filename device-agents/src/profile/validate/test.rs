//! Checks tests of points: that the point exists, that the test fits its type. Pure.

use contract::{PointId, Value};

use super::super::raw::RawTest;
use super::super::{Condition, JsonType, Point, RegisterType, Source, Test};

pub(super) fn point_index(id: &PointId, points: &[Point]) -> Result<usize, String> {
    points
        .iter()
        .position(|point| point.id == *id)
        .ok_or_else(|| format!("there is no point \"{id}\": correct the name or add the point"))
}

/// What a point's readings hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Number,
    Word,
}

fn kind(point: &Point) -> Kind {
    if point.enumeration.is_some() {
        return Kind::Word;
    }
    match &point.source {
        Source::Modbus {
            kind: RegisterType::Bool,
            ..
        }
        | Source::Frame {
            kind: JsonType::Bool,
            ..
        } => Kind::Bool,
        Source::Frame {
            kind: JsonType::Text,
            ..
        } => Kind::Word,
        Source::Modbus { .. } | Source::Escpos { .. } | Source::Frame { .. } => Kind::Number,
    }
}

/// How many bits a point's raw value has; 0 when it has none.
fn raw_bits(point: &Point) -> u8 {
    match &point.source {
        Source::Modbus { kind, .. } => match kind {
            RegisterType::Bool => 1,
            RegisterType::U16 | RegisterType::I16 | RegisterType::Bits16 => 16,
            RegisterType::U32 | RegisterType::I32 => 32,
        },
        Source::Escpos { .. } => 8,
        Source::Frame { .. } => 0,
    }
}

pub(super) fn condition(
    id: &PointId,
    raw: &RawTest,
    points: &[Point],
) -> Result<Condition, String> {
    let index = point_index(id, points)?;
    let test =
        test(raw, &points[index]).map_err(|what| format!("test of point \"{id}\": {what}"))?;
    Ok(Condition { point: index, test })
}

fn test(raw: &RawTest, point: &Point) -> Result<Test, String> {
    let literal = |value: &Value| check_literal(value, point).map(|()| value.clone());
    let number = |limit: f64| {
        if kind(point) == Kind::Number {
            Ok(limit)
        } else {
            Err("lt and gt are for numbers: use eq, ne or in".to_owned())
        }
    };
    let bits = raw_bits(point);
    match raw.clone() {
        RawTest {
            bit: Some(bit),
            mask: None,
            eq: None,
            ne: None,
            one_of: None,
            lt: None,
            gt: None,
        } if bit < bits => Ok(Test::Bit(bit)),
        RawTest {
            bit: None,
            mask: Some(mask),
            eq: Some(Value::Number(eq)),
            ne: None,
            one_of: None,
            lt: None,
            gt: None,
        } => match whole(eq) {
            Some(eq) if mask != 0 && mask >> bits == 0 && eq & !mask == 0 => {
                Ok(Test::Masked { mask, eq })
            }
            _ => Err(format!(
                "mask must have some of the point's {bits} bits, and eq only bits of mask"
            )),
        },
        RawTest {
            bit: None,
            mask: None,
            eq,
            ne,
            one_of,
            lt,
            gt,
        } => match (eq, ne, one_of, lt, gt) {
            (Some(value), None, None, None, None) => Ok(Test::OneOf(vec![literal(&value)?])),
            (None, Some(value), None, None, None) => Ok(Test::Not(literal(&value)?)),
            (None, None, Some(values), None, None) if !values.is_empty() => Ok(Test::OneOf(
                values.iter().map(literal).collect::<Result<_, _>>()?,
            )),
            (None, None, None, Some(limit), None) => Ok(Test::Less(number(limit)?)),
            (None, None, None, None, Some(limit)) => Ok(Test::Greater(number(limit)?)),
            _ => Err("say exactly one of bit, mask with eq, eq, ne, in, lt, gt".to_owned()),
        },
        _ => Err(format!(
            "say exactly one of bit (below {bits}), mask with eq, eq, ne, in, lt, gt"
        )),
    }
}

/// `number` as an unsigned integer, if it is one that a double holds exactly.
fn whole(number: f64) -> Option<u64> {
    const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() != 0.0 || !(0.0..=LARGEST_EXACT).contains(&number) {
        return None;
    }
    // Through text, because no lossless conversion from a double exists.
    format!("{number:.0}").parse().ok()
}

fn check_literal(value: &Value, point: &Point) -> Result<(), String> {
    let fits = match (value, kind(point)) {
        (Value::Bool(_), Kind::Bool) | (Value::Number(_), Kind::Number) => true,
        (Value::Text(text), Kind::Word) => match &point.enumeration {
            Some(enumeration) => enumeration.labels().any(|label| label.id == *text),
            None => true,
        },
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(format!(
            "{value} is no value that the point can have: use one of its words or a value of its type"
        ))
    }
}
