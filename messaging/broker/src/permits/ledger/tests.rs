//! Tables of who is turned away, and the bounds as properties.

use proptest::prelude::*;

use super::*;

fn bounds() -> BrokerConfig {
    BrokerConfig {
        sessions: 6,
        sessions_reserved: 2,
        sessions_per_subject: 3,
        sessions_per_address: 2,
        unauthenticated: 4,
        unauthenticated_per_address: 3,
        proxies: vec!["10.0.0.1".parse().unwrap()],
        ..BrokerConfig::default()
    }
}

/// Strangers come one after the other; which of them (by number) had to go for the last.
fn check_strangers(addresses: &[&str], expected: Option<u64>) {
    let mut ledger = Ledger::new(bounds());
    let mut displaced = None;
    for address in addresses {
        displaced = ledger.arrive(address.parse().unwrap()).1;
    }
    assert_eq!(displaced, expected.map(Ticket), "{addresses:?}");
}

#[test]
fn the_oldest_stranger_of_the_fullest_address_goes() {
    check_strangers(&["1.1.1.1", "1.1.1.1", "1.1.1.1", "2.2.2.2"], None);
    // Its own address is full, although the house is not.
    check_strangers(&["1.1.1.1", "1.1.1.1", "1.1.1.1", "1.1.1.1"], Some(0));
    // The house is full: whoever has most gives way.
    check_strangers(
        &["2.2.2.2", "1.1.1.1", "1.1.1.1", "1.1.1.1", "3.3.3.3"],
        Some(1),
    );
    // Nobody has most: who has waited longest.
    check_strangers(
        &["4.4.4.4", "1.1.1.1", "2.2.2.2", "3.3.3.3", "5.5.5.5"],
        Some(0),
    );
    // The newcomer is one of the two that share an address.
    check_strangers(
        &["4.4.4.4", "1.1.1.1", "2.2.2.2", "3.3.3.3", "2.2.2.2"],
        Some(2),
    );
}

#[test]
fn addresses_are_told_apart_by_network() {
    // One machine has a whole /64.
    check_strangers(
        &[
            "2001:db8::1",
            "2001:db8::2",
            "2001:db8::3",
            "2001:db8::ffff:4",
        ],
        Some(0),
    );
    check_strangers(
        &[
            "2001:db8::1",
            "2001:db8:0:1::1",
            "2001:db8:0:2::1",
            "2001:db8:0:3::1",
        ],
        None,
    );
    // The same IPv4 address, as a socket for both families says it.
    check_strangers(
        &["1.1.1.1", "::ffff:1.1.1.1", "1.1.1.1", "::ffff:1.1.1.1"],
        Some(0),
    );
}

#[test]
fn strangers_behind_a_proxy_are_not_taken_for_one() {
    check_strangers(&["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1"], None);
    check_strangers(
        &["10.0.0.1", "1.1.1.1", "10.0.0.1", "1.1.1.1", "10.0.0.1"],
        Some(1),
    );
}

#[test]
fn who_had_to_go_makes_no_difference_any_more() {
    let mut ledger = Ledger::new(bounds());
    let address = "1.1.1.1".parse().unwrap();
    let (first, _) = ledger.arrive(address);
    for _ in 0..3 {
        ledger.arrive(address);
    }
    assert_eq!(ledger.strangers(), 3);
    ledger.depart(first);
    assert_eq!(ledger.strangers(), 3);
    assert_eq!(ledger.turned_away().strangers, 1);
}

/// Sessions as `subject address`, reserved ones with `!` in front, all but the last let in.
fn check_sessions(sessions: &[&str], expected: Result<(), Bound>) {
    let mut ledger = Ledger::new(bounds());
    let (last, before) = sessions.split_last().unwrap();
    let mut admit = |session: &str| {
        let (subject, address) = session.split_once(' ').unwrap();
        let reserved = subject.starts_with('!');
        ledger
            .admit(subject, address.parse().unwrap(), reserved)
            .map(drop)
    };
    for session in before {
        assert_eq!(admit(session), Ok(()), "{session} of {sessions:?}");
    }
    assert_eq!(admit(last), expected, "{sessions:?}");
}

#[test]
fn each_bound_on_sessions_holds() {
    check_sessions(&["a 1.1.1.1", "a 1.1.1.1"], Ok(()));
    let same_subject = ["a 1.1.1.1", "a 2.2.2.2", "a 3.3.3.3", "a 4.4.4.4"];
    check_sessions(&same_subject, Err(Bound::Subject));
    let same_address = ["a 1.1.1.1", "b 1.1.1.1", "c 1.1.1.1"];
    check_sessions(&same_address, Err(Bound::Address));
    check_sessions(&["a 10.0.0.1", "b 10.0.0.1", "c 10.0.0.1"], Ok(()));
    let ordinary = ["a 1.1.1.1", "b 2.2.2.2", "c 3.3.3.3", "d 4.4.4.4"];
    check_sessions(
        &[&ordinary[..], &["e 5.5.5.5"]].concat(),
        Err(Bound::Unreserved),
    );
    // Machines are still let in, all from one address.
    check_sessions(
        &[&ordinary[..], &["!m 5.5.5.5", "!m 5.5.5.5"]].concat(),
        Ok(()),
    );
    check_sessions(
        &[&ordinary[..], &["!m 5.5.5.5", "!m 5.5.5.5", "!n 5.5.5.5"]].concat(),
        Err(Bound::Sessions),
    );
    // One machine that runs wild is stopped as well.
    check_sessions(
        &["!m 5.5.5.5", "!m 5.5.5.5", "!m 5.5.5.5", "!m 5.5.5.5"],
        Err(Bound::Subject),
    );
    // A machine at an address takes nothing from people there.
    check_sessions(
        &["a 1.1.1.1", "!m 1.1.1.1", "!n 1.1.1.1", "b 1.1.1.1"],
        Ok(()),
    );
}

