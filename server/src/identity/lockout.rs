//! Slows guessing without letting a guesser lock anybody out who is where they always are. Pure: `now` is given.
//!
//! Designed after OWASP's device cookies. Three kinds of places never share what counts against them: a browser that signed
//! in as this person before, a console of the control room, and everywhere else. Whoever guesses from elsewhere fills the
//! buckets of elsewhere; the person at the console, or at their own browser, has others.
//!
//! Passwords may be tried again for ever where a person belongs, since a control room must never be out for long. Codes have
//! six digits: whoever tries them knows the password already, and in the places where a person belongs all of them together
//! count for a week.
//!
//! An attempt counts as wrong from the moment that it is let in, until it turns out right: many at once are no way around.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use uuid::Uuid;

/// What is being guessed: each has its own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Factor {
    /// A password.
    Password,
    /// A one-time code of six digits.
    Code,
}

/// Where somebody tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrialPlace {
    /// A browser that has signed in as this person before: its id. Of a program's passcode, where it has come from before.
    Device(Uuid),
    /// An address of the control room.
    Console,
    /// Anywhere else.
    Elsewhere,
}

/// One try.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// As whom.
    pub name: &'a str,
    /// What is shown.
    pub factor: Factor,
    /// From where: what counts as one address.
    pub address: IpAddr,
    /// From what kind of place.
    pub place: TrialPlace,
}

/// Not before this much time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts: try again in {} s", .0.as_secs() + 1)]
pub struct Locked(pub Duration);

/// How many may be wrong before there is a delay, and how long it grows.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    free: u32,
    delay_max: Duration,
    /// What nobody tried for this long is forgotten.
    forgotten: Duration,
}

const HOUR: Duration = Duration::from_secs(3600);

/// People mistype; a browser that is known, and the control room, must never be out for long.
const KNOWN: Allowance = Allowance {
    free: 5,
    delay_max: Duration::from_secs(30),
    forgotten: HOUR,
};

/// Several people share a console's address.
const CONSOLE: Allowance = Allowance {
    free: 50,
    delay_max: Duration::from_secs(5),
    forgotten: HOUR,
};

/// As whom somebody unknown tries: all strangers of the world share it.
const PERSON: Allowance = Allowance {
    free: 5,
    delay_max: Duration::from_secs(15 * 60),
    forgotten: HOUR,
};

/// A whole office may stand behind one address.
const ADDRESS: Allowance = Allowance {
    free: 30,
    delay_max: Duration::from_secs(15 * 60),
    forgotten: HOUR,
};

/// Wrong codes of one person in a row, where they are known and in the control room together: 96 a day at most, where three of
/// a million are right at each moment.
const CODES: Allowance = Allowance {
    free: 20,
    delay_max: Duration::from_secs(15 * 60),
    forgotten: Duration::from_secs(7 * 24 * 3600),
};

/// Buckets of one kind: 100 bytes each, so that a flood of names or addresses costs a megabyte. When it is full, whoever is
/// new counts in one of [`SHARED`] with others: a flood makes nothing forgotten.
const BUCKETS_MAX: usize = 8192;

/// Buckets for those who come when a table is full.
const SHARED: usize = 1024;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    wrong: u32,
    last: Instant,
    free_at: Instant,
}

/// Buckets of one kind.
#[derive(Debug)]
struct Table<K> {
    allowance: Allowance,
    buckets: HashMap<K, Bucket>,
    /// By a hash that nobody outside knows. Empty until it is needed.
    shared: Vec<Option<Bucket>>,
}

