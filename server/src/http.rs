//! HTTP: the whole route table, what handlers share, and the order of what happens around them.

use std::sync::Arc;

use ::sockjs::{Origins, SockJs};
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use broker::{Publisher, WebSocketUpgrade};
use chrono::{FixedOffset, Utc};
use contract::ZoneId;
use tower_http::catch_panic::CatchPanicLayer;
use url::Url;

use crate::alarm::{Actor, AlarmHandle};
use crate::audit::AuditEntry;
use crate::command::CommandHandle;
use crate::config::{IdentityConfig, RETURN_PATH};
use crate::gateway::{Desk, Doorkeeper};
use crate::identity::authenticator::Authenticator;
use crate::identity::certificates::Certificates;
use crate::identity::external::Visitors;
use crate::identity::gate::Gate;
use crate::identity::in_force::InForce;
use crate::identity::policy::{Denial, Permission, Place};
use crate::identity::principal::Principal;
use crate::identity::record::Record;
use crate::identity::secret::Secrets;
use crate::keeper::SiteKeeper;
use crate::listener::asker::Asker;
use crate::live::LiveHandle;
use crate::site::Site;
use crate::store::Store;
use crate::transport::socketio;

mod account;
mod api;
mod asset;
mod audit;
mod caller;
mod cookie;
mod csrf;
mod error;
mod external;
mod form;
mod headers;
mod health;
mod host;
mod idle;
mod invitation;
mod new_link;
mod oauth;
mod openapi;
mod page;
mod partial;
mod people;
mod reveal;
mod second_factor;
mod sent;
mod sign_in;
mod throttle;
mod viewer;

pub(crate) use cookie::login_cookie;
pub(crate) use throttle::Throttle;

/// The broker as this server runs it.
pub(crate) type Broker = broker::Broker<Doorkeeper, Desk>;

/// What handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) policy: InForce,
    pub(crate) keeper: Arc<SiteKeeper>,
    pub(crate) live: LiveHandle,
    pub(crate) alarms: AlarmHandle,
    pub(crate) commands: CommandHandle,
    pub(crate) publisher: Publisher,
    pub(crate) authenticator: Authenticator,
    pub(crate) entrance: Entrance,
    /// Apart from those of people, so that nobody who guesses passwords keeps an agent from its token.
    pub(crate) client_secrets: Secrets,
    /// What is written down of programs.
    pub(crate) record: Arc<Record>,
    pub(crate) roads: Roads,
    pub(crate) throttle: Throttle,
    pub(crate) offset: FixedOffset,
}

/// How people come in, and what is asked of them.
#[derive(Clone)]
pub(crate) struct Entrance {
    pub(crate) gate: Arc<Gate>,
    pub(crate) identity: IdentityConfig,
    /// What this server is called from outside.
    pub(crate) public_url: Url,
    /// What the certificate of a connection has to do with who comes on it.
    pub(crate) certificates: Certificates,
    /// Whether cookies are marked `Secure`: everywhere but on loopback, where there is no TLS.
    pub(crate) secure_cookies: bool,
}

/// The ways to the broker that begin with an HTTP request.
#[derive(Clone)]
pub(crate) struct Roads {
    pub(crate) broker: Broker,
    pub(crate) sockjs: SockJs,
    /// Pages of which other origins may open a WebSocket.
    pub(crate) origins: Origins,
}

impl FromRef<App> for Roads {
    fn from_ref(app: &App) -> Self {
        app.roads.clone()
    }
}

impl FromRef<App> for Store {
    fn from_ref(app: &App) -> Self {
        app.store.clone()
    }
}

impl App {
    fn site(&self) -> Arc<Site> {
        self.keeper.site()
    }

    /// Whether somebody may do something here and now: the right, and the second factor.
    fn allow(
        &self,
        who: &Principal,
        permission: Permission,
        place: Place<'_>,
    ) -> Result<(), Denial> {
        self.policy.now().decide(who, permission, place, Utc::now())
    }

    /// Whether somebody may do what is of no single zone. Who may not stands in the audit, with what it was about.
    fn demand(&self, actor: &Actor, permission: Permission, subject: &str) -> Result<(), Denial> {
        let allowed = self.allow(&actor.principal, permission, Place::Anywhere);
        allowed.inspect_err(|denial| {
            let why = denial.to_string();
            let entry = AuditEntry::by(actor, permission.as_str(), subject);
            self.record.refused(entry.outcome(&why));
        })
    }

    fn may_read_audit(&self, actor: &Actor) -> Result<(), Denial> {
        self.demand(actor, Permission::AuditRead, "audit")
    }

    fn may_see(&self, who: &Principal, zone: &ZoneId) -> bool {
        self.policy.now().may_see(who, zone)
    }

    /// Who else says who somebody is, if anybody does.
    fn external(&self) -> Option<&Visitors> {
        self.authenticator.external.as_ref()
    }
}

