//! What a device can be told, why not, and what became of what it was told. Pure.

use askama::Template;
use askama::filters::HtmlSafe;
use contract::command::{CommandState, CommandView, Reason, ReasonCode, Risk};
use contract::device::Condition;
use contract::inventory::{CommandType, Parameter};
use uuid::Uuid;

use crate::alarms::RowForm;
use crate::device::{KnownDevice, value_text};
use crate::partial;
use crate::shell::Permissions;
use crate::viewing::{Viewing, number};

/// Why a command is not offered. The server and the agent decide again when it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// The viewer may not.
    Forbidden,
    /// The device does not answer.
    DeviceUnknown,
    /// Nobody approved the device.
    Unregistered,
    /// The database is away.
    NotRecording,
    /// Nobody did anything here for long.
    Locked,
}

/// One command of a device's page.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// What it does.
    pub command: &'a CommandType,
    /// The key of this form: sent twice, it is still one command.
    pub key: Uuid,
    /// Why it is not offered.
    pub blocked: Option<Blocked>,
    /// Whether it takes a code of the second factor.
    pub asks_code: bool,
}

impl<'a> Offer<'a> {
    /// Every command of the device's profile. `key` makes a new random key for each form.
    pub fn all(
        device: KnownDevice<'a>,
        may: Permissions,
        recording: bool,
        mut key: impl FnMut() -> Uuid,
    ) -> Vec<Self> {
        let commands = device.profile.map_or(&[][..], |profile| &profile.commands);
        commands
            .iter()
            .map(|command| Self {
                command,
                key: key(),
                blocked: blocked(command, device.view.condition, may, recording),
                asks_code: match command.risk {
                    Risk::View => may.code_for_view,
                    Risk::Normal => may.code_for_normal,
                    Risk::Critical => may.code_for_critical,
                    Risk::Emergency => false,
                },
            })
            .collect()
    }

    /// Whether a person is asked once more.
    fn needs_confirmation(&self) -> bool {
        self.command.confirm || matches!(self.command.risk, Risk::Critical | Risk::Emergency)
    }

    /// Whether its form stays folded until it is wanted: to be asked once more, or to enter something.
    fn unfolds(&self) -> bool {
        self.needs_confirmation() || self.asks_code || !self.command.params.is_empty()
    }
}

fn blocked(
    command: &CommandType,
    condition: Condition,
    may: Permissions,
    recording: bool,
) -> Option<Blocked> {
    let permitted = match command.risk {
        Risk::View => may.command_view,
        Risk::Normal => may.command_normal,
        Risk::Emergency => may.command_emergency,
        Risk::Critical => may.command_critical,
    };
    if !permitted {
        return Some(Blocked::Forbidden);
    }
    if condition == Condition::Unregistered {
        return Some(Blocked::Unregistered);
    }
    // An emergency command is never hindered by what we do not know; the agent tries.
    if command.risk == Risk::Emergency {
        return None;
    }
    if may.locked {
        return Some(Blocked::Locked);
    }
    if condition == Condition::Unknown {
        return Some(Blocked::DeviceUnknown);
    }
    (!recording).then_some(Blocked::NotRecording)
}

/// The commands of a device: `<section id="panel-{id}">`.
#[derive(Template)]
#[template(path = "command_panel.html")]
pub struct CommandPanel<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// The device.
    pub device: KnownDevice<'a>,
    /// What it can be told: [`Offer::all`].
    pub offers: &'a [Offer<'a>],
    /// Whether the viewer may approve the device.
    pub may_approve: bool,
    /// The token and the way back.
    pub form: RowForm<'a>,
}

impl HtmlSafe for CommandPanel<'_> {}