impl<K: Clone + Eq + Hash> Table<K> {
    fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            buckets: HashMap::new(),
            shared: Vec::new(),
        }
    }

    /// Which of the shared ones is this key's.
    fn place(&self, key: &K) -> usize {
        let hash = self.buckets.hasher().hash_one(key);
        usize::try_from(hash % SHARED as u64).expect("it is below SHARED")
    }

    fn wait(&self, key: &K, now: Instant) -> Duration {
        let shared = || self.shared.get(self.place(key))?.as_ref();
        self.buckets
            .get(key)
            .or_else(shared)
            .map_or(Duration::ZERO, |bucket| {
                bucket.free_at.saturating_duration_since(now)
            })
    }

    fn count(&mut self, key: K, now: Instant) {
        let new = Bucket {
            wrong: 0,
            last: now,
            free_at: now,
        };
        let bucket = if self.buckets.contains_key(&key) || self.has_room(now) {
            self.buckets.entry(key).or_insert(new)
        } else {
            let place = self.place(&key);
            self.shared.resize(SHARED, None);
            self.shared[place].get_or_insert(new)
        };
        if now.saturating_duration_since(bucket.last) > self.allowance.forgotten {
            bucket.wrong = 0;
        }
        bucket.wrong = bucket.wrong.saturating_add(1);
        bucket.last = now;
        bucket.free_at = now + delay(self.allowance, bucket.wrong);
    }

    fn has_room(&mut self, now: Instant) -> bool {
        if self.buckets.len() >= BUCKETS_MAX {
            let forgotten = self.allowance.forgotten;
            self.buckets
                .retain(|_, bucket| now.saturating_duration_since(bucket.last) <= forgotten);
        }
        self.buckets.len() < BUCKETS_MAX
    }

    /// One of those counted was right, or was not looked at.
    fn take_back(&mut self, key: &K, now: Instant) {
        let place = self.place(key);
        let shared = self.shared.get_mut(place).and_then(Option::as_mut);
        if let Some(bucket) = self.buckets.get_mut(key).or(shared) {
            bucket.wrong = bucket.wrong.saturating_sub(1);
            bucket.free_at = now;
        }
    }
}

/// After `free` wrong ones a second, then twice as long each time.
fn delay(allowance: Allowance, wrong: u32) -> Duration {
    let Some(beyond) = wrong.checked_sub(allowance.free) else {
        return Duration::ZERO;
    };
    let seconds = 1_u64.checked_shl(beyond.min(32)).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(allowance.delay_max)
}

/// What was tried, and from when on somebody may try again.
#[derive(Debug)]
pub struct Lockout {
    devices: Table<(Uuid, String, Factor)>,
    console_people: Table<(String, Factor)>,
    consoles: Table<IpAddr>,
    codes: Table<String>,
    people: Table<(String, Factor)>,
    addresses: Table<IpAddr>,
}

impl Default for Lockout {
    fn default() -> Self {
        Self {
            devices: Table::new(KNOWN),
            console_people: Table::new(KNOWN),
            consoles: Table::new(CONSOLE),
            codes: Table::new(CODES),
            people: Table::new(PERSON),
            addresses: Table::new(ADDRESS),
        }
    }
}

/// Whose code is guessed where they belong.
fn code_of(attempt: Attempt<'_>) -> Option<String> {
    let is_code = attempt.factor == Factor::Code && attempt.place != TrialPlace::Elsewhere;
    is_code.then(|| attempt.name.to_owned())
}

impl Lockout {
    /// Lets somebody try, and counts it as wrong until [`Self::was_right`].
    ///
    /// # Errors
    /// [`Locked`] when it is too early. Trying too early does not make it later.
    pub fn admit(&mut self, attempt: Attempt<'_>, now: Instant) -> Result<(), Locked> {
        let who = || (attempt.name.to_owned(), attempt.factor);
        let wait = match attempt.place {
            TrialPlace::Device(id) => self
                .devices
                .wait(&(id, attempt.name.to_owned(), attempt.factor), now),
            TrialPlace::Console => self
                .console_people
                .wait(&who(), now)
                .max(self.consoles.wait(&attempt.address, now)),
            TrialPlace::Elsewhere => self
                .people
                .wait(&who(), now)
                .max(self.addresses.wait(&attempt.address, now)),
        };
        let code = code_of(attempt);
        let wait = match &code {
            Some(name) => wait.max(self.codes.wait(name, now)),
            None => wait,
        };
        if !wait.is_zero() {
            return Err(Locked(wait));
        }
        if let Some(name) = code {
            self.codes.count(name, now);
        }
        match attempt.place {
            TrialPlace::Device(id) => {
                self.devices
                    .count((id, attempt.name.to_owned(), attempt.factor), now);
            }
            TrialPlace::Console => {
                self.console_people.count(who(), now);
                self.consoles.count(attempt.address, now);
            }
            TrialPlace::Elsewhere => {
                self.people.count(who(), now);
                self.addresses.count(attempt.address, now);
            }
        }
        Ok(())
    }

    /// What was let in was not looked at: it does not count.
    pub fn withdraw(&mut self, attempt: Attempt<'_>, now: Instant) {
        let who = (attempt.name.to_owned(), attempt.factor);
        if let Some(name) = code_of(attempt) {
            self.codes.take_back(&name, now);
        }
        match attempt.place {
            TrialPlace::Device(id) => self.devices.take_back(&(id, who.0, who.1), now),
            TrialPlace::Console => {
                self.console_people.take_back(&who, now);
                self.consoles.take_back(&attempt.address, now);
            }
            TrialPlace::Elsewhere => {
                self.people.take_back(&who, now);
                self.addresses.take_back(&attempt.address, now);
            }
        }
    }