/// The longest form or command is a few hundred bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Every route.
pub(crate) fn router(app: App) -> Router {
    let content_security = headers::ContentSecurity::new(&app.entrance.public_url);
    Router::new()
        .route("/", get(page::overview))
        .route("/alarms", get(page::alarms))
        .route("/devices/{id}", get(page::device))
        .route("/sign-in", get(sign_in::show).post(sign_in::enter))
        .route("/sign-in/external", get(external::begin))
        .route(RETURN_PATH, get(external::finish))
        .route("/sign-out", post(sign_in::leave))
        .route("/language", post(sign_in::language))
        .merge(people_routes())
        .route("/alarms/{id}/acknowledge", post(form::acknowledge))
        .route("/devices/{id}/commands", post(form::command))
        .route("/devices/{id}/approve", post(form::approve))
        .route("/devices/{id}/points/{point}/reveal", post(reveal::page))
        .route("/audit", get(audit::page))
        .route("/audit.csv", get(audit::table))
        .route("/partials/strip", get(partial::strip))
        .route("/partials/overview", get(partial::overview))
        .route("/partials/alarms", get(partial::alarms))
        .route("/partials/devices/{id}/alarms", get(partial::device_alarms))
        .route("/partials/devices/{id}/panel", get(partial::device_panel))
        .route(
            "/partials/devices/{id}/commands",
            get(partial::device_commands),
        )
        .route("/assets/{name}", get(asset::serve))
        .route("/api/v1/devices", get(api::devices))
        .route("/api/v1/devices/{id}", get(api::device))
        .route(
            "/api/v1/devices/{id}/commands",
            get(api::commands).post(api::command),
        )
        .route(
            "/api/v1/devices/{id}/points/{point}/reveal",
            post(reveal::api),
        )
        .route("/api/v1/audit", get(audit::api))
        .route("/api/v1/alarms", get(api::alarms))
        .route("/api/v1/alarms/{id}/acknowledge", post(api::acknowledge))
        .route("/api/v1/openapi.json", get(openapi::document))
        .route("/api/{*rest}", any(api::not_found))
        .route("/api/v1/revocations", post(oauth::call_back::call_back))
        .route("/api/v1/grants", get(oauth::call_back::grants))
        .merge(oauth::routes(&app))
        .route("/ws", get(websocket))
        // Without SockJS's framing it is the same WebSocket.
        .route("/sockjs/websocket", get(websocket))
        .nest_service("/sockjs", app.roads.sockjs.clone())
        .merge(socketio::routes(
            app.roads.broker.clone(),
            app.roads.origins.clone(),
        ))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(page::not_found)
        .method_not_allowed_fallback(openapi::no_such_method)
        .layer(from_fn_with_state(app.throttle.clone(), throttle::guard))
        .layer(CatchPanicLayer::new())
        .layer(from_fn(host::check))
        .layer(from_fn_with_state(content_security, headers::add))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(app)
}

/// How people come in, and what they do about themselves and each other.
fn people_routes() -> Router<App> {
    Router::new()
        .route(
            "/sign-in/second-factor",
            get(second_factor::ask).post(second_factor::enter),
        )
        .route(
            "/invitation/{token}",
            get(invitation::show).post(invitation::accept),
        )
        .route("/login/token", post(sign_in::token))
        .route("/login/active", post(idle::active))
        .route("/login/unlock", post(idle::unlock))
        .route("/login/prove", get(external::prove))
        .route(
            "/second-factor",
            get(second_factor::ask_once_more).post(second_factor::enter_once_more),
        )
        .route("/account", get(account::show))
        .route("/account/logins/end-others", post(account::end_others))
        .route("/account/logins/{id}/end", post(account::end_login))
        .route("/account/grants/{id}/end", post(account::end_grant))
        .route("/account/password", post(account::change_password))
        .route(
            "/account/second-factor",
            get(second_factor::to_account).post(second_factor::confirm),
        )
        .route("/account/second-factor/begin", post(second_factor::begin))
        .route("/account/second-factor/renew", post(second_factor::renew))
        .route("/people", get(people::show))
        .route("/people/invite", post(people::invite))
        .route("/people/link", post(people::link))
        .route("/people/withdraw", post(people::withdraw))
        .route("/people/rights", post(people::rights))
        .route("/people/disable", post(people::disable))
        .route("/people/enable", post(people::enable))
        .route("/people/end-logins", post(people::end_logins))
}

/// STOMP over WebSocket.
async fn websocket(
    State(roads): State<Roads>,
    Asker(peer): Asker,
    uri: Uri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !roads.origins.allow(&uri, &headers) {
        let message = "pages of this origin may not connect here, unless `[http] origins` of the server names it\n";
        return (StatusCode::FORBIDDEN, message).into_response();
    }
    roads.broker.upgrade_websocket(upgrade, peer)
}
