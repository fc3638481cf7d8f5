//! What can be permitted: a closed set with stable names, which stand in policy files. Pure.

use std::fmt;
use std::str::FromStr;

use contract::Destination;
use contract::command::Risk;
use contract::destination::AlarmAction;

/// Something that a role may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Looks at devices and alarms.
    See,
    /// Says "I have seen this alarm".
    AlarmAcknowledge,
    /// Gives commands that only ask.
    CommandView,
    /// Gives the commands of the day's work.
    CommandNormal,
    /// Gives commands that interrupt service or need care.
    CommandCritical,
    /// Gives commands that must never be hindered.
    CommandEmergency,
    /// Approves devices that were announced.
    DeviceApprove,
    /// Sees a number plate unmasked.
    PlateReveal,
    /// Reports what equipment does.
    Report,
    /// Is given commands for its equipment.
    CommandsReceive,
    /// Gives out access to people.
    PeopleManage,
    /// Reads what people did.
    AuditRead,
    /// Calls tokens of others back.
    TokenRevoke,
}

/// How far a permission reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In each of one's zones.
    Zone,
    /// Over the whole site at once: whoever does not have every zone does not have it.
    Site,
    /// For oneself; zones are looked at elsewhere, as in an inventory.
    Own,
}

impl Permission {
    /// Every permission, in the order in which they are shown.
    pub const ALL: [Self; 13] = [
        Self::See,
        Self::AlarmAcknowledge,
        Self::CommandView,
        Self::CommandNormal,
        Self::CommandCritical,
        Self::CommandEmergency,
        Self::DeviceApprove,
        Self::PlateReveal,
        Self::Report,
        Self::CommandsReceive,
        Self::PeopleManage,
        Self::AuditRead,
        Self::TokenRevoke,
    ];

    /// Its name in policy files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::See => "see",
            Self::AlarmAcknowledge => "alarm.acknowledge",
            Self::CommandView => "command.view",
            Self::CommandNormal => "command.normal",
            Self::CommandCritical => "command.critical",
            Self::CommandEmergency => "command.emergency",
            Self::DeviceApprove => "device.approve",
            Self::PlateReveal => "plate.reveal",
            Self::Report => "report",
            Self::CommandsReceive => "commands.receive",
            Self::PeopleManage => "people.manage",
            Self::AuditRead => "audit.read",
            Self::TokenRevoke => "token.revoke",
        }
    }

    /// What it takes to give a command of this risk.
    pub fn to_command(risk: Risk) -> Self {
        match risk {
            Risk::View => Self::CommandView,
            Risk::Normal => Self::CommandNormal,
            Risk::Critical => Self::CommandCritical,
            Risk::Emergency => Self::CommandEmergency,
        }
    }

    /// What whoever sends there must be permitted, once the message has got in: one of these, or nothing.
    pub fn to_send(destination: &Destination) -> &'static [Self] {
        if destination.is_report() {
            return &[Self::Report];
        }
        match destination {
            Destination::AlarmAction(_, AlarmAction::Acknowledge) => &[Self::AlarmAcknowledge],
            Destination::DeviceCommands(_) => &[
                Self::CommandView,
                Self::CommandNormal,
                Self::CommandCritical,
                Self::CommandEmergency,
            ],
            _ => &[],
        }
    }

    /// Whether a second factor can be asked for it. What is only looked at and what cannot wait must never be hindered;
    /// machines have none to show.
    pub fn may_wait(self) -> bool {
        match self {
            Self::See | Self::CommandEmergency | Self::Report | Self::CommandsReceive => false,
            Self::AlarmAcknowledge
            | Self::CommandView
            | Self::CommandNormal
            | Self::CommandCritical
            | Self::DeviceApprove
            | Self::PlateReveal
            | Self::PeopleManage
            | Self::AuditRead
            | Self::TokenRevoke => true,
        }
    }

    /// How far it reaches.
    pub fn scope(self) -> Scope {
        match self {
            Self::See
            | Self::AlarmAcknowledge
            | Self::CommandView
            | Self::CommandNormal
            | Self::CommandCritical
            | Self::CommandEmergency
            | Self::DeviceApprove
            | Self::PlateReveal => Scope::Zone,
            Self::PeopleManage | Self::AuditRead | Self::TokenRevoke => Scope::Site,
            Self::Report | Self::CommandsReceive => Scope::Own,
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no permission: use {known}", known = list(Permission::ALL.map(Permission::as_str)))]
pub struct UnknownPermission(String);

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or_else(|| UnknownPermission(text.to_owned()))
    }
}

/// "a, b or c".
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_reads_back_as_itself() {
        for permission in Permission::ALL {
            assert_eq!(permission.as_str().parse(), Ok(permission));
        }
        let unknown = "alarm.ack".parse::<Permission>().unwrap_err().to_string();
        assert!(
            unknown.starts_with("\"alarm.ack\" is no permission: use see, alarm.acknowledge,"),
            "{unknown}"
        );
        assert!(unknown.ends_with("audit.read or token.revoke"), "{unknown}");
    }
}
