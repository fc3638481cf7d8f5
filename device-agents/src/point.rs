//! From what the wire carried to values with quality. Pure.
//!
//! A value that cannot be what it should be is `bad` and absent, never 0; a number outside its plausible range is
//! `suspect` and kept.

use contract::{Quality, Value};

use crate::profile::{ByteOrder, EnumLabel, Enumeration, JsonType, Point, RegisterType, Source};

/// What one read brought, before it means anything.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    /// Registers, from the block's first address on.
    Registers(Vec<u16>),
    /// Bits, from the block's first address on.
    Bits(Vec<bool>),
    /// One status byte.
    Byte(u8),
    /// A reply.
    Json(serde_json::Value),
}

/// A value and how far to trust it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The value; absent when the quality is bad.
    pub value: Option<Value>,
    /// The masked integer behind it, where the wire has one.
    pub raw: Option<u64>,
    /// Good, suspect or bad.
    pub quality: Quality,
}

impl Decoded {
    fn bad() -> Self {
        Self {
            value: None,
            raw: None,
            quality: Quality::Bad,
        }
    }

    fn good(value: Value, raw: Option<u64>) -> Self {
        Self {
            value: Some(value),
            raw,
            quality: Quality::Good,
        }
    }
}

/// Decodes `point` from what a block that begins at address `start` brought. `start` counts for registers and bits only.
pub fn decode(point: &Point, start: u16, raw: &Raw) -> Decoded {
    match (&point.source, raw) {
        (
            Source::Modbus {
                addr, kind, order, ..
            },
            Raw::Registers(registers),
        ) => {
            let offset = usize::from(addr.saturating_sub(start));
            match registers.get(offset..offset + usize::from(kind.width())) {
                Some(words) => integer(point, register_value(words, *kind, *order)),
                None => Decoded::bad(),
            }
        }
        (Source::Modbus { addr, .. }, Raw::Bits(bits)) => bits
            .get(usize::from(addr.saturating_sub(start)))
            .map_or_else(Decoded::bad, |&on| {
                Decoded::good(Value::Bool(on), Some(u64::from(on)))
            }),
        (Source::Escpos { .. }, Raw::Byte(byte)) => {
            integer(point, (u64::from(*byte), f64::from(*byte)))
        }
        (Source::Frame { path, kind, .. }, Raw::Json(reply)) => match reply.pointer(path) {
            Some(member) => json_value(point, member, *kind),
            None => Decoded::bad(),
        },
        (
            Source::Modbus { .. } | Source::Escpos { .. } | Source::Frame { .. },
            Raw::Registers(_) | Raw::Bits(_) | Raw::Byte(_) | Raw::Json(_),
        ) => Decoded::bad(),
    }
}

/// The bits as they stand in the registers (put in order), and the number that they mean.
fn register_value(words: &[u16], kind: RegisterType, order: ByteOrder) -> (u64, f64) {
    let swap_bytes = matches!(order, ByteOrder::Dcba | ByteOrder::Badc);
    let low_word_first = matches!(order, ByteOrder::Dcba | ByteOrder::Cdab);
    let word = |index: usize| {
        let word = words[index];
        if swap_bytes { word.swap_bytes() } else { word }
    };
    match kind {
        RegisterType::Bool | RegisterType::U16 | RegisterType::Bits16 => {
            (u64::from(word(0)), f64::from(word(0)))
        }
        RegisterType::I16 => (u64::from(word(0)), f64::from(word(0).cast_signed())),
        RegisterType::U32 | RegisterType::I32 => {
            let (high, low) = if low_word_first { (1, 0) } else { (0, 1) };
            let bits = u32::from(word(high)) << 16 | u32::from(word(low));
            let number = if kind == RegisterType::I32 {
                f64::from(bits.cast_signed())
            } else {
                f64::from(bits)
            };
            (u64::from(bits), number)
        }
    }
}

