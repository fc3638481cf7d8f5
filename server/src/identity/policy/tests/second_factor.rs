//! Of whom, and for what, a second factor is asked.

use super::*;

fn at_second(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

/// Everything for which a file may ask a second factor, alone: the right alone is not enough then, and without the right the
/// factor is not.
#[test]
fn what_the_file_asks_a_second_factor_for_is_denied_without() {
    let now = at_second(1000);
    for permission in Permission::ALL {
        let file = format!(
            "[second_factor]\npermissions = [\"{permission}\"]\nminutes = 1\n[role.supervisor]\nmay = [\"{permission}\"]"
        );
        let Ok(policy) = read(&file) else {
            assert!(!permission.may_wait(), "{permission}");
            continue;
        };
        assert!(permission.may_wait(), "{permission}");
        for (role, shown, expected) in [
            (Role::Supervisor, None, Err(Denial::SecondFactorNeeded)),
            (Role::Supervisor, Some(940), Err(Denial::SecondFactorNeeded)),
            (Role::Supervisor, Some(941), Ok(())),
            (Role::Viewer, Some(941), Err(Denial::NotGranted)),
            (Role::Viewer, None, Err(Denial::NotGranted)),
        ] {
            let mut who = somebody(&[role], &["*"]);
            who.proof.second_factor_at = shown;
            for place in [Place::In(&zone("p1")), Place::Anywhere] {
                let decided = policy.decide(&who, permission, place, now);
                assert_eq!(decided, expected, "{role} {permission} {shown:?}");
            }
        }
    }
}

#[test]
fn a_second_factor_is_asked_of_people_where_the_policy_says_so() {
    let policy = Policy::default();
    let shown = |roles: &[Role], at: Option<u64>| {
        let mut who = somebody(roles, &["*"]);
        who.proof.second_factor_at = at;
        who
    };
    let (critical, normal) = (Permission::CommandCritical, Permission::CommandNormal);
    for (roles, at, permission, expected) in [
        (&[Role::Technician][..], None, critical, true),
        (&[Role::Technician], Some(1000), critical, false),
        (&[Role::Technician], Some(1000 - 599), critical, false),
        (&[Role::Technician], Some(1000 - 600), critical, true),
        (&[Role::Technician], None, normal, false),
        (
            &[Role::Technician],
            None,
            Permission::CommandEmergency,
            false,
        ),
        (&[Role::Administrator], None, Permission::PeopleManage, true),
        (&[Role::Administrator], None, Permission::See, false),
        (
            &[Role::Administrator],
            None,
            Permission::CommandEmergency,
            false,
        ),
        (
            &[Role::Administrator],
            Some(1),
            Permission::PeopleManage,
            false,
        ),
    ] {
        let who = shown(roles, at);
        assert_eq!(
            policy.awaits_second_factor(&who, permission, at_second(1000)),
            expected,
            "{roles:?} {at:?} {permission}"
        );
        let mut program = shown(roles, None);
        program.proof.holder = Holder::Program;
        assert!(!policy.awaits_second_factor(&program, permission, at_second(1000)));
        // Whoever is called like the application that they use is a person all the same.
        let mut namesake = who.clone();
        namesake.proof.client = Some(namesake.subject.clone());
        for holder in [Holder::Person, Holder::Application(0)] {
            namesake.proof.holder = holder;
            let asked = policy.awaits_second_factor(&namesake, permission, at_second(1000));
            assert_eq!(asked, expected, "{holder:?}");
        }
    }
    let nobody = read("").unwrap();
    let who = shown(&[Role::Administrator], None);
    assert!(!nobody.awaits_second_factor(&who, critical, at_second(0)));
}
