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
    /// Nothing.
    Off,
    /// An app, and as many recovery codes.
    On(i64),
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
    /// Whether the password can be changed here; one of the access file cannot.
    pub may_change_password: bool,
    /// What they have beside it.
    pub second_factor: SecondFactorState,
}

impl AccountPage<'_> {
    fn recovery_sentence(&self) -> Option<String> {
        let SecondFactorState::On(left) = self.second_factor else {
            return None;
        };
        let viewing = &self.shell.viewing;
        Some(viewing.sentence(viewing.words().recovery_left, &[("n", &left.to_string())]))
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
        notice_view(self.viewing, self.notice.as_ref())
    }
}

fn notice_view(viewing: Viewing, notice: Option<&Notice>) -> Option<NoticeView<'_>> {
    notice.map(|notice| NoticeView { viewing, notice })
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
}

impl InvitationPage<'_> {
    fn notice_view(&self) -> Option<NoticeView<'_>> {
        notice_view(self.viewing, self.notice.as_ref())
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