/// A point that is a whole number on the wire.
fn integer(point: &Point, (bits, number): (u64, f64)) -> Decoded {
    let (bits, number) = match point.mask {
        // A masked value is a set of bits, and small enough for a double to hold it exactly.
        Some(mask) => {
            let masked = bits & mask;
            let number = u32::try_from(masked).map_or(f64::NAN, f64::from);
            (masked, number)
        }
        None => (bits, number),
    };
    match &point.enumeration {
        Some(Enumeration::ByNumber(labels)) => {
            labels.get(&bits).map_or_else(Decoded::bad, |label| {
                Decoded::good(Value::Text(label.id.clone()), Some(bits))
            })
        }
        Some(Enumeration::ByText(_)) => Decoded::bad(),
        None => plausible(point, number, Some(bits)),
    }
}

fn plausible(point: &Point, number: f64, raw: Option<u64>) -> Decoded {
    if !number.is_finite() || point.invalid.contains(&number) {
        return Decoded::bad();
    }
    let outside = point
        .range
        .is_some_and(|(low, high)| number < low || number > high);
    Decoded {
        quality: if outside {
            Quality::Suspect
        } else {
            Quality::Good
        },
        ..Decoded::good(Value::Number(number), raw)
    }
}

fn json_value(point: &Point, member: &serde_json::Value, kind: JsonType) -> Decoded {
    match kind {
        JsonType::Bool => member.as_bool().map_or_else(Decoded::bad, |on| {
            Decoded::good(Value::Bool(on), Some(u64::from(on)))
        }),
        JsonType::Number => member
            .as_f64()
            .map_or_else(Decoded::bad, |number| plausible(point, number, None)),
        JsonType::Text => member
            .as_str()
            .and_then(|text| word(point, text))
            .map_or_else(Decoded::bad, |word| Decoded::good(Value::Text(word), None)),
    }
}

