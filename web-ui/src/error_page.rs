//! Error pages: one sentence, and what to do. Pure.

use askama::Template;

use crate::shell::Shell;
use crate::viewing::Viewing;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 404
    NotFound,
    /// 403
    Forbidden,
    /// 400: an application that is not known, or wants its answer elsewhere.
    Application,
    /// 429
    TooMany,
    /// 500
    Internal,
    /// 503
    Unavailable,
}

impl ErrorKind {
    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Forbidden => 403,
            Self::Application => 400,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}

/// A page that is not there, or cannot be shown.
#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// What went wrong.
    pub kind: ErrorKind,
    /// The number under which the log has the cause.
    pub reference: Option<&'a str>,
    /// The path that was asked for: "try again" leads there.
    pub path: &'a str,
    /// The alarms stay in sight where the person is signed in and the server can tell them.
    pub shell: Option<&'a Shell<'a>>,
}

impl ErrorPage<'_> {
    fn sentence(&self) -> &'static str {
        let words = self.viewing.words();
        match self.kind {
            ErrorKind::NotFound => words.error_not_found,
            ErrorKind::Forbidden => words.error_forbidden,
            ErrorKind::Application => words.error_application,
            ErrorKind::TooMany => words.error_too_many,
            ErrorKind::Internal => words.error_internal,
            ErrorKind::Unavailable => words.error_unavailable,
        }
    }

    fn remedy(&self) -> &'static str {
        let words = self.viewing.words();
        match self.kind {
            ErrorKind::NotFound if self.path.starts_with("/devices/") => words.error_no_device_do,
            ErrorKind::NotFound => words.error_not_found_do,
            ErrorKind::Forbidden => words.error_forbidden_do,
            ErrorKind::Application => words.error_application_do,
            ErrorKind::TooMany => words.error_too_many_do,
            ErrorKind::Internal => words.error_internal_do,
            ErrorKind::Unavailable => words.error_unavailable_do,
        }
    }

    fn can_try_again(&self) -> bool {
        matches!(self.kind, ErrorKind::Internal | ErrorKind::Unavailable)
    }
}
