//! A file is taken when two looks in a row found the same in it: many programs empty a file before they write it, others
//! write it in pieces, and what lies in between must have no effect. Pure.

/// What is in force, and what the last look found.
#[derive(Debug)]
pub(crate) struct Settled<T> {
    decided: T,
    seen: Option<T>,
}

impl<T: PartialEq + Clone> Settled<T> {
    /// This is in force.
    pub(crate) fn new(decided: T) -> Self {
        Self {
            seen: Some(decided.clone()),
            decided,
        }
    }

    /// Whether what a look found is to be decided on: it is not what was decided on last, and the look before found it
    /// as well.
    pub(crate) fn look(&mut self, found: T) -> bool {
        let is_due = found != self.decided && self.seen.as_ref() == Some(&found);
        self.seen = Some(found);
        is_due
    }

    /// A look found nothing that could be read.
    pub(crate) fn look_failed(&mut self) {
        self.seen = None;
    }

    /// This was decided on: it is not due again until something else was.
    pub(crate) fn decide(&mut self, on: T) {
        self.decided = on;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these looks are due, when each that is due is decided on; a blank is one that failed.
    #[track_caller]
    fn check(looks: &str, expected: &str) {
        let mut settled = Settled::new('a');
        let mut due = String::new();
        for found in looks.chars() {
            if found == ' ' {
                settled.look_failed();
                due.push('.');
            } else if settled.look(found) {
                settled.decide(found);
                due.push(found);
            } else {
                due.push('.');
            }
        }
        assert_eq!(due, expected, "{looks}");
    }

    #[test]
    fn only_what_two_looks_in_a_row_found_is_due() {
        check("aaa", "...");
        check("abbb", "..b.");
        check("bcdd", "...d");
        check("bab", "...");
        check("b b", "...");
        check("b bb", "...b");
        check("bbaa", ".b.a");
    }

    #[test]
    fn what_is_not_decided_on_is_due_at_each_look() {
        let mut settled = Settled::new('a');
        let due = ['b', 'b', 'b', 'a'].map(|found| settled.look(found));
        assert_eq!(due, [false, true, true, false]);
    }
}
