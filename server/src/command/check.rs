//! Whether a command may be given, and with which parameters. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::command::CommandRequest;
use contract::inventory::CommandType;
use contract::{DeviceId, Value};

use super::CommandError;
use crate::alarm::Actor;
use crate::identity::policy::{Denial, Permission, Place, Policy};
use crate::site::{Site, SiteDevice};

/// Whether this actor may give this command to this device.
pub(super) fn check<'a>(
    site: &'a Site,
    policy: &Policy,
    device: &DeviceId,
    request: &CommandRequest,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<(&'a SiteDevice, &'a CommandType), CommandError> {
    let who = &actor.principal;
    let found = site
        .device(device)
        .filter(|found| policy.may_see(who, &found.zone));
    let found = found.ok_or_else(|| CommandError::NoSuchDevice(device.clone()))?;
    if !found.approved {
        return Err(CommandError::Unregistered(device.clone()));
    }
    let kind = found
        .command_type(&request.name)
        .ok_or_else(|| CommandError::NotSupported {
            device: device.clone(),
            name: request.name.clone(),
        })?;
    let permission = Permission::to_command(kind.risk);
    policy
        .decide(who, permission, Place::In(&found.zone), now)
        .map_err(|denial| match denial {
            Denial::NotGranted => CommandError::Forbidden {
                name: request.name.clone(),
                zone: found.zone.clone(),
            },
            Denial::SecondFactorNeeded => CommandError::SecondFactorNeeded(request.name.clone()),
        })?;
    complete(kind, &request.params)?;
    Ok((found, kind))
}

/// The parameters with their defaults, each within its range.
pub(super) fn complete(
    kind: &CommandType,
    given: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Value>, CommandError> {
    let bad = |wrong: String| Err(CommandError::BadParameter(wrong));
    if let Some(unknown) = given
        .keys()
        .find(|name| kind.params.iter().all(|parameter| parameter.name != **name))
    {
        return bad(format!(
            "the command {:?} takes no parameter {unknown:?}",
            kind.name
        ));
    }
    let mut params = BTreeMap::new();
    for parameter in &kind.params {
        let number = match given.get(&parameter.name) {
            None => parameter.default,
            Some(Value::Number(number)) => *number,
            Some(other) => {
                return bad(format!(
                    "the parameter {:?} must be a number, not {other}",
                    parameter.name
                ));
            }
        };
        if !(parameter.min..=parameter.max).contains(&number) {
            let (name, min, max) = (&parameter.name, parameter.min, parameter.max);
            return bad(format!(
                "the parameter {name:?} must be between {min} and {max}, not {number}"
            ));
        }
        params.insert(parameter.name.clone(), Value::Number(number));
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::Text;
    use contract::command::Risk;
    use contract::inventory::Parameter;

    fn reboot() -> CommandType {
        let text = Text {
            ko: String::new(),
            en: String::new(),
        };
        let delay = Parameter {
            name: "delay".to_owned(),
            text: text.clone(),
            min: 0.0,
            max: 600.0,
            default: 10.0,
            unit: "s".to_owned(),
        };
        CommandType {
            name: "reboot".to_owned(),
            text,
            risk: Risk::Critical,
            confirm: true,
            ttl_ms: 5000,
            timeout_ms: 20_000,
            params: vec![delay],
        }
    }

    #[track_caller]
    fn check(given: &[(&str, Value)], expected: Result<f64, &str>) {
        let given = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        match (complete(&reboot(), &given), expected) {
            (Ok(params), Ok(number)) => assert_eq!(params["delay"], Value::Number(number)),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn parameters_are_completed_and_kept_in_their_range() {
        check(&[], Ok(10.0));
        check(&[("delay", Value::Number(600.0))], Ok(600.0));
        check(
            &[("delay", Value::Number(600.5))],
            Err("between 0 and 600, not 600.5"),
        );
        check(&[("delay", Value::Number(f64::NAN))], Err("between"));
        check(
            &[("delay", Value::Text("soon".to_owned()))],
            Err("must be a number, not soon"),
        );
        check(
            &[("speed", Value::Number(1.0))],
            Err("takes no parameter \"speed\""),
        );
    }
}