#[test]
fn each_refusal_is_counted_by_its_bound() {
    let mut ledger = Ledger::new(BrokerConfig {
        sessions: 2,
        sessions_reserved: 1,
        ..bounds()
    });
    let address = "1.1.1.1".parse().unwrap();
    let place = ledger.admit("a", address, false).unwrap();
    assert_eq!(ledger.admit("b", address, false), Err(Bound::Unreserved));
    ledger.admit("!m", address, true).unwrap();
    assert_eq!(ledger.admit("!m", address, true), Err(Bound::Sessions));
    let expected = TurnedAway {
        sessions: 1,
        unreserved: 1,
        ..TurnedAway::default()
    };
    assert_eq!(ledger.turned_away(), expected);
    ledger.leave(&place);
    assert!(ledger.admit("b", address, false).is_ok());
}

#[derive(Debug, Clone)]
enum Event {
    Arrive(u8),
    Depart(usize),
    Admit(u8, u8, bool),
    Leave(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..6_u8).prop_map(Event::Arrive),
        any::<usize>().prop_map(Event::Depart),
        (0..4_u8, 0..6_u8, any::<bool>())
            .prop_map(|(subject, address, reserved)| Event::Admit(subject, address, reserved)),
        any::<usize>().prop_map(Event::Leave),
    ]
}

/// 10.0.0.1 is the proxy.
fn address(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, number])
}

proptest! {
    /// The counts agree with a plain list of who is here; no bound is exceeded; a newcomer is never the one to go; and
    /// nothing is left when all have gone.
    #[test]
    fn bounds_hold_whatever_happens(events in prop::collection::vec(event(), 0..200)) {
        let mut ledger = Ledger::new(bounds());
        let mut strangers: Vec<(Ticket, u8)> = Vec::new();
        let mut sessions: Vec<(Place, u8)> = Vec::new();
        for event in events {
            match event {
                Event::Arrive(from) => {
                    let (ticket, victim) = ledger.arrive(address(from));
                    strangers.push((ticket, from));
                    prop_assert_ne!(victim, Some(ticket));
                    strangers.retain(|(stranger, _)| Some(*stranger) != victim);
                }
                Event::Depart(which) if !strangers.is_empty() => {
                    let (ticket, _) = strangers.swap_remove(which % strangers.len());
                    ledger.depart(ticket);
                }
                Event::Admit(subject, from, reserved) => {
                    let admitted = ledger.admit(&subject.to_string(), address(from), reserved);
                    if let Ok(place) = admitted {
                        sessions.push((place, from));
                    } else {
                        prop_assert!(!sessions.is_empty());
                    }
                }
                Event::Leave(which) if !sessions.is_empty() => {
                    let (place, _) = sessions.swap_remove(which % sessions.len());
                    ledger.leave(&place);
                }
                Event::Depart(_) | Event::Leave(_) => {}
            }
            let bounds = bounds();
            prop_assert_eq!(ledger.strangers(), strangers.len());
            prop_assert!(strangers.len() <= bounds.unauthenticated);
            prop_assert_eq!(ledger.sessions, sessions.len());
            prop_assert!(sessions.len() <= bounds.sessions);
            let ordinary: Vec<_> = sessions.iter().filter(|(place, _)| !place.reserved).collect();
            prop_assert!(ordinary.len() <= bounds.sessions - bounds.sessions_reserved);
            for number in (0..6).filter(|number| *number != 1) {
                let waiting = strangers.iter().filter(|(_, from)| *from == number).count();
                prop_assert!(waiting <= bounds.unauthenticated_per_address);
                let open = ordinary.iter().filter(|(_, from)| *from == number).count();
                prop_assert!(open <= bounds.sessions_per_address);
            }
            for subject in 0..4 {
                let subject = subject.to_string();
                let open = sessions.iter().filter(|(place, _)| place.subject == subject).count();
                prop_assert!(open <= bounds.sessions_per_subject);
            }
        }
        for (ticket, _) in strangers {
            ledger.depart(ticket);
        }
        for (place, _) in sessions {
            ledger.leave(&place);
        }
        prop_assert!(ledger.strangers.is_empty() && ledger.waiting.is_empty());
        prop_assert!(ledger.subjects.is_empty() && ledger.networks.is_empty());
        prop_assert_eq!((ledger.sessions, ledger.unreserved), (0, 0));
    }
}
