//! How a SEND or SUBSCRIBE is refused: told apart are only mistakes that tell nobody what there is. Pure.

use broker::{Action, Denied};
use contract::Destination;
use contract::destination::{AlarmAction, OWN};

use crate::identity::policy::{Lack, Refused, Right};
use crate::site::Site;

/// Tells a mistyped device to whoever may see all of them; others hear the same of a device elsewhere and of none.
pub(super) fn exists(site: &Site, destination: &str) -> Result<(), Denied> {
    match destination.parse::<Destination>() {
        Ok(Destination::Device(device)) if site.known(&device).is_none() => {
            let message = format!("there is no device {device}");
            Err(Denied::new("no-such-device", message))
        }
        _ => Ok(()),
    }
}

/// Which destinations there are is no secret, so a mistyped one is told as such. Which zones and devices there are may be:
/// of those, all that is refused is refused in the same words.
pub(super) fn denied(refused: Refused<'_>, right: Right, destination: &str) -> Denied {
    let verb = right.verb();
    match refused {
        Refused::Malformed => Denied::new(
            "bad-destination",
            format!("you may not {verb} {destination}: destinations are not written like this"),
        ),
        Refused::Nothing if !is_known(destination) => Denied::new(
            "unknown-destination",
            format!("you may not {verb} {destination}: there is no such destination"),
        ),
        Refused::Nearest(_, Lack::Wider | Lack::EveryZone) => Denied::forbidden(format!(
            "you may not {verb} all of {destination}: that is more than you were granted"
        )),
        Refused::Nothing | Refused::Nearest(..) => {
            Denied::forbidden(format!("you may not {verb} {destination}"))
        }
    }
}

/// What somebody wanted who may not, and on what, in the words of the audit.
pub(super) fn tried(action: Action, destination: &str) -> (&'static str, String) {
    if action == Action::Subscribe {
        return ("message.subscribe", destination.to_owned());
    }
    match destination.parse() {
        Ok(Destination::DeviceCommands(device)) => ("command.give", device.to_string()),
        Ok(Destination::AlarmAction(alarm, AlarmAction::Acknowledge)) => {
            ("alarm.acknowledge", alarm.to_string())
        }
        _ => ("message.send", destination.to_owned()),
    }
}

/// Whether it is a destination of ours, or a queue, which may have any name, or a pattern.
fn is_known(destination: &str) -> bool {
    let below = |path: &str| {
        destination
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    destination.contains('*')
        || !OWN.into_iter().any(below)
        || destination.parse::<Destination>().is_ok()
}
