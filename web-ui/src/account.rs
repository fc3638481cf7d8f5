//! What people see of themselves: their logins, their password, their second factor, and the pages by which they come in
//! for the first time. Pure.

use askama::Template;
use chrono::{DateTime, Utc};
use contract::{Language, Role};
use uuid::Uuid;

use crate::notice::{Notice, NoticeView};
use crate::shell::{Shell, other_language};
use crate::viewing::Viewing;

/// One login in the list of one's own.
#[derive(Debug, Clone, Copy)]
pub struct LoginRow<'a> {
    /// Which.
    pub id: Uuid,
    /// From where.
    pub peer: &'a str,
    /// Since when.
    pub begun_at: DateTime<Utc>,
    /// When it was used.
    pub last_seen_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// The one that looks at the list.
    pub is_this: bool,
}

/// What somebody has beside a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondFactorState {
    /// Nothing: it begins with the password.
    OffWithPassword,
    /// Nothing: it can begin, since they just signed in at the provider.
    Off,
    /// Nothing: they sign in at the provider once more, to begin.
    OffAtProvider,
    /// An app, and as many recovery codes.
    On(i64),
}

/// Where somebody's password is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordState {
    /// Here: it can be changed.
    Ours,
    /// In the access file.
    OfFile,
    /// At the external provider.
    OfProvider,
}

/// An application that may act for somebody.
#[derive(Debug, Clone, Copy)]
pub struct GrantRow<'a> {
    /// Which grant.
    pub id: Uuid,
    /// What it is called.
    pub application: &'a str,
    /// From where it was allowed.
    pub peer: &'a str,
    /// Since when.
    pub begun_at: DateTime<Utc>,
    /// When it got its last token.
    pub used_at: DateTime<Utc>,
    /// When it ends, unless it is used.
    pub expires_at: DateTime<Utc>,
}

/// `/account`
#[derive(Template)]
#[template(path = "account.html")]
pub struct AccountPage<'a> {
    /// What is around it.
    pub shell: Shell<'a>,
    /// By which name they sign in.
    pub name: &'a str,
    /// Their zones, or `*`.
    pub zones: &'a str,
    /// Their open logins, the newest first.
    pub logins: &'a [LoginRow<'a>],
    /// What may act for them.
    pub grants: &'a [GrantRow<'a>],
    /// Where their password is.
    pub password: PasswordState,
    /// What they have beside it.
    pub second_factor: SecondFactorState,
    /// How often somebody showed a wrong password or code in their name within the last week.
    pub failures: i64,
}

impl AccountPage<'_> {
    fn recovery_sentence(&self) -> Option<String> {
        let SecondFactorState::On(left) = self.second_factor else {
            return None;
        };
        let viewing = &self.shell.viewing;
        Some(viewing.sentence(viewing.words().recovery_left, &[("n", &left.to_string())]))
    }

    fn failures_sentence(&self) -> Option<String> {
        let (viewing, n) = (&self.shell.viewing, self.failures.to_string());
        let sentence = viewing.words().sign_in_failures;
        (self.failures > 0).then(|| viewing.sentence(sentence, &[("n", &n)]))
    }

    fn zones_sentence(&self) -> &str {
        if self.zones == "*" {
            self.shell.viewing.words().every_zone
        } else {
            self.zones
        }
    }
}

/// What an app is told: as a picture, and to type.
#[derive(Debug, Clone, Copy)]
pub struct Enrolment<'a> {
    /// The dark squares, as the path of an SVG.
    pub path: &'a str,
    /// How many squares wide it is, with its margin.
    pub width: usize,
    /// The secret in base32.
    pub secret: &'a str,
}

/// What the page of the second factor is about.
#[derive(Debug, Clone, Copy)]
pub enum SecondFactorStep<'a> {
    /// Enter a code.
    Ask,
    /// Say that an app shall be connected now.
    Begin,
    /// Connect an app, and enter a code of it.
    Enrol(Enrolment<'a>),
    /// Keep these recovery codes: shown once.
    Keep(&'a [String]),
}

/// `/sign-in/second-factor` and `/account/second-factor`
#[derive(Template)]
#[template(path = "second_factor.html")]
pub struct SecondFactorPage<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// What it is about.
    pub step: SecondFactorStep<'a>,
    /// What went wrong.
    pub notice: Option<Notice>,
    /// Where the form leads.
    pub action: &'a str,
    /// Where to go afterwards: a path of this site.
    pub next: &'a str,
    /// The login's CSRF token.
    pub csrf: &'a str,
}

impl SecondFactorPage<'_> {
    fn notice_view(&self) -> Option<NoticeView<'_>> {
        notice_view(self.viewing, self.notice.as_ref(), self.next)
    }
}

fn notice_view<'a>(
    viewing: Viewing,
    notice: Option<&'a Notice>,
    page: &'a str,
) -> Option<NoticeView<'a>> {
    notice.map(|notice| NoticeView {
        viewing,
        notice,
        page,
    })
}

/// Who is invited.
#[derive(Debug, Clone, Copy)]
pub struct Invited<'a> {
    /// By which name they will sign in.
    pub name: &'a str,
    /// What they will be.
    pub role: Role,
}

/// `/invitation/{token}`: somebody sets the first password. Without `person`, the link is no longer good.
#[derive(Template)]
#[template(path = "invitation.html")]
pub struct InvitationPage<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// Who is invited.
    pub person: Option<Invited<'a>>,
    /// What went wrong.
    pub notice: Option<Notice>,
    /// The page's own path.
    pub path: &'a str,
    /// A token that only this page can send along, for browsers that do not say where a form comes from.
    pub csrf: &'a str,
}

impl InvitationPage<'_> {
    fn notice_view(&self) -> Option<NoticeView<'_>> {
        notice_view(self.viewing, self.notice.as_ref(), self.path)
    }

    fn other_language(&self) -> Language {
        other_language(self.viewing.language)
    }

    fn sentence(&self, person: &Invited<'_>) -> String {
        let words = self.viewing.words();
        self.viewing.sentence(
            words.invitation_for,
            &[("name", person.name), ("role", words.role(&person.role))],
        )
    }
}
