//! Checks commands: actions that fit the driver, interlocks and verifications that refer to something. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use contract::{FaultCode, PointId};

use super::super::raw::{RawCommand, RawInterlock, RawParam, RawTest, RawVerify};
use super::super::{
    Action, CommandType, DriverSettings, FaultRule, Feedback, Interlock, JsonType, Parameter,
    Point, Source, Template, Verify, VerifyStep,
};
use super::{Context, test};

/// An interlock on data older than this means nothing at a barrier, unless the profile says otherwise.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(2);

/// What the checks of one command need to know.
struct Names<'a> {
    points: &'a [Point],
    faults: &'a [FaultRule],
    context: &'a Context,
}

pub(super) fn commands(
    raw: &[RawCommand],
    points: &[Point],
    faults: &[FaultRule],
    context: &Context,
) -> Result<Vec<CommandType>, String> {
    let names = Names {
        points,
        faults,
        context,
    };
    let mut seen = BTreeSet::new();
    raw.iter()
        .map(|raw| {
            if !seen.insert(&raw.name) {
                return Err(format!(
                    "command \"{}\" is defined twice: rename one",
                    raw.name
                ));
            }
            names
                .command(raw)
                .map_err(|what| format!("command \"{}\": {what}", raw.name))
        })
        .collect()
}

impl Names<'_> {
    fn command(&self, raw: &RawCommand) -> Result<CommandType, String> {
        let params = raw
            .params
            .iter()
            .map(parameter)
            .collect::<Result<Vec<_>, _>>()?;
        if raw.expire.0.is_zero() {
            return Err(
                "expire must be more than 0, or the command could never be given".to_owned(),
            );
        }
        Ok(CommandType {
            name: raw.name.clone(),
            text: raw.text.clone(),
            risk: raw.risk,
            confirm: raw.confirm,
            preempts: raw.preempts,
            action: self.action(raw, &params)?,
            interlocks: raw
                .interlock
                .iter()
                .map(|raw| self.interlock(raw))
                .collect::<Result<_, _>>()?,
            verify: self.verify(&raw.verify, &params)?,
            params,
            expire: raw.expire.0,
        })
    }

    fn action(&self, raw: &RawCommand, params: &[Parameter]) -> Result<Action, String> {
        let action = match (&raw.write, &raw.send, &raw.raw, &raw.reply) {
            (Some(writes), None, None, None) if !writes.is_empty() => Action::Modbus(
                writes
                    .iter()
                    .map(super::write::register_write)
                    .collect::<Result<_, _>>()?,
            ),
            (None, Some(send), None, Some(reply)) => {
                let request = Template::parse(send);
                let known = |place: &str| {
                    place == "cmd_id" || params.iter().any(|param| param.name == place)
                };
                if let Some(place) = request.places().find(|place| !known(place)) {
                    return Err(format!(
                        "send has a place {{{place}}} that is no parameter: use {{cmd_id}} or a parameter's name"
                    ));
                }
                if !request.places().any(|place| place == "cmd_id") {
                    return Err(
                        "send must hold {cmd_id}, which the reply repeats: add it".to_owned()
                    );
                }
                Action::Frame {
                    request,
                    ok_path: reply.path.clone(),
                    ok_value: reply.eq.clone(),
                    within: reply.within.0,
                }
            }
            (None, None, Some(bytes), None) => Action::Raw(bytes_of(bytes)?),
            _ => {
                return Err("say what goes to the wire: write (modbus), raw (escpos), or send with reply (frame), and nothing else".to_owned());
            }
        };
        let fits = matches!(
            (&action, &self.context.driver),
            (Action::Modbus(_), DriverSettings::Modbus(_))
                | (Action::Raw(_), DriverSettings::Escpos(_))
                | (Action::Frame { .. }, DriverSettings::Frame(_))
        );
        if fits {
            Ok(action)
        } else {
            Err(format!(
                "the {} driver cannot do that: use write for modbus, raw for escpos, send with reply for frame",
                self.context.driver.kind()
            ))
        }
    }

    fn fault_index(&self, code: &FaultCode) -> Result<usize, String> {
        self.faults
            .iter()
            .position(|rule| rule.code == *code)
            .ok_or_else(|| {
                format!("there is no fault \"{code}\": correct the code or add the fault")
            })
    }

    fn interlock(&self, raw: &RawInterlock) -> Result<Interlock, String> {
        let fault = |code: &FaultCode, active| {
            let rule = if code.is_contact_lost() {
                None
            } else {
                Some(self.fault_index(code)?)
            };
            Ok(Interlock::Fault { rule, active })
        };
        match (&raw.point, &raw.fault, &raw.not) {
            (Some(point), None, None) => Ok(Interlock::Reading {
                condition: test::condition(point, &raw.test(), self.points)?,
                max_age: raw.max_age.map_or(DEFAULT_MAX_AGE, |span| span.0),
            }),
            (None, Some(code), None) => fault(code, true),
            (None, None, Some(not)) => fault(&not.fault, false),
            _ => Err(
                "an interlock is { point = .., test }, { fault = .. } or { not = { fault = .. } }"
                    .to_owned(),
            ),
        }
    }

    fn verify(&self, raw: &RawVerify, params: &[Parameter]) -> Result<Verify, String> {
        let plus_param = raw
            .plus
            .as_ref()
            .map(|name| {
                params
                    .iter()
                    .position(|param| param.name == *name)
                    .ok_or_else(|| {
                        format!("verify.plus names \"{name}\", which is no parameter: correct it")
                    })
            })
            .transpose()?;
        let mut steps = vec![self.step(raw, raw.point.as_ref())?];
        if let Some(last) = &raw.r#final {
            if last.r#final.is_some() || last.plus.is_some() {
                return Err("verify.final has itself neither `final` nor `plus`".to_owned());
            }
            let point = match last.no_fault {
                Some(_) => None,
                None => last.point.as_ref().or(raw.point.as_ref()),
            };
            steps.push(self.step(last, point)?);
        }
        Ok(Verify { steps, plus_param })
    }

    /// `point` is the step's own, or that of the step before it.
    fn step(&self, raw: &RawVerify, point: Option<&PointId>) -> Result<VerifyStep, String> {
        let within = raw.within.ok_or("verify must say `within` what time")?.0;
        if within.is_zero() {
            return Err("verify.within must be more than 0".to_owned());
        }
        let feedback = match (point, &raw.no_fault, raw.restarted, &raw.or_still_in) {
            (Some(point), None, None, None) => {
                Feedback::Holds(test::condition(point, &raw.test(), self.points)?)
            }
            (Some(point), None, None, Some(values)) => {
                let still = RawTest {
                    one_of: Some(values.clone()),
                    ..RawTest::default()
                };
                Feedback::HoldsOrStill {
                    condition: test::condition(point, &raw.test(), self.points)?,
                    still: test::condition(point, &still, self.points)?,
                }
            }
            (Some(point), None, Some(true), None) => {
                let index = test::point_index(point, self.points)?;
                if !counts_seconds(&self.points[index]) {
                    return Err(format!(
                        "verify.restarted: point \"{point}\" must be a number of unit \"s\""
                    ));
                }
                Feedback::Restarted(index)
            }
            (None, Some(code), None, None) => Feedback::NoFault(self.fault_index(code)?),
            _ => {
                return Err("verify is { point = .., test }, { point = .., test, or_still_in = [..] }, { point = .., restarted = true } or { no_fault = .. }".to_owned());
            }
        };
        Ok(VerifyStep { feedback, within })
    }
}

