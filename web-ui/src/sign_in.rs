//! Signing in; also where people land who signed out. Pure.

use askama::Template;
use chrono::{DateTime, Utc};
use contract::Language;

use crate::shell::other_language;
use crate::viewing::Viewing;

/// Why somebody sees the sign-in page again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInProblem {
    /// Name or password is wrong; which one is not told.
    Wrong,
    /// Too many attempts: not before this time.
    Locked(DateTime<Utc>),
    /// Somebody ended the login.
    Ended,
    /// The form was not sent from a page of now.
    FormExpired,
    /// The login had its time.
    Expired,
    /// The person may not come any more.
    Disabled,
    /// The person signed out.
    SignedOut,
    /// Logins cannot be checked now.
    Unavailable,
    /// The identity provider does not answer.
    ProviderAway,
    /// The identity provider let the person not in.
    ProviderRefused,
    /// A sign-in at the identity provider took too long, or came back twice or in another browser.
    ProviderAgain,
    /// What the identity provider answered is not accepted.
    ProviderUnbelievable,
    /// The identity provider knows the person, and nothing gives them a role or a zone here.
    ProviderNoRole,
    /// The person's name at the identity provider is somebody else's here, or cannot be one.
    ProviderNameTaken,
    /// The person is disabled here.
    ProviderDisabled,
}

/// `/sign-in`
#[derive(Template)]
#[template(path = "sign_in.html")]
pub struct SignIn<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// Why they are here again.
    pub problem: Option<SignInProblem>,
    /// The name that was entered.
    pub name: &'a str,
    /// Where to go afterwards: a path of this site.
    pub next: &'a str,
    /// What the button of the identity provider says, where there is one.
    pub external: Option<&'a str>,
    /// A token that only this page can send along, for browsers that do not say where a form comes from.
    pub csrf: &'a str,
    /// The server's version.
    pub version: &'a str,
}

impl SignIn<'_> {
    fn sentence(&self) -> Option<String> {
        let words = self.viewing.words();
        let sentence = match self.problem? {
            SignInProblem::Wrong => words.sign_in_wrong,
            SignInProblem::Locked(until) => {
                let time = self.viewing.short_time(&until);
                return Some(
                    self.viewing
                        .sentence(words.sign_in_locked, &[("time", &time)]),
                );
            }
            SignInProblem::Ended => words.sign_in_ended,
            SignInProblem::FormExpired => words.notice_form_expired,
            SignInProblem::Expired => words.sign_in_expired,
            SignInProblem::Disabled => words.sign_in_disabled,
            SignInProblem::SignedOut => words.sign_in_signed_out,
            SignInProblem::Unavailable => words.sign_in_unavailable,
            SignInProblem::ProviderAway => words.sign_in_provider_away,
            SignInProblem::ProviderRefused => words.sign_in_provider_refused,
            SignInProblem::ProviderAgain => words.sign_in_provider_again,
            SignInProblem::ProviderUnbelievable => words.sign_in_provider_unbelievable,
            SignInProblem::ProviderNoRole => words.sign_in_provider_no_role,
            SignInProblem::ProviderNameTaken => words.sign_in_provider_name_taken,
            SignInProblem::ProviderDisabled => words.sign_in_provider_disabled,
        };
        Some(sentence.to_owned())
    }

    fn is_error(&self) -> bool {
        !matches!(self.problem, None | Some(SignInProblem::SignedOut))
    }

    fn next_in_query(&self) -> String {
        percent_encode(self.next)
    }

    fn other_language(&self) -> Language {
        other_language(self.viewing.language)
    }
}

/// RFC 3986, 2.1: everything but unreserved characters, so that a path survives as one value of a query.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_survives_as_one_value_of_a_query() {
        assert_eq!(
            percent_encode("/alarms?zone=p1&x=가"),
            "/alarms%3Fzone%3Dp1%26x%3D%EA%B0%80"
        );
    }
}
