//! What became of something that a person did: one sentence. Pure.

use askama::Template;
use askama::filters::HtmlSafe;
use contract::alarm::Acknowledgement;
use contract::command::Reason;

use crate::command::reason_text;
use crate::sign_in::percent_encode;
use crate::viewing::Viewing;

/// The outcome of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The alarm is acknowledged.
    Acknowledged,
    /// Somebody was faster; who and when, where that is known.
    AlreadyAcknowledged(Option<Acknowledgement>),
    /// The occurrence that was seen is not the newest one.
    NewerOccurrence,
    /// The command is stored.
    CommandQueued,
    /// The command is refused; why, where that is known.
    CommandRefused(Option<Reason>),
    /// A command that needs `confirmed=yes` came without.
    NotConfirmed,
    /// The device is approved.
    Approved,
    /// The person lacks the right.
    NotPermitted,
    /// The person must show a second factor first.
    SecondFactorNeeded,
    /// The form's CSRF token is missing or from another login.
    FormExpired,
    /// Too many commands were given.
    TooMany,
    /// A field is missing or not valid.
    BadInput,
    /// The database is away.
    NotRecording,
    /// Nobody did anything here for long.
    Locked,
    /// The controls are there again.
    Unlocked,
    /// The password is wrong.
    WrongPassword,
    /// There is a new password.
    PasswordChanged,
    /// The new password is too short, or longer than anybody types.
    PasswordShort,
    /// The new password is among the first that are tried.
    PasswordGuessable,
    /// The new password was not typed twice.
    PasswordsDiffer,
    /// One or more logins were ended.
    LoginsEnded,
    /// Too many attempts.
    TryLater,
    /// The code is wrong, old, or was used.
    CodeWrong,
    /// A second factor is needed, and there is none.
    NoSecondFactor,
    /// What was changed of a person holds.
    PersonChanged,
    /// Nobody could give out access any more.
    LastAdministrator,
    /// Nobody does this to themselves.
    NotYourself,
    /// The access file keeps this person.
    KeptByFile,
    /// The offered secret of a second factor is too old, or was replaced.
    OfferGone,
    /// Somebody of the external provider must sign in there first.
    SignInAtProvider,
    /// The external provider did not confirm that the person is there.
    NotProved,
    /// An application may do nothing more.
    GrantEnded,
    /// The external provider keeps this person.
    KeptByProvider,
    /// Somebody has this name already.
    PersonExists,
    /// Nobody has this name.
    NoSuchPerson,
    /// The person is disabled.
    PersonDisabled,
    /// A program has this name.
    NameTaken,
    /// Somebody would have no zone.
    NoZone,
    /// People would take this name for another's.
    NameLooksAlike,
    /// Whoever was here once is not taken out of the list.
    HasComeIn,
    /// Anything else that is the server's fault.
    Unavailable,
}