    /// What was let in was right. Where a person is known, they start afresh; strangers only get this
    /// one back, or a guesser would be let in each time that the person comes by.
    pub fn was_right(&mut self, attempt: Attempt<'_>, now: Instant) {
        let who = (attempt.name.to_owned(), attempt.factor);
        if let Some(name) = code_of(attempt) {
            self.codes.buckets.remove(&name);
        }
        match attempt.place {
            TrialPlace::Device(id) => {
                self.devices.buckets.remove(&(id, who.0, who.1));
            }
            TrialPlace::Console => {
                self.console_people.buckets.remove(&who);
                self.consoles.take_back(&attempt.address, now);
            }
            TrialPlace::Elsewhere => self.withdraw(attempt, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attempt(name: &str, address: [u8; 4], place: TrialPlace) -> Attempt<'_> {
        Attempt {
            name,
            factor: Factor::Password,
            address: address.into(),
            place,
        }
    }

    const HOME: [u8; 4] = [10, 0, 0, 1];
    const AWAY: [u8; 4] = [192, 0, 2, 1];

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn delays_double_and_end() {
        for (allowance, wrong, expected) in [
            (PERSON, 4, 0),
            (PERSON, 5, 1),
            (PERSON, 6, 2),
            (PERSON, 9, 16),
            (PERSON, 20, 900),
            (PERSON, u32::MAX, 900),
            (KNOWN, 5, 1),
            (KNOWN, 50, 30),
            (CONSOLE, 49, 0),
            (CONSOLE, 500, 5),
        ] {
            assert_eq!(delay(allowance, wrong), seconds(expected), "{wrong}");
        }
    }

    #[test]
    fn a_flood_from_elsewhere_leaves_the_console_and_known_browsers_alone() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        let mut admitted = 0;
        for number in 0..10_000_u32 {
            let [_, a, b, c] = number.to_be_bytes();
            let flood = attempt("ada", [192, a, b, c], TrialPlace::Elsewhere);
            admitted += u32::from(lockout.admit(flood, now).is_ok());
        }
        assert_eq!(admitted, 5);
        let device = TrialPlace::Device(Uuid::new_v4());
        assert_eq!(
            lockout.admit(attempt("ada", HOME, TrialPlace::Console), now),
            Ok(())
        );
        assert_eq!(lockout.admit(attempt("ada", AWAY, device), now), Ok(()));
        assert!(
            lockout
                .admit(attempt("ada", HOME, TrialPlace::Elsewhere), now)
                .is_err()
        );
        assert_eq!(
            lockout.admit(attempt("bea", HOME, TrialPlace::Elsewhere), now),
            Ok(())
        );
    }

    /// Whoever fills the table cannot make what was counted forgotten.
    #[test]
    fn a_full_table_forgets_nobody_who_is_guessed_at() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        let junk = |number: usize| {
            let [.., a, b, c] = number.to_be_bytes();
            (format!("junk{number}"), [10, a, b, c])
        };
        for number in 0..BUCKETS_MAX {
            let (name, address) = junk(number);
            for _ in 0..2 {
                let _ = lockout.admit(attempt(&name, address, TrialPlace::Elsewhere), now);
            }
        }
        let mut admitted = 0;
        for number in 0..1000_usize {
            let [.., a, b] = number.to_be_bytes();
            let guess = attempt("ada", [192, 0, a, b], TrialPlace::Elsewhere);
            admitted += u32::from(lockout.admit(guess, now).is_ok());
            let (name, address) = junk(BUCKETS_MAX + number);
            let _ = lockout.admit(attempt(&name, address, TrialPlace::Elsewhere), now);
        }
        assert!(admitted <= PERSON.free, "{admitted}");
    }

