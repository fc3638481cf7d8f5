//! The pages of Landside as views without IO: data in, HTML out.
//!
//! Every view is a struct whose fields are the page's data ([`contract`] types and small structs of this crate) and
//! which renders by askama: `page.render()?`, or `Display`. Times come in with [`Viewing::now`]; nothing here reads
//! a clock. Pure.
//!
//! | whole pages | |
//! |---|---|
//! | [`SignIn`], [`ErrorPage`] | without or with a login |
//! | [`Authorize`] `/oauth/authorize` | whether an application may act for somebody |
//! | [`SecondFactorPage`], [`InvitationPage`] | on the way in |
//! | [`AccountPage`] `/account`, [`PeoplePage`] `/people` | around a [`Shell`] |
//! | [`Overview`] `/`, [`AlarmsPage`] `/alarms`, [`DevicePage`] `/devices/{id}`, [`AuditPage`] `/audit` | around a [`Shell`] |
//! | [`PlatePage`] | the answer to `POST /devices/{id}/points/{point}/reveal` |
//!
//! | partials | same for all viewers of a zone ("atoms"): published under `/topic/ui/{lang}/zones/{zone}/…` |
//! |---|---|
//! | [`DeviceGlyph`], [`DeviceHeader`], [`DeviceReadings`], together [`DeviceAtoms`] | `devices/{id}` |
//! | [`ZoneTile`] | `tile` |
//! | [`AlarmRow`] (without [`AlarmRow::form`]) | `alarms/{id}` |
//!
//! | partials | depend on the viewer: fetched again from [`partial`] after a notice on `…/changed` | topic |
//! |---|---|---|
//! | [`AlarmStrip`] | [`partial::STRIP`] | `alarms`, `recording` |
//! | [`AlarmList`] | [`partial::alarms`] | `alarms` |
//! | [`OverviewBody`] | [`partial::OVERVIEW`] | `devices` |
//! | [`DeviceAlarms`] | [`partial::device_alarms`] | `alarms` |
//! | [`CommandPanel`], [`CommandList`] | [`partial::device_panel`], [`partial::device_commands`] | `commands:{device}` |
//!
//! The script replaces the element of the page that has the same id as a root element of what arrived.
//!
//! | forms | fields |
//! |---|---|
//! | `POST /sign-in`, `/sign-out`, `/language` | `name`, `password`, `next`; none; `lang`, `next`, without `csrf` |
//! | `POST /alarms/{id}/acknowledge` | `occurrence`, `next` |
//! | `POST /devices/{id}/commands` | `key`, `name`, `param.{name}`…, `confirmed=yes` where a question was asked, `next` |
//! | `POST /devices/{id}/approve` | `next` |
//! | `POST /oauth/authorize` | `decision`, and what the application asked for |
//! | `POST /devices/{id}/points/{point}/reveal` | `reason` |
//! | `POST /people/invite`, `/people/rights` | `name`, `full_name`, `role`, `zones` once for each zone; without `full_name` |
//! | `GET /audit` | `actor`, `action`, `subject`, `from`, `to` |
//! | `POST /account/second-factor/begin`, `/second-factor` | `password`; `code`, `next` |
//! | `POST /account/logins/{id}/end`, `/account/grants/{id}/end` | |
//!
//! Each carries `csrf`. Without scripts the answer is a redirect to `next`, with [`Shell::notice`] on that page. The script
//! sends acknowledgements and commands with the headers `x-csrf-token` and `x-requested-with: XMLHttpRequest`, and
//! expects a [`NoticeView`] as the answer, with the status that fits it; after 401 it loads the page again.

mod account;
mod alarms;
mod asset;
mod audit;
mod authorize;
mod command;
mod device;
mod error_page;
mod glyph;
mod notice;
mod overview;
pub mod partial;
mod people;
mod shell;
mod sign_in;
mod viewing;
mod words;

pub use account::{
    AccountPage, Enrolment, GrantRow, InvitationPage, Invited, LoginRow, PasswordState,
    SecondFactorPage, SecondFactorState, SecondFactorStep,
};
pub use alarms::{AlarmList, AlarmRow, AlarmsPage, RowForm, ZoneFilter, alarm_order};
pub use askama::{Error, Template};
pub use asset::{Asset, asset, assets, sockjs_client};
pub use audit::{AuditFields, AuditLine, AuditPage, AuditTime};
pub use authorize::Authorize;
pub use command::{Blocked, CommandList, CommandPanel, Offer};
pub use device::{
    DeviceAlarms, DeviceAtoms, DeviceHeader, DevicePage, DeviceReadings, KnownDevice, PlatePage,
};
pub use error_page::{ErrorKind, ErrorPage};
pub use notice::{Notice, NoticeView};
pub use overview::{DeviceGlyph, Lane, Overview, OverviewBody, OverviewZone, ZoneTile};
pub use people::{InviteFields, NewLink, PeoplePage, PersonRow, ZoneChoice};
pub use shell::{AlarmStrip, Lock, Permissions, Person, PriorityCount, Shell};
pub use sign_in::{SignIn, SignInProblem};
pub use viewing::Viewing;
