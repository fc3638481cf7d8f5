//! Checks points: sources within limits, the manual's numbers, samples, enumerations. Pure.

use std::collections::{BTreeMap, BTreeSet};

use contract::reading::PollClass;

use super::super::raw::{RawByteOrder, RawDriver, RawLabel, RawPoint, RawRole, RawTable, RawType};
use super::super::{
    ByteOrder, EnumLabel, Enumeration, JsonType, Point, RegisterType, Source, Table,
};
use super::{Context, belongs};
use crate::point::{Raw, decode};

pub(super) fn default_order(raw: &RawDriver) -> ByteOrder {
    match raw {
        RawDriver::Modbus(raw) => byte_order(raw.byte_order),
        RawDriver::Escpos(_) | RawDriver::Frame(_) => ByteOrder::Abcd,
    }
}

fn byte_order(raw: RawByteOrder) -> ByteOrder {
    match raw {
        RawByteOrder::Abcd => ByteOrder::Abcd,
        RawByteOrder::Dcba => ByteOrder::Dcba,
        RawByteOrder::Badc => ByteOrder::Badc,
        RawByteOrder::Cdab => ByteOrder::Cdab,
    }
}

pub(super) fn table(raw: RawTable) -> Table {
    match raw {
        RawTable::Coil => Table::Coil,
        RawTable::Discrete => Table::DiscreteInput,
        RawTable::Input => Table::InputRegister,
        RawTable::Holding => Table::HoldingRegister,
    }
}

pub(super) fn points(raw: &[RawPoint], context: &Context) -> Result<Vec<Point>, String> {
    let mut seen = BTreeSet::new();
    let mut states = 0;
    let mut points = Vec::with_capacity(raw.len());
    for raw in raw {
        let point = point(raw, context).map_err(|what| format!("point \"{}\": {what}", raw.id))?;
        if !seen.insert(point.id.clone()) {
            return Err(format!(
                "point \"{}\" is defined twice: rename one",
                point.id
            ));
        }
        states += usize::from(point.is_state);
        points.push(point);
    }
    if states > 1 {
        return Err("more than one point has role = \"state\": keep one".to_owned());
    }
    if points.is_empty() {
        return Err("there is no [[point]]: a device without points cannot be watched".to_owned());
    }
    Ok(points)
}

fn point(raw: &RawPoint, context: &Context) -> Result<Point, String> {
    let (source, class) = source(raw, context)?;
    if !belongs(&source, &context.driver) {
        return Err(format!(
            "its keys are not those of the {} driver: use table and addr for modbus, query for escpos, from and path for frame",
            context.driver.kind()
        ));
    }
    if class != PollClass::Once && context.periods.of(class).is_none() {
        return Err("its poll class has no period: add it under [poll]".to_owned());
    }
    if raw.range.is_some_and(|(low, high)| low > high) {
        return Err("range is the wrong way round: write [low, high]".to_owned());
    }
    let deadband = raw.deadband.unwrap_or(0.0);
    if !(deadband.is_finite() && deadband >= 0.0) {
        return Err("deadband must be 0 or more".to_owned());
    }
    let numeric = !matches!(raw.kind, RawType::Bool | RawType::String) && raw.labels.is_empty();
    if !numeric && (raw.range.is_some() || raw.deadband.is_some() || !raw.invalid.is_empty()) {
        return Err("range, deadband and invalid are for numbers: remove them".to_owned());
    }
    let point = Point {
        id: raw.id.clone(),
        name: raw.name.clone(),
        unit: raw.unit.clone(),
        class,
        enumeration: enumeration(raw)?,
        mask: raw.mask,
        source,
        invalid: raw.invalid.clone(),
        range: raw.range,
        deadband,
        is_state: raw.role == Some(RawRole::State),
        personal: raw.personal,
    };
    check_sample(raw, &point)?;
    Ok(point)
}

fn source(raw: &RawPoint, context: &Context) -> Result<(Source, PollClass), String> {
    match (raw.table, raw.addr, raw.query, &raw.from, &raw.path) {
        (Some(raw_table), Some(addr), None, None, None) => {
            let table = table(raw_table);
            let kind = register_type(raw.kind, table)?;
            check_reference(raw, table, addr)?;
            if u32::from(addr) + u32::from(kind.width()) > 65_536 {
                return Err("addr is beyond the last register: correct it".to_owned());
            }
            let order = raw.byte_order.map_or(context.default_order, byte_order);
            if raw.byte_order.is_some() && kind.width() == 1 && table.is_bits() {
                return Err("a bit has no byte_order: remove it".to_owned());
            }
            let source = Source::Modbus {
                table,
                addr,
                kind,
                order,
            };
            Ok((source, explicit_class(raw)?))
        }
        (None, None, Some(query), None, None) => {
            if !(1..=4).contains(&query) || raw.kind != RawType::Bits8 {
                return Err("query must be 1 to 4, and type \"bits8\"".to_owned());
            }
            Ok((Source::Escpos { query }, explicit_class(raw)?))
        }
        (None, None, None, Some(from), Some(path)) => {
            let found = context.requests.iter().position(|(id, _)| id == from);
            let request = found.ok_or_else(|| {
                format!("there is no request \"{from}\": add it or correct `from`")
            })?;
            if raw.poll.is_some() {
                return Err("its poll class is that of its request: remove `poll`".to_owned());
            }
            if !path.starts_with('/') {
                return Err(format!(
                    "path \"{path}\" is no JSON pointer: start it with '/'"
                ));
            }
            let kind = match raw.kind {
                RawType::Bool => JsonType::Bool,
                RawType::F64 => JsonType::Number,
                RawType::String => JsonType::Text,
                RawType::U16
                | RawType::I16
                | RawType::U32
                | RawType::I32
                | RawType::Bits8
                | RawType::Bits16 => {
                    return Err("type must be bool, f64 or string in JSON".to_owned());
                }
            };
            let source = Source::Frame {
                request,
                path: path.clone(),
                kind,
            };
            Ok((source, context.requests[request].1))
        }
        _ => Err(
            "say where it comes from: table and addr (modbus), query (escpos), or from and path (frame), and nothing else"
                .to_owned(),
        ),
    }
}