fn counts_seconds(point: &Point) -> bool {
    let numeric = match &point.source {
        Source::Frame { kind, .. } => *kind == JsonType::Number,
        Source::Modbus { table, .. } => !table.is_bits(),
        Source::Escpos { .. } => false,
    };
    numeric && point.enumeration.is_none() && point.unit == "s"
}

fn parameter(raw: &RawParam) -> Result<Parameter, String> {
    let in_order = raw.min <= raw.default && raw.default <= raw.max;
    let name_is_place = !raw.name.is_empty()
        && raw
            .name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if !in_order || raw.min < 0.0 && raw.unit == "s" {
        return Err(format!(
            "parameter \"{}\": min, default and max must rise, and no time be negative",
            raw.name
        ));
    }
    if !name_is_place || raw.name == "cmd_id" || raw.name == "seq" {
        return Err(format!(
            "parameter \"{}\": use a-z and '_' for its name, and neither cmd_id nor seq",
            raw.name
        ));
    }
    Ok(Parameter {
        name: raw.name.clone(),
        text: raw.text.clone(),
        min: raw.min,
        max: raw.max,
        default: raw.default,
        unit: raw.unit.clone(),
    })
}

fn bytes_of(hex: &str) -> Result<Vec<u8>, String> {
    let bytes: Option<Vec<u8>> = hex
        .split_ascii_whitespace()
        .map(|pair| {
            (pair.len() == 2)
                .then(|| u8::from_str_radix(pair, 16).ok())
                .flatten()
        })
        .collect();
    match bytes {
        Some(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => Err(format!(
            "raw \"{hex}\" is not hexadecimal: write it as \"10 05 02\""
        )),
    }
}
