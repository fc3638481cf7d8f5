//! Who may do what: the one place where rights are decided, for pages, API and STOMP alike. Pure.

use contract::command::Risk;
use contract::{Role, ZoneId};

use super::principal::{Principal, Zones};

impl Principal {
    fn has_any(&self, roles: &[Role]) -> bool {
        self.roles.iter().any(|role| roles.contains(role))
    }

    /// May look at a zone: people, and programs with the role of one. Agents report, they do not look.
    pub fn may_see(&self, zone: &ZoneId) -> bool {
        self.may_look() && self.zones.contains(zone)
    }

    /// May look at what spans the zones.
    pub fn may_see_all(&self) -> bool {
        self.may_look() && self.zones == Zones::All
    }

    fn may_look(&self) -> bool {
        self.has_any(&[
            Role::Viewer,
            Role::Operator,
            Role::Technician,
            Role::Supervisor,
            Role::Administrator,
        ])
    }

    /// May do something to some alarm or some device, somewhere.
    pub fn may_act(&self) -> bool {
        self.has_any(&[Role::Operator, Role::Technician, Role::Supervisor])
    }

    /// May say "I have seen this alarm" in a zone.
    pub fn may_acknowledge(&self, zone: &ZoneId) -> bool {
        self.has_any(&[Role::Operator, Role::Technician, Role::Supervisor])
            && self.zones.contains(zone)
    }

    /// May give a command of this risk to a device of a zone.
    pub fn may_command(&self, risk: Risk, zone: &ZoneId) -> bool {
        let enough: &[Role] = match risk {
            Risk::View | Risk::Normal | Risk::Emergency => {
                &[Role::Operator, Role::Technician, Role::Supervisor]
            }
            Risk::Critical => &[Role::Technician, Role::Supervisor],
        };
        self.has_any(enough) && self.zones.contains(zone)
    }

    /// May approve a device that was announced in a zone.
    pub fn may_approve_devices(&self, zone: &ZoneId) -> bool {
        self.has_any(&[Role::Administrator]) && self.zones.contains(zone)
    }

    /// May see the whole number plates of a zone, with a reason.
    pub fn may_reveal_plates(&self, zone: &ZoneId) -> bool {
        self.has_any(&[Role::Operator, Role::Supervisor]) && self.zones.contains(zone)
    }

    /// May read what everybody did: it spans the zones.
    pub fn may_read_audit(&self) -> bool {
        self.has_any(&[Role::Supervisor, Role::Administrator]) && self.zones == Zones::All
    }

    /// May report as a device-agent.
    pub fn may_report(&self) -> bool {
        self.has_any(&[Role::Agent])
    }

    /// Equipment, or what speaks for it: without it nobody sees anything, so people may not take its place.
    pub fn is_machine(&self) -> bool {
        self.has_any(&[Role::Agent, Role::Device])
    }

    /// May hear of its own commands and refusals: everybody who is somebody.
    pub fn may_receive_commands(&self) -> bool {
        self.has_any(&[Role::Agent, Role::Device])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::principal::Proof;

    fn somebody(role: Role, zones: &[&str]) -> Principal {
        let zones: Vec<String> = zones.iter().map(|zone| (*zone).to_owned()).collect();
        Principal {
            subject: "somebody".to_owned(),
            full_name: String::new(),
            roles: vec![role],
            zones: Zones::from_words(&zones).unwrap(),
            proof: Proof::default(),
        }
    }

    #[test]
    fn the_whole_table_of_rights_in_ones_own_zone() {
        // Sees, acknowledges, normal, critical, approves, reports, is a machine.
        for (role, rights) in [
            (Role::Viewer, "s......"),
            (Role::Operator, "san...."),
            (Role::Technician, "sanc..."),
            (Role::Supervisor, "sanc..."),
            (Role::Administrator, "s...p.."),
            (Role::Agent, ".....rm"),
            (Role::Device, "......m"),
            (Role::Program, "......."),
        ] {
            let zone: ZoneId = "p1".parse().unwrap();
            let who = somebody(role, &["p1"]);
            let has: String = [
                ('s', who.may_see(&zone)),
                ('a', who.may_acknowledge(&zone)),
                ('n', who.may_command(Risk::Normal, &zone)),
                ('c', who.may_command(Risk::Critical, &zone)),
                ('p', who.may_approve_devices(&zone)),
                ('r', who.may_report()),
                ('m', who.is_machine()),
            ]
            .into_iter()
            .map(|(letter, may)| if may { letter } else { '.' })
            .collect();
            assert_eq!(has, rights, "{role}");
        }
    }

    #[test]
    fn rights_end_at_the_zone() {
        let elsewhere: ZoneId = "p2".parse().unwrap();
        let who = somebody(Role::Supervisor, &["p1"]);
        assert!(!who.may_see(&elsewhere) && !who.may_acknowledge(&elsewhere));
        assert!(
            !who.may_command(Risk::Normal, &elsewhere)
                && !who.may_command(Risk::Emergency, &elsewhere)
        );
        assert!(!who.may_see_all());
        assert!(!somebody(Role::Administrator, &["p1"]).may_approve_devices(&elsewhere));
        assert!(somebody(Role::Viewer, &["*"]).may_see(&elsewhere));
        assert!(somebody(Role::Viewer, &["p1", "*"]).may_see_all());
    }
}
