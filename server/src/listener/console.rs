//! Which addresses are the control room's. Pure.

use std::net::IpAddr;

/// Whether room is kept for this address that nobody else can use up: a console, or this machine. Whoever is taken for
/// this machine by mistake, behind a proxy that nobody named, uses up one address's room.
pub(crate) fn has_reserve(address: IpAddr, consoles: &[IpAddr]) -> bool {
    address.to_canonical().is_loopback() || network::is_listed(address, consoles)
}

/// Whether somebody sits in the control room, whom guessing from elsewhere must not lock out. Stricter, since it gives a
/// guesser more: this machine only where no console is named, and a proxy never, since anybody may stand behind it.
pub(crate) fn is_control_room(address: IpAddr, consoles: &[IpAddr], proxies: &[IpAddr]) -> bool {
    let is_named = match consoles {
        [] => address.to_canonical().is_loopback(),
        named => network::is_listed(address, named),
    };
    is_named && !network::is_listed(address, proxies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, consoles: &[&str], proxies: &[&str], expected: [bool; 2]) {
        let list = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let (address, consoles, proxies) =
            (address.parse().unwrap(), list(consoles), list(proxies));
        let got = [
            has_reserve(address, &consoles),
            is_control_room(address, &consoles, &proxies),
        ];
        assert_eq!(got, expected, "{address} {consoles:?} {proxies:?}");
    }

    #[test]
    fn this_machine_has_room_and_is_the_control_room_where_no_other_is() {
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            check(here, &[], &[], [true, true]);
            check(here, &["10.0.0.5"], &[], [true, false]);
        }
        check("127.0.0.1", &[], &["127.0.0.1"], [true, false]);
        check("10.0.0.5", &["10.0.0.5"], &[], [true, true]);
        check("::ffff:10.0.0.5", &["10.0.0.5"], &[], [true, true]);
        check("10.0.0.5", &["10.0.0.5"], &["10.0.0.5"], [true, false]);
        check("10.0.0.6", &["10.0.0.5"], &[], [false, false]);
    }
}