impl Notice {
    /// The notice's name, for a redirect such as `/alarms?notice=acknowledged`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::AlreadyAcknowledged(_) => "already-acknowledged",
            Self::NewerOccurrence => "newer-occurrence",
            Self::CommandQueued => "command-queued",
            Self::CommandRefused(_) => "command-refused",
            Self::NotConfirmed => "not-confirmed",
            Self::Approved => "approved",
            Self::NotPermitted => "not-permitted",
            Self::SecondFactorNeeded => "second-factor-needed",
            Self::FormExpired => "form-expired",
            Self::TooMany => "too-many",
            Self::BadInput => "bad-input",
            Self::NotRecording => "not-recording",
            Self::Locked => "locked",
            Self::Unlocked => "unlocked",
            Self::WrongPassword => "wrong-password",
            Self::PasswordChanged => "password-changed",
            Self::PasswordShort => "password-short",
            Self::PasswordGuessable => "password-guessable",
            Self::PasswordsDiffer => "passwords-differ",
            Self::LoginsEnded => "logins-ended",
            Self::TryLater => "try-later",
            Self::CodeWrong => "code-wrong",
            Self::NoSecondFactor => "no-second-factor",
            Self::PersonChanged => "person-changed",
            Self::LastAdministrator => "last-administrator",
            Self::NotYourself => "not-yourself",
            Self::KeptByFile => "kept-by-file",
            Self::OfferGone => "offer-gone",
            Self::SignInAtProvider => "sign-in-at-provider",
            Self::NotProved => "not-proved",
            Self::GrantEnded => "grant-ended",
            Self::KeptByProvider => "kept-by-provider",
            Self::PersonExists => "person-exists",
            Self::NoSuchPerson => "no-such-person",
            Self::PersonDisabled => "person-disabled",
            Self::NameTaken => "name-taken",
            Self::NoZone => "no-zone",
            Self::NameLooksAlike => "name-looks-alike",
            Self::HasComeIn => "has-come-in",
            Self::Unavailable => "unavailable",
        }
    }

    /// The notice with this name, without its details; `None` for a name that somebody made up.
    pub fn from_code(code: &str) -> Option<Self> {
        [
            Self::Acknowledged,
            Self::AlreadyAcknowledged(None),
            Self::NewerOccurrence,
            Self::CommandQueued,
            Self::CommandRefused(None),
            Self::NotConfirmed,
            Self::Approved,
            Self::NotPermitted,
            Self::SecondFactorNeeded,
            Self::FormExpired,
            Self::TooMany,
            Self::BadInput,
            Self::NotRecording,
            Self::Locked,
            Self::Unlocked,
            Self::WrongPassword,
            Self::PasswordChanged,
            Self::PasswordShort,
            Self::PasswordGuessable,
            Self::PasswordsDiffer,
            Self::LoginsEnded,
            Self::TryLater,
            Self::CodeWrong,
            Self::NoSecondFactor,
            Self::PersonChanged,
            Self::LastAdministrator,
            Self::NotYourself,
            Self::KeptByFile,
            Self::OfferGone,
            Self::SignInAtProvider,
            Self::NotProved,
            Self::GrantEnded,
            Self::KeptByProvider,
            Self::PersonExists,
            Self::NoSuchPerson,
            Self::PersonDisabled,
            Self::NameTaken,
            Self::NoZone,
            Self::NameLooksAlike,
            Self::HasComeIn,
            Self::Unavailable,
        ]
        .into_iter()
        .find(|notice| notice.code() == code)
    }

    /// Whether what the person wanted did not happen.
    pub fn is_refusal(&self) -> bool {
        !matches!(
            self,
            Self::Acknowledged
                | Self::AlreadyAcknowledged(_)
                | Self::CommandQueued
                | Self::Approved
                | Self::Unlocked
                | Self::PasswordChanged
                | Self::LoginsEnded
                | Self::GrantEnded
                | Self::PersonChanged
        )
    }

    pub(crate) fn sentence(&self, viewing: &Viewing) -> String {
        let words = viewing.words();
        match self {
            Self::Acknowledged => words.notice_acknowledged,
            Self::AlreadyAcknowledged(None) => words.notice_already_acknowledged,
            Self::AlreadyAcknowledged(Some(by)) => {
                return viewing.sentence(
                    words.notice_already_acknowledged_by,
                    &[("by", &by.by), ("time", &viewing.short_time(&by.at))],
                );
            }
            Self::NewerOccurrence => words.notice_newer_occurrence,
            Self::CommandQueued => words.notice_command_queued,
            Self::CommandRefused(None) => words.notice_command_refused,
            Self::CommandRefused(Some(reason)) => {
                return viewing.sentence(
                    words.notice_command_refused_because,
                    &[("reason", &reason_text(viewing, reason))],
                );
            }
            Self::NotConfirmed => words.notice_not_confirmed,
            Self::Approved => words.notice_approved,
            Self::NotPermitted => words.notice_not_permitted,
            Self::SecondFactorNeeded => words.notice_second_factor_needed,
            Self::FormExpired => words.notice_form_expired,
            Self::TooMany => words.notice_too_many,
            Self::BadInput => words.notice_bad_input,
            Self::NotRecording => words.notice_not_recording,
            Self::Locked => words.notice_locked,
            Self::Unlocked => words.notice_unlocked,
            Self::WrongPassword => words.notice_wrong_password,
            Self::PasswordChanged => words.notice_password_changed,
            Self::PasswordShort => words.notice_password_short,
            Self::PasswordGuessable => words.notice_password_guessable,
            Self::PasswordsDiffer => words.notice_passwords_differ,
            Self::LoginsEnded => words.notice_logins_ended,
            Self::TryLater => words.notice_try_later,
            Self::CodeWrong => words.notice_code_wrong,
            Self::NoSecondFactor => words.notice_no_second_factor,
            Self::PersonChanged => words.notice_person_changed,
            Self::LastAdministrator => words.notice_last_administrator,
            Self::NotYourself => words.notice_not_yourself,
            Self::KeptByFile => words.notice_kept_by_file,
            Self::OfferGone => words.notice_offer_gone,
            Self::SignInAtProvider => words.notice_sign_in_at_provider,
            Self::NotProved => words.notice_not_proved,
            Self::GrantEnded => words.notice_grant_ended,
            Self::KeptByProvider => words.notice_kept_by_provider,
            Self::PersonExists => words.notice_person_exists,
            Self::NoSuchPerson => words.notice_no_such_person,
            Self::PersonDisabled => words.notice_person_disabled,
            Self::NameTaken => words.notice_name_taken,
            Self::NoZone => words.notice_no_zone,
            Self::NameLooksAlike => words.notice_name_looks_alike,
            Self::HasComeIn => words.notice_has_come_in,
            Self::Unavailable => words.notice_unavailable,
        }
        .to_owned()
    }
}

/// A notice as HTML: in the page after a redirect, and alone as the answer to the script.
#[derive(Template)]
#[template(path = "notice.html")]
pub struct NoticeView<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// What happened.
    pub notice: &'a Notice,
    /// Where it is told: a path of this site, to come back to.
    pub page: &'a str,
}

impl HtmlSafe for NoticeView<'_> {}

impl NoticeView<'_> {
    fn sentence(&self) -> String {
        self.notice.sentence(&self.viewing)
    }

    fn page_in_query(&self) -> String {
        percent_encode(self.page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_names_its_notice() {
        for code in ["acknowledged", "command-refused", "unavailable"] {
            assert_eq!(Notice::from_code(code).unwrap().code(), code);
        }
        assert_eq!(Notice::from_code("<script>"), None);
    }
}
