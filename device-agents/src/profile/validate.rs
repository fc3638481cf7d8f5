//! From the words of a profile file to a profile that is right. Pure.
//!
//! Each message names the key and says what to do; the caller adds the file.

use std::collections::BTreeSet;
use std::time::Duration;

use contract::FaultCode;

use super::group::{Limits, group};
use super::raw::{
    RawDriver, RawEscpos, RawFault, RawFrame, RawFraming, RawModbus, RawPoll, RawProfile,
    RawRequest,
};
use super::{
    Demote, DriverSettings, EscposSettings, FaultRule, FrameSettings, ModbusSettings, Periods,
    Point, Profile, Source, Template,
};

mod command;
mod point;
mod test;
mod write;

/// The Modbus specification's own limits (Modbus Application Protocol V1.1b3, 6.1 and 6.3).
const MAX_REGISTERS: u16 = 125;
const MAX_BITS: u16 = 2000;

/// Faster than this, a poll class would starve its line rather than inform.
const MIN_PERIOD: Duration = Duration::from_millis(20);

/// No status of a machine is longer; what is would fill memory.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// Longer, a time-out would hold its whole line.
const MAX_TIMEOUT: Duration = Duration::from_secs(10);

/// What the checks of points and commands need to know of the file.
struct Context {
    driver: DriverSettings,
    default_order: super::ByteOrder,
    periods: Periods,
    requests: Vec<(String, contract::reading::PollClass)>,
}

pub(super) fn profile(raw: RawProfile, hash: String) -> Result<Profile, String> {
    let periods = periods(&raw.poll)?;
    let demote = Demote {
        after: raw.health.demote.after,
        first: raw.health.demote.first.0,
        max: raw.health.demote.max.0,
        factor: raw.health.demote.factor,
    };
    if demote.after == 0 || demote.factor == 0 || demote.first > demote.max {
        return Err(
            "[health] demote: `after` and `factor` must be at least 1, and `first` not above `max`"
                .to_owned(),
        );
    }
    let (driver, limits) = driver(&raw.driver, &raw.request)?;
    let context = Context {
        driver,
        default_order: point::default_order(&raw.driver),
        periods,
        requests: raw
            .request
            .iter()
            .map(|request| (request.id.clone(), request.poll))
            .collect(),
    };
    let points = point::points(&raw.point, &context)?;
    let faults = faults(&raw.fault, &points)?;
    let commands = command::commands(&raw.command, &points, &faults, &context)?;
    Ok(Profile {
        id: raw.profile.id,
        version: raw.profile.version,
        hash,
        name: raw.profile.name,
        class: raw.profile.class,
        driver: context.driver,
        periods,
        demote,
        blocks: group(&points, limits),
        points,
        faults,
        commands,
    })
}

fn periods(raw: &RawPoll) -> Result<Periods, String> {
    let periods = Periods {
        fast: raw.fast.map(|span| span.0),
        normal: raw.normal.map(|span| span.0),
        slow: raw.slow.map(|span| span.0),
    };
    for (name, period) in [
        ("fast", periods.fast),
        ("normal", periods.normal),
        ("slow", periods.slow),
    ] {
        if period.is_some_and(|period| period < MIN_PERIOD) {
            return Err(format!("[poll] {name} is too short: use at least 20ms"));
        }
    }
    Ok(periods)
}

fn timeout(span: Duration, key: &str) -> Result<Duration, String> {
    if span.is_zero() || span > MAX_TIMEOUT {
        return Err(format!(
            "[driver] {key} must be more than 0 and at most 10s"
        ));
    }
    Ok(span)
}

fn driver(raw: &RawDriver, requests: &[RawRequest]) -> Result<(DriverSettings, Limits), String> {
    if !matches!(raw, RawDriver::Frame(_))
        && let Some(request) = requests.first()
    {
        return Err(format!(
            "request \"{}\": only the frame driver has requests: remove it",
            request.id
        ));
    }
    // Only Modbus points can be merged beyond being the very same read.
    let no_limits = Limits {
        max_regs: 0,
        max_bits: 0,
        max_gap: 0,
    };
    match raw {
        RawDriver::Modbus(raw) => {
            let limits = limits(raw)?;
            let settings = ModbusSettings {
                timeout: timeout(raw.timeout.0, "timeout")?,
                min_gap: raw.min_gap.0.min(MAX_TIMEOUT),
                late: match &raw.late {
                    Some(late) => timeout(late.0, "late")?,
                    None => timeout(raw.timeout.0, "timeout")?,
                },
                max_regs: limits.max_regs,
                max_bits: limits.max_bits,
            };
            Ok((DriverSettings::Modbus(settings), limits))
        }
        RawDriver::Escpos(raw) => Ok((DriverSettings::Escpos(escpos(raw)?), no_limits)),
        RawDriver::Frame(raw) => {
            let settings = frame(raw, requests)?;
            Ok((DriverSettings::Frame(settings), no_limits))
        }
    }
}

fn limits(raw: &RawModbus) -> Result<Limits, String> {
    if !(1..=MAX_REGISTERS).contains(&raw.max_regs) || !(1..=MAX_BITS).contains(&raw.max_bits) {
        return Err(format!(
            "[driver] max_regs must be 1 to {MAX_REGISTERS} and max_bits 1 to {MAX_BITS}"
        ));
    }
    Ok(Limits {
        max_regs: raw.max_regs,
        max_bits: raw.max_bits,
        max_gap: raw.max_gap,
    })
}