    #[test]
    fn one_address_cannot_try_everybody() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        let names: Vec<String> = (0..100).map(|number| format!("name{number}")).collect();
        let admitted = names.iter().filter(|name| {
            lockout
                .admit(attempt(name, AWAY, TrialPlace::Elsewhere), now)
                .is_ok()
        });
        assert_eq!(admitted.count(), 30);
    }

    #[test]
    fn too_early_is_not_made_later_and_each_delay_lets_one_in() {
        let (mut lockout, start) = (Lockout::default(), Instant::now());
        let stranger = attempt("ada", AWAY, TrialPlace::Elsewhere);
        for _ in 0..5 {
            assert_eq!(lockout.admit(stranger, start), Ok(()));
        }
        for _ in 0..50 {
            assert_eq!(lockout.admit(stranger, start), Err(Locked(seconds(1))));
        }
        let later = start + seconds(1);
        assert_eq!(lockout.admit(stranger, later), Ok(()));
        assert_eq!(lockout.admit(stranger, later), Err(Locked(seconds(2))));
        let much_later = later + PERSON.forgotten + seconds(3);
        for _ in 0..5 {
            assert_eq!(lockout.admit(stranger, much_later), Ok(()));
        }
        assert!(lockout.admit(stranger, much_later).is_err());
    }

    #[test]
    fn what_was_right_counts_for_nothing_and_frees_no_stranger() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        let (home, away) = (
            attempt("ada", HOME, TrialPlace::Console),
            attempt("ada", AWAY, TrialPlace::Elsewhere),
        );
        for _ in 0..1000 {
            assert_eq!(lockout.admit(home, now), Ok(()));
            lockout.was_right(home, now);
        }
        for _ in 0..4 {
            assert_eq!(lockout.admit(away, now), Ok(()));
        }
        lockout.admit(home, now).unwrap();
        lockout.was_right(home, now);
        assert_eq!(lockout.admit(away, now), Ok(()));
        assert!(lockout.admit(away, now).is_err());
        let code = Attempt {
            factor: Factor::Code,
            ..away
        };
        assert_eq!(lockout.admit(code, now), Ok(()), "codes count apart");
    }

    proptest! {
        /// Whoever knows the password and guesses codes, from the control room and from browsers that are known, gets no
        /// further than this, however they go about it; and no password waits for that.
        #[test]
        fn codes_are_not_guessed_for_ever_where_somebody_belongs(
            tries in prop::collection::vec((0_usize..4, 1_u64..2000), 1..400),
        ) {
            let start = Instant::now();
            let devices = [1, 2, 3].map(|number| TrialPlace::Device(Uuid::from_u128(number)));
            let places = [TrialPlace::Console, devices[0], devices[1], devices[2]];
            let (mut lockout, mut now, mut admitted) = (Lockout::default(), start, 0);
            for (place, pause) in tries {
                let password = attempt("ada", HOME, places[place]);
                let code = Attempt { factor: Factor::Code, ..password };
                admitted += u64::from(lockout.admit(code, now).is_ok());
                prop_assert!(lockout.admit(password, now).is_ok());
                lockout.was_right(password, now);
                now += seconds(pause);
            }
            // Until the delay is a quarter of an hour, ten more get in.
            let most = u64::from(CODES.free) + 10 + (now - start).as_secs() / (15 * 60);
            prop_assert!(admitted <= most, "{admitted} of {most}");
        }
    }

    #[test]
    fn a_code_that_is_right_ends_the_row_of_wrong_ones() {
        let (mut lockout, mut now) = (Lockout::default(), Instant::now());
        let code = Attempt {
            factor: Factor::Code,
            ..attempt("ada", HOME, TrialPlace::Console)
        };
        for _ in 0..40 {
            now += CODES.delay_max;
            assert_eq!(lockout.admit(code, now), Ok(()));
        }
        let device = Attempt {
            place: TrialPlace::Device(Uuid::from_u128(1)),
            ..code
        };
        assert_eq!(lockout.admit(device, now), Err(Locked(CODES.delay_max)));
        now += CODES.delay_max;
        assert_eq!(lockout.admit(device, now), Ok(()));
        lockout.was_right(device, now);
        now += KNOWN.delay_max;
        assert_eq!(lockout.admit(device, now), Ok(()));
        assert_eq!(lockout.admit(code, now), Ok(()));
    }

    #[test]
    fn names_without_end_neither_grow_it_nor_free_who_is_guessed_at() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        for _ in 0..6 {
            let _ = lockout.admit(attempt("ada", AWAY, TrialPlace::Elsewhere), now);
        }
        for number in 0..20_000_u32 {
            let [_, a, b, c] = number.to_be_bytes();
            let name = format!("n{number}");
            let _ = lockout.admit(attempt(&name, [10, a, b, c], TrialPlace::Elsewhere), now);
        }
        assert_eq!(lockout.people.buckets.len(), BUCKETS_MAX);
        assert!(
            lockout
                .admit(attempt("ada", HOME, TrialPlace::Elsewhere), now)
                .is_err()
        );
    }
}
