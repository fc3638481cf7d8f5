//! What is void after something was called back, and what is not.

use chrono::TimeDelta;

use super::*;
use crate::identity::principal::{Proof, Zones};

fn holder(proof: Proof) -> Principal {
    Principal {
        subject: "kim".to_owned(),
        full_name: String::new(),
        roles: Vec::new(),
        zones: Zones::All,
        proof,
    }
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 500_000_000).unwrap()
}

fn called_back(revocation: Revocation, generation: i64, second: i64) -> CalledBack {
    CalledBack {
        revocation,
        holder: None,
        generation,
        at: at(second),
    }
}

fn of(name: &str) -> Revocation {
    Revocation::Subject(name.to_owned())
}

/// Whether kim's proof is good after all this.
#[track_caller]
fn check(called: &[CalledBack], proof: Proof, is_good: bool) {
    let mut orders = vec![called.to_vec()];
    orders.push(called.iter().rev().cloned().collect());
    for order in orders {
        let standing = Standing::default();
        for one in &order {
            assert!(standing.take_effect(one) || order.len() > 1);
            assert!(!standing.take_effect(one), "said again");
        }
        let good = standing.check(&holder(proof.clone())).is_ok();
        assert_eq!(good, is_good, "{order:?} {proof:?}");
    }
}

#[test]
fn a_token_is_void_by_itself_or_by_what_it_came_from() {
    let (one, other, login) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let proof = |token, grant| Proof {
        token: Some(token),
        grant,
        ..Proof::default()
    };
    let token = called_back(Revocation::Token(one), 0, 100);
    let grant = called_back(Revocation::Grant(login), 0, 100);
    for (called, proof, is_good) in [
        (&token, proof(one, None), false),
        (&token, proof(other, Some(login)), true),
        (&grant, proof(other, Some(login)), false),
        (&grant, proof(other, None), true),
    ] {
        check(std::slice::from_ref(called), proof, is_good);
    }
}

#[test]
fn what_was_read_before_a_revocation_is_void_however_late_it_is_issued() {
    let generation = |generation| Proof {
        as_of: AsOf::Generation(generation),
        ..Proof::default()
    };
    let once = [called_back(of("kim"), 1, 100)];
    // The second one is in the same second, and may be heard of before the first.
    let twice = [
        called_back(of("kim"), 1, 100),
        called_back(of("kim"), 2, 100),
    ];
    let of_others = [called_back(of("lee"), 7, 100)];
    for (called, read, is_good) in [
        (&once[..], 0, false),
        (&once[..], 1, true),
        (&once[..], 2, true),
        (&twice[..], 1, false),
        (&twice[..], 2, true),
        (&of_others[..], 0, true),
    ] {
        check(called, generation(read), is_good);
    }
}

#[test]
fn tokens_of_a_provider_go_by_the_second_in_which_they_were_made() {
    let made = |second| Proof {
        as_of: AsOf::Second(second),
        ..Proof::default()
    };
    let called = [
        called_back(of("kim"), 3, 100),
        called_back(of("kim"), 2, 90),
    ];
    for (second, is_good) in [(89, false), (99, false), (100, false), (101, true)] {
        check(&called, made(second), is_good);
    }
}

#[test]
fn what_an_application_lost_its_tokens_lose_and_nobody_elses() {
    let through = |client: &str, holder| Proof {
        client: Some(client.to_owned()),
        holder,
        as_of: AsOf::Generation(9),
        ..Proof::default()
    };
    let called = [called_back(of("app"), 2, 100)];
    for (proof, is_good) in [
        (through("app", Holder::Application(1)), false),
        (through("app", Holder::Application(2)), true),
        (through("wall", Holder::Application(0)), true),
        // A client of a provider's may have any name.
        (through("app", Holder::Person), true),
        (Proof::default(), true),
    ] {
        check(&called, proof, is_good);
    }
}

#[test]
fn what_can_have_no_token_left_is_forgotten() {
    let standing = Standing::default();
    let token = Uuid::new_v4();
    let brought = holder(Proof {
        token: Some(token),
        ..Proof::default()
    });
    let put = |at| {
        standing.take_effect(&CalledBack {
            at,
            ..called_back(Revocation::Token(Uuid::new_v4()), 0, 0)
        })
    };
    standing.take_effect(&called_back(Revocation::Token(token), 0, 100));
    let later = at(100) + TimeDelta::from_std(REVOCATION_KEPT).unwrap();
    put(later);
    assert!(standing.check(&brought).is_err(), "to the second");
    put(later + TimeDelta::seconds(1));
    assert!(standing.check(&brought).is_ok());
}