/// The word that a reading has for `text`; `None` when the enumeration does not know it.
fn word(point: &Point, text: &str) -> Option<String> {
    match &point.enumeration {
        None => Some(text.to_owned()),
        Some(Enumeration::ByText(labels)) => {
            labels.get(text).map(|EnumLabel { id, .. }| id.clone())
        }
        Some(Enumeration::ByNumber(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use contract::Text;
    use contract::reading::PollClass;
    use proptest::prelude::*;

    use super::*;
    use crate::profile::Table;

    fn point(source: Source) -> Point {
        Point {
            id: "p".parse().unwrap(),
            name: Text {
                ko: String::new(),
                en: String::new(),
            },
            unit: String::new(),
            class: PollClass::Normal,
            source,
            mask: None,
            enumeration: None,
            invalid: vec![],
            range: None,
            deadband: 0.0,
            is_state: false,
            personal: None,
        }
    }

    fn register(kind: RegisterType, order: ByteOrder) -> Point {
        point(Source::Modbus {
            table: Table::HoldingRegister,
            addr: 101,
            kind,
            order,
        })
    }

    fn check(point: &Point, raw: Raw, value: Option<Value>, quality: Quality) {
        let decoded = decode(point, 100, &raw);
        assert_eq!(
            (decoded.value, decoded.quality),
            (value, quality),
            "{raw:?}"
        );
    }

    fn number(number: f64) -> Option<Value> {
        Some(Value::Number(number))
    }

    #[test]
    fn registers_are_read_in_every_type_and_byte_order() {
        use ByteOrder::{Abcd, Badc, Cdab, Dcba};
        use RegisterType::{I16, I32, U16, U32};
        for (kind, order, words, expected) in [
            (U16, Abcd, vec![0x1234], 4660.0),
            (U16, Badc, vec![0x3412], 4660.0),
            (I16, Abcd, vec![0xFFEC], -20.0),
            (U32, Abcd, vec![0x0001, 0x86A0], 100_000.0),
            (U32, Cdab, vec![0x86A0, 0x0001], 100_000.0),
            (U32, Badc, vec![0x0100, 0xA086], 100_000.0),
            (U32, Dcba, vec![0xA086, 0x0100], 100_000.0),
            (U32, Abcd, vec![0xFFFF, 0xFFFF], 4_294_967_295.0),
            (I32, Abcd, vec![0xFFFF, 0xFFFE], -2.0),
            (I32, Cdab, vec![0xFFFE, 0xFFFF], -2.0),
        ] {
            let mut registers = vec![0xDEAD];
            registers.extend(words);
            check(
                &register(kind, order),
                Raw::Registers(registers),
                number(expected),
                Quality::Good,
            );
        }
    }

    #[test]
    fn a_reply_that_is_too_short_is_bad_never_zero() {
        let point = register(RegisterType::U32, ByteOrder::Abcd);
        check(&point, Raw::Registers(vec![0, 1]), None, Quality::Bad);
        check(&point, Raw::Registers(vec![]), None, Quality::Bad);
        check(&point, Raw::Byte(0), None, Quality::Bad);
    }

    #[test]
    fn invalid_is_bad_and_out_of_range_is_suspect() {
        let mut point = register(RegisterType::U16, ByteOrder::Abcd);
        point.invalid = vec![255.0];
        point.range = Some((0.0, 100.0));
        for (word, value, quality) in [
            (0, number(0.0), Quality::Good),
            (100, number(100.0), Quality::Good),
            (101, number(101.0), Quality::Suspect),
            (255, None, Quality::Bad),
        ] {
            check(&point, Raw::Registers(vec![0, word]), value, quality);
        }
    }

    #[test]
    fn an_enumeration_knows_its_words_and_nothing_else() {
        let mut point = register(RegisterType::U16, ByteOrder::Abcd);
        let label = EnumLabel {
            id: "open".to_owned(),
            label: point.name.clone(),
        };
        point.mask = Some(0x1F);
        point.enumeration = Some(Enumeration::ByNumber(BTreeMap::from([(16, label)])));
        let open = Some(Value::Text("open".to_owned()));
        check(
            &point,
            Raw::Registers(vec![0, 16]),
            open.clone(),
            Quality::Good,
        );
        check(&point, Raw::Registers(vec![0, 0x30]), open, Quality::Good);
        check(&point, Raw::Registers(vec![0, 17]), None, Quality::Bad);
    }

    #[test]
    fn json_members_must_be_of_their_type() {
        let member = |kind| {
            point(Source::Frame {
                request: 0,
                path: "/a/b".to_owned(),
                kind,
            })
        };
        let reply = |text: &str| Raw::Json(serde_json::from_str(text).unwrap());
        check(
            &member(JsonType::Number),
            reply(r#"{"a":{"b":1.5}}"#),
            number(1.5),
            Quality::Good,
        );
        check(
            &member(JsonType::Number),
            reply(r#"{"a":{"b":"1.5"}}"#),
            None,
            Quality::Bad,
        );
        check(
            &member(JsonType::Number),
            reply(r#"{"a":{}}"#),
            None,
            Quality::Bad,
        );
        check(
            &member(JsonType::Bool),
            reply(r#"{"a":{"b":false}}"#),
            Some(Value::Bool(false)),
            Quality::Good,
        );
        check(
            &member(JsonType::Text),
            reply(r#"{"a":{"b":"x"}}"#),
            Some(Value::Text("x".to_owned())),
            Quality::Good,
        );
    }

    proptest! {
        #[test]
        fn any_32_bit_value_survives_any_byte_order(value: u32, order_index in 0usize..4) {
            let order = [ByteOrder::Abcd, ByteOrder::Dcba, ByteOrder::Badc, ByteOrder::Cdab][order_index];
            let [a, b, c, d] = value.to_be_bytes();
            let bytes = match order {
                ByteOrder::Abcd => [a, b, c, d],
                ByteOrder::Dcba => [d, c, b, a],
                ByteOrder::Badc => [b, a, d, c],
                ByteOrder::Cdab => [c, d, a, b],
            };
            let words = vec![0, u16::from_be_bytes([bytes[0], bytes[1]]), u16::from_be_bytes([bytes[2], bytes[3]])];
            let decoded = decode(&register(RegisterType::U32, order), 100, &Raw::Registers(words));
            prop_assert_eq!(decoded.value, Some(Value::Number(f64::from(value))));
            prop_assert_eq!(decoded.raw, Some(u64::from(value)));
        }
    }
}