fn escpos(raw: &RawEscpos) -> Result<EscposSettings, String> {
    let serial = raw
        .serial
        .settings()
        .map_err(|what| format!("[driver] {what}"))?;
    if raw.valid.value & !raw.valid.mask != 0 {
        return Err(
            "[driver] valid: `value` has bits that `mask` does not: no reply could pass".to_owned(),
        );
    }
    Ok(EscposSettings {
        serial,
        timeout: timeout(raw.timeout.0, "timeout")?,
        late: timeout(raw.late.0, "late")?,
        valid_mask: raw.valid.mask,
        valid_value: raw.valid.value,
    })
}

fn frame(raw: &RawFrame, requests: &[RawRequest]) -> Result<FrameSettings, String> {
    let RawFraming::Line { end, max } = &raw.framing;
    if end.is_empty() || !(1..=MAX_LINE_BYTES).contains(max) {
        return Err(format!(
            "[driver] framing: `end` must not be empty, and `max` be 1 to {MAX_LINE_BYTES}"
        ));
    }
    if !raw.correlate.starts_with('/') {
        return Err(format!(
            "[driver] correlate \"{}\" is no JSON pointer: start it with '/'",
            raw.correlate
        ));
    }
    Ok(FrameSettings {
        end: end.clone(),
        max_line_bytes: *max,
        correlate: raw.correlate.clone(),
        timeout: timeout(raw.timeout.0, "timeout")?,
        requests: frame_requests(requests)?,
    })
}

fn frame_requests(requests: &[RawRequest]) -> Result<Vec<Template>, String> {
    let mut seen = BTreeSet::new();
    requests
        .iter()
        .map(|request| {
            if !seen.insert(&request.id) {
                return Err(format!("request \"{}\" is defined twice: rename one", request.id));
            }
            let template = Template::parse(&request.send);
            if template.places().any(|place| place != "seq") || template.places().count() == 0 {
                return Err(format!(
                    "request \"{}\": send must hold {{seq}} and no other place, or a late reply could be taken for the next one",
                    request.id
                ));
            }
            Ok(template)
        })
        .collect()
}

fn faults(raw: &[RawFault], points: &[Point]) -> Result<Vec<FaultRule>, String> {
    let mut codes: BTreeSet<FaultCode> = BTreeSet::from([FaultCode::contact_lost()]);
    for rule in raw {
        if rule.code.is_contact_lost() {
            return Err(
                "fault \"COMM\" is built in: remove it, or give it another code".to_owned(),
            );
        }
        if !codes.insert(rule.code.clone()) {
            return Err(format!(
                "fault \"{}\" is defined twice: rename one",
                rule.code
            ));
        }
    }
    raw.iter()
        .map(|rule| {
            fault(rule, points, &codes).map_err(|what| format!("fault \"{}\": {what}", rule.code))
        })
        .collect()
}

fn fault(
    raw: &RawFault,
    points: &[Point],
    codes: &BTreeSet<FaultCode>,
) -> Result<FaultRule, String> {
    let Some(point) = &raw.when.point else {
        return Err("when must name a `point`".to_owned());
    };
    // Which faults hide which others is the server's to apply; a name that does not exist is still a mistake here.
    if let Some(code) = raw
        .suppress_when
        .iter()
        .chain(&raw.suppresses)
        .find(|code| !codes.contains(*code))
    {
        return Err(format!(
            "suppress_when/suppresses names \"{code}\", which is no fault of this profile: correct it"
        ));
    }
    let when = test::condition(point, &raw.when.test(), points)?;
    let on_delay = match (raw.when.r#for, raw.on_delay) {
        (Some(_), Some(_)) => {
            return Err(
                "`when.for` and `on_delay` say the same thing: keep one of them".to_owned(),
            );
        }
        (Some(span), None) | (None, Some(span)) => span.0,
        (None, None) => Duration::ZERO,
    };
    let off_delay = raw.off_delay.map_or(Duration::ZERO, |span| span.0);
    if points[when.point].class == contract::reading::PollClass::Once
        && !(on_delay.is_zero() && off_delay.is_zero())
    {
        return Err(format!(
            "point \"{point}\" is read once for each connection, so a delay would never end: poll it slow"
        ));
    }
    let detail = raw
        .detail
        .as_ref()
        .map(|detail| test::point_index(detail, points))
        .transpose()?;
    let has_place = |text: &str| text.contains("{value}");
    if has_place(&raw.text.ko) != has_place(&raw.text.en)
        || has_place(&raw.text.en) != detail.is_some()
    {
        return Err("text has {value} in both languages exactly when `detail` names a point: correct one of them".to_owned());
    }
    Ok(FaultRule {
        code: raw.code.clone(),
        severity: raw.severity,
        text: raw.text.clone(),
        when,
        detail,
        on_delay,
        off_delay,
    })
}

/// Whether `source` is one of `driver`'s; used to word one message for every kind.
fn belongs(source: &Source, driver: &DriverSettings) -> bool {
    matches!(
        (source, driver),
        (Source::Modbus { .. }, DriverSettings::Modbus(_))
            | (Source::Escpos { .. }, DriverSettings::Escpos(_))
            | (Source::Frame { .. }, DriverSettings::Frame(_))
    )
}