impl CommandPanel<'_> {
    fn url(&self) -> String {
        partial::device_panel(&self.device.view.id)
    }

    fn blocked_sentence(&self, blocked: &Blocked) -> &'static str {
        let words = self.viewing.words();
        match blocked {
            Blocked::Forbidden => words.blocked_forbidden,
            Blocked::DeviceUnknown => words.blocked_unknown,
            Blocked::Unregistered => words.blocked_unregistered,
            Blocked::NotRecording => words.blocked_not_recording,
            Blocked::Locked => words.blocked_locked,
        }
    }

    /// Said once, above the buttons, when it is the same for all of them.
    fn common_sentence(&self) -> Option<&'static str> {
        let first = self.offers.first()?.blocked?;
        let is_common =
            self.offers.len() > 1 && self.offers.iter().all(|offer| offer.blocked == Some(first));
        is_common.then(|| self.blocked_sentence(&first))
    }

    fn risk_word(&self, offer: &Offer<'_>) -> Option<&'static str> {
        match offer.command.risk {
            Risk::View | Risk::Normal => None,
            Risk::Critical => Some(self.viewing.words().risk_critical),
            Risk::Emergency => Some(self.viewing.words().risk_emergency),
        }
    }

    fn confirm_sentence(&self, offer: &Offer<'_>) -> String {
        self.viewing.sentence(
            self.viewing.words().confirm_what,
            &[
                ("device", self.viewing.text(&self.device.view.name)),
                ("command", self.viewing.text(&offer.command.text)),
            ],
        )
    }

    /// What to look out for first, where the command moves something.
    fn care_sentence(&self) -> Option<&'static str> {
        let moves = matches!(self.device.view.class.as_str(), "barrier" | "gate");
        moves.then_some(self.viewing.words().confirm_care)
    }

    fn range_sentence(&self, parameter: &Parameter) -> String {
        self.viewing.sentence(
            self.viewing.words().parameter_range,
            &[
                ("min", &number(parameter.min)),
                ("max", &number(parameter.max)),
            ],
        )
    }

    fn approve_sentence(&self) -> Option<String> {
        (self.may_approve && self.device.view.condition == Condition::Unregistered).then(|| {
            self.viewing.sentence(
                self.viewing.words().approve_sentence,
                &[("agent", self.device.view.agent.as_str())],
            )
        })
    }
}

/// How far a command's outcome is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Underway,
    Done,
    Unsure,
    NotDone,
}

impl Outcome {
    fn of(state: CommandState) -> Self {
        match state {
            CommandState::AwaitingApproval
            | CommandState::Queued
            | CommandState::Sent
            | CommandState::Delivered
            | CommandState::Accepted
            | CommandState::Executing => Self::Underway,
            CommandState::Succeeded => Self::Done,
            CommandState::Unverified | CommandState::Unknown => Self::Unsure,
            CommandState::Rejected
            | CommandState::Failed
            | CommandState::Expired
            | CommandState::Cancelled => Self::NotDone,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Underway => "underway",
            Self::Done => "done",
            Self::Unsure => "unsure",
            Self::NotDone => "not-done",
        }
    }
}

/// One line of what a device was told.
struct CommandRow<'a> {
    view: &'a CommandView,
    name: &'a str,
    params: String,
    outcome: Outcome,
    state: &'static str,
    why: Option<String>,
    hint: Option<&'static str>,
}

/// What a device was told, and what became of it: `<section id="commands-{id}">`.
#[derive(Template)]
#[template(path = "command_list.html")]
pub struct CommandList<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// The device.
    pub device: KnownDevice<'a>,
    /// Newest first.
    pub commands: &'a [CommandView],
}

impl HtmlSafe for CommandList<'_> {}

impl CommandList<'_> {
    fn url(&self) -> String {
        partial::device_commands(&self.device.view.id)
    }

    fn rows(&self) -> impl Iterator<Item = CommandRow<'_>> {
        self.commands.iter().map(|view| self.row(view))
    }

    fn row<'b>(&'b self, view: &'b CommandView) -> CommandRow<'b> {
        let words = self.viewing.words();
        let known = self.device.profile.and_then(|profile| {
            profile
                .commands
                .iter()
                .find(|known| known.name == view.name)
        });
        let params: Vec<String> = view
            .params
            .iter()
            .map(|(name, value)| {
                let parameter =
                    known.and_then(|known| known.params.iter().find(|known| known.name == *name));
                let label = parameter.map_or(name.as_str(), |known| self.viewing.text(&known.text));
                let unit = parameter.map_or("", |known| &known.unit);
                let value = value_text(&self.viewing, None, value);
                format!("{label} {value} {unit}").trim_end().to_owned()
            })
            .collect();
        CommandRow {
            view,
            name: known.map_or(view.name.as_str(), |known| self.viewing.text(&known.text)),
            params: params.join(", "),
            outcome: Outcome::of(view.state),
            state: words.command_state(&view.state),
            why: view
                .reason
                .as_ref()
                .map(|reason| reason_text(&self.viewing, reason)),
            hint: words.command_hint(&view.state),
        }
    }
}

/// Why, as a sentence, with what exactly in parentheses. Of "busy" the sentence says enough.
pub(crate) fn reason_text(viewing: &Viewing, reason: &Reason) -> String {
    let words = viewing.words();
    let sentence = words.reason(&reason.code);
    if reason.detail.is_empty() || reason.code == ReasonCode::Busy {
        return sentence.to_owned();
    }
    viewing.sentence(
        words.reason_detail,
        &[("reason", sentence), ("detail", &reason.detail)],
    )
}
