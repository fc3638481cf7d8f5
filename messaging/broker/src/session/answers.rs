//! What the guard has said to one session: asked once, remembered as long as it holds. Pure.
//!
//! Invariant: an answer is used only while rights are those under which it was given.

use std::collections::HashMap;

use crate::guard::Action;

/// Answers that one session remembers. 256: a page of a whole site listens to fewer topics at once; as names are chosen
/// by clients, there must be a bound, and with the longest of them this is a quarter of a megabyte. When there are more,
/// all are forgotten: whoever needs that many pays with a question now and then, and nothing has to be kept in order of
/// use.
const ANSWERS_MAX: usize = 256;

/// What is known of one destination: `None` when it was not asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Known {
    send: Option<bool>,
    subscribe: Option<bool>,
    deliver: Option<bool>,
}

impl Known {
    fn of(&mut self, action: Action) -> &mut Option<bool> {
        match action {
            Action::Send => &mut self.send,
            Action::Subscribe => &mut self.subscribe,
            Action::Deliver => &mut self.deliver,
        }
    }
}

/// One session's answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// How often rights had been changed when they were given; `None` when nothing was asked yet.
    rights: Option<u64>,
    by_destination: HashMap<Box<str>, Known>,
    /// The last destination of which something may be delivered: most sessions get the same again and again.
    last_delivered: Option<String>,
}

impl Answers {
    /// Whether they were given when rights had been changed so often.
    pub(super) fn are_of(&self, rights: u64) -> bool {
        self.rights == Some(rights)
    }

    /// Forgets them all; those that follow are given under these rights.
    pub(super) fn begin(&mut self, rights: Option<u64>) {
        self.rights = rights;
        self.by_destination.clear();
        self.last_delivered = None;
    }

    pub(super) fn find(&mut self, action: Action, destination: &str) -> Option<bool> {
        if action == Action::Deliver && self.last_delivered.as_deref() == Some(destination) {
            return Some(true);
        }
        let answer = *self.by_destination.get_mut(destination)?.of(action);
        if action == Action::Deliver && answer == Some(true) {
            self.keep_last(destination);
        }
        answer
    }

    pub(super) fn keep(&mut self, action: Action, destination: &str, answer: bool) {
        if let Some(known) = self.by_destination.get_mut(destination) {
            *known.of(action) = Some(answer);
        } else {
            if self.by_destination.len() >= ANSWERS_MAX {
                self.by_destination.clear();
            }
            let mut known = Known::default();
            *known.of(action) = Some(answer);
            self.by_destination.insert(destination.into(), known);
        }
        if action == Action::Deliver && answer {
            self.keep_last(destination);
        }
    }

    fn keep_last(&mut self, destination: &str) {
        let last = self.last_delivered.get_or_insert_default();
        last.clear();
        last.push_str(destination);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIONS: [Action; 3] = [Action::Send, Action::Subscribe, Action::Deliver];

    #[test]
    fn each_right_has_an_answer_of_its_own() {
        for asked in ACTIONS {
            for answer in [true, false] {
                let mut answers = Answers::default();
                answers.begin(Some(0));
                answers.keep(asked, "/topic/a", answer);
                for action in ACTIONS {
                    let expected = (action == asked).then_some(answer);
                    assert_eq!(answers.find(action, "/topic/a"), expected, "{action:?}");
                    assert_eq!(answers.find(action, "/topic/ab"), None);
                    assert_eq!(answers.find(action, ""), None);
                }
            }
        }
    }

    #[test]
    fn an_answer_holds_as_long_as_rights_do() {
        let mut answers = Answers::default();
        assert!(!answers.are_of(0));
        answers.begin(Some(7));
        assert!(answers.are_of(7) && !answers.are_of(8));
        for action in ACTIONS {
            answers.keep(action, "/topic/a", true);
        }
        answers.begin(Some(8));
        for action in ACTIONS {
            assert_eq!(answers.find(action, "/topic/a"), None);
        }
        answers.begin(None);
        assert!(!answers.are_of(8));
    }

    #[test]
    fn however_many_are_asked_few_are_kept_and_none_is_wrong() {
        let mut answers = Answers::default();
        answers.begin(Some(0));
        for number in 0..10 * ANSWERS_MAX {
            let destination = format!("/topic/{number}");
            answers.keep(Action::Deliver, &destination, number % 2 == 0);
            assert!(answers.by_destination.len() <= ANSWERS_MAX);
            for known in [number, number.saturating_sub(1)] {
                let found = answers.find(Action::Deliver, &format!("/topic/{known}"));
                assert!(found.is_none_or(|answer| answer == (known % 2 == 0)));
            }
        }
    }
}