fn explicit_class(raw: &RawPoint) -> Result<PollClass, String> {
    raw.poll.ok_or_else(|| {
        "say how often it is read: poll = \"fast\", \"normal\", \"slow\" or \"once\"".to_owned()
    })
}

fn register_type(raw: RawType, table: Table) -> Result<RegisterType, String> {
    let kind = match raw {
        RawType::Bool => RegisterType::Bool,
        RawType::U16 => RegisterType::U16,
        RawType::I16 => RegisterType::I16,
        RawType::U32 => RegisterType::U32,
        RawType::I32 => RegisterType::I32,
        RawType::Bits16 => RegisterType::Bits16,
        RawType::Bits8 | RawType::F64 | RawType::String => {
            return Err(
                "type must be bool, u16, i16, u32, i32 or bits16 in a Modbus table".to_owned(),
            );
        }
    };
    if table.is_bits() != (kind == RegisterType::Bool) {
        return Err(
            "type bool is for coils and discrete inputs, the others for registers".to_owned(),
        );
    }
    Ok(kind)
}

/// Manuals count from 1 and write the table as the first digit: `40101` is holding register 100.
fn check_reference(raw: &RawPoint, table: Table, addr: u16) -> Result<(), String> {
    let Some(reference) = &raw.reference else {
        return Ok(());
    };
    let digit = match table {
        Table::Coil => '0',
        Table::DiscreteInput => '1',
        Table::InputRegister => '3',
        Table::HoldingRegister => '4',
    };
    let number: Option<u32> = reference
        .strip_prefix(digit)
        .filter(|rest| matches!(rest.len(), 4 | 5))
        .and_then(|rest| rest.parse().ok());
    match number {
        Some(number) if number == u32::from(addr) + 1 => Ok(()),
        Some(number) if number >= 1 => Err(format!(
            "ref \"{reference}\" is address {}, but addr says {addr}: correct one of them (addr counts from 0)",
            number - 1
        )),
        _ => Err(format!(
            "ref \"{reference}\" is not of the point's table: it must be {digit} and 4 or 5 digits"
        )),
    }
}

fn enumeration(raw: &RawPoint) -> Result<Option<Enumeration>, String> {
    if raw.labels.is_empty() {
        return Ok(None);
    }
    let label = |raw: &RawLabel| EnumLabel {
        id: raw.id.clone(),
        label: raw.label.clone(),
    };
    if raw.kind == RawType::String {
        let labels: BTreeMap<_, _> = raw
            .labels
            .iter()
            .map(|(key, raw)| (key.clone(), label(raw)))
            .collect();
        return Ok(Some(Enumeration::ByText(labels)));
    }
    if matches!(raw.kind, RawType::Bool | RawType::F64) {
        return Err("an enum needs a type of whole numbers or strings".to_owned());
    }
    let mut labels = BTreeMap::new();
    for (key, raw) in &raw.labels {
        let number = match key.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => key.parse().ok(),
        };
        let number = number
            .ok_or_else(|| format!("enum key \"{key}\" is no number: write it as 16 or 0x10"))?;
        if labels.insert(number, label(raw)).is_some() {
            return Err(format!("enum key \"{key}\" is there twice: keep one"));
        }
    }
    Ok(Some(Enumeration::ByNumber(labels)))
}

fn check_sample(raw: &RawPoint, point: &Point) -> Result<(), String> {
    let Source::Modbus {
        table, addr, kind, ..
    } = &point.source
    else {
        return match raw.sample {
            Some(_) => Err("a sample is for registers: remove it".to_owned()),
            None => Ok(()),
        };
    };
    let Some(sample) = &raw.sample else {
        // Word order cannot be seen in a manual's table; one sample settles it.
        return if kind.width() > 1 {
            Err("a value of two registers needs a sample = { regs = [..], value = .. } that proves its byte_order".to_owned())
        } else {
            Ok(())
        };
    };
    if table.is_bits() || sample.regs.len() != usize::from(kind.width()) {
        return Err(format!("sample.regs must be {} register(s)", kind.width()));
    }
    let decoded = decode(point, *addr, &Raw::Registers(sample.regs.clone()));
    if decoded.value.as_ref() == Some(&sample.value) {
        Ok(())
    } else {
        Err(format!(
            "sample decodes to {}, but says {}: correct type, byte_order or the sample",
            decoded
                .value
                .map_or_else(|| "no value".to_owned(), |value| value.to_string()),
            sample.value
        ))
    }
}
