//! The task that keeps the server informed: a token, a WebSocket, a STOMP session, again and again.
//!
//! Durable things (events, command results) wait in the store until their RECEIPT; readings are the newest or nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use contract::heartbeat::{Heartbeat, LineHealth, LineState};
use contract::inventory::{self, Inventory};
use contract::reading::Readings;
use contract::{AgentId, DeviceId, FaultCode, InstanceId, LineId};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use url::Url;

use crate::AgentError;
use crate::backoff::Backoff;
use crate::clock::{InstanceClock, Moment};
use crate::config::ServerAddress;
use crate::dispatch::{Acknowledgement, Delivery};
use crate::reading::News;
use crate::report::Report;
use crate::store::{Store, StoreError};
use crate::tls;

mod dial;
mod session;
pub(crate) mod token;

use dial::{Connection, DialError, Dialer};
use session::{Action, Session};
use token::{Credentials, Token, TokenError};

/// Between the attempts to reach the server.
const RECONNECT_FIRST: Duration = Duration::from_secs(1);
const RECONNECT_LEAST: Duration = Duration::from_millis(500);
const RECONNECT_MAX: Duration = Duration::from_secs(15);

/// For the connection and the WebSocket's handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A socket that takes nothing for so long leads nowhere; shorter than three heart-beats.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The wait for the server's good-bye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Between the attempts to renew a token.
const RENEW_RETRY: Duration = Duration::from_secs(5);

type Socket = WebSocketStream<Connection>;

/// Why a session ended or did not begin.
#[derive(Debug, thiserror::Error)]
enum UplinkError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{url} cannot be connected: {source}")]
    Connect {
        url: Url,
        #[source]
        source: Box<tungstenite::Error>,
    },
    #[error("the connection broke: {0}")]
    Socket(#[source] Box<tungstenite::Error>),
    #[error("{what} took longer than {within:?}")]
    TooSlow {
        what: &'static str,
        within: Duration,
    },
    #[error("the session ended: {0}")]
    Closed(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<tungstenite::Error> for UplinkError {
    fn from(error: tungstenite::Error) -> Self {
        if tls::went_away(&error) {
            return Self::Closed(format!("the server {}", tls::WENT_AWAY));
        }
        Self::Socket(Box::new(error))
    }
}

/// What the server is told of this agent.
#[derive(Debug, Clone)]
pub(crate) struct Announcement {
    pub(crate) agent: AgentId,
    pub(crate) instance: InstanceId,
    pub(crate) clock: InstanceClock,
    pub(crate) profiles: Vec<inventory::Profile>,
    pub(crate) devices: Vec<inventory::Device>,
}

pub(crate) struct Uplink {
    pub(crate) server: ServerAddress,
    pub(crate) credentials: Credentials,
    pub(crate) announcement: Announcement,
    pub(crate) store: Store,
    /// While the outbox has no room for clearing all other faults; see [`Store::clear_unknown_faults`].
    pub(crate) known_faults: Option<BTreeSet<(DeviceId, FaultCode)>>,
    pub(crate) lines: Vec<(LineId, watch::Receiver<LineState>)>,
    pub(crate) readings: mpsc::Receiver<News>,
    pub(crate) deliveries: mpsc::Sender<Delivery>,
    pub(crate) acknowledgements: mpsc::Receiver<Acknowledgement>,
    pub(crate) shutdown: CancellationToken,
}

impl Uplink {
    /// Runs until shutdown.
    ///
    /// # Errors
    /// The store is gone, or the server knows neither the client nor its secret. Once it has known them, it may do so
    /// again, and then this keeps asking.
    pub(crate) async fn run(self) -> Result<(), AgentError> {
        let shutdown = self.shutdown.clone();
        let dialer = Dialer::new(&self.server);
        let mut task = UplinkTask {
            uplink: self,
            dialer,
            report: Report::default(),
            report_sequence: 0,
            session_number: 0,
            was_known: false,
            look_into_store: false,
            backoff: Backoff::new(RECONNECT_FIRST, RECONNECT_MAX).at_least(RECONNECT_LEAST),
        };
        let mut last_error = String::new();
        loop {
            let allowed_in;
            match task.live_through_session().await {
                Ok(()) => return Ok(()),
                Err(UplinkError::Store(StoreError::Stopped)) => {
                    return Err(StoreError::Stopped.into());
                }
                Err(UplinkError::Token(refused @ TokenError::Refused { .. }))
                    if !task.was_known =>
                {
                    return Err(AgentError::Refused(refused.to_string()));
                }
                Err(error) => {
                    allowed_in = match &error {
                        UplinkError::Token(refused) => refused.retry_after(),
                        _ => None,
                    };
                    // A server that is away for a night is one line in the log, not thousands.
                    let text = error.to_string();
                    if text == last_error {
                        debug!(%error, "still not connected to the server");
                    } else {
                        warn!(%error, "not connected to the server");
                        last_error = text;
                    }
                }
            }
            // After the time that the server asks for, and not all at once.
            let pause = allowed_in.unwrap_or_default() + task.backoff.next_pause();
            tokio::select! {
                () = sleep(pause) => {}
                () = shutdown.cancelled() => return Ok(()),
            }
        }
    }
}

struct UplinkTask {
    uplink: Uplink,
    dialer: Dialer,
    report: Report,
    report_sequence: u64,
    session_number: u64,
    /// The server has given a token.
    was_known: bool,
    /// Something may wait in the store for a frame that could go now.
    look_into_store: bool,
    backoff: Backoff,
}

/// When the token is to be renewed, or the renewal that is under way.
enum Renewal {
    At(Instant),
    UnderWay(JoinHandle<Result<Token, TokenError>>),
}

impl Renewal {
    /// Waits until there is something to do, and says what came of it.
    async fn next(&mut self) -> Option<Result<Token, String>> {
        match self {
            Self::At(at) => {
                sleep_until((*at).into()).await;
                None
            }
            Self::UnderWay(task) => Some(match task.await {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            }),
        }
    }
}

impl UplinkTask {
    fn fetch_token(&self) -> impl Future<Output = Result<Token, TokenError>> + use<> {
        token::fetch(
            self.dialer.clone(),
            self.uplink.server.token_url.clone(),
            self.uplink.credentials.clone(),
        )
    }

    /// Ok: shutdown.
    async fn live_through_session(&mut self) -> Result<(), UplinkError> {
        let shutdown = self.uplink.shutdown.clone();
        let fetch = self.fetch_token();
        let connect = async {
            let token = fetch.await?;
            self.was_known = true;
            let socket = connect(&self.dialer, &self.uplink.server.stomp_url).await?;
            Ok::<_, UplinkError>((token, socket))
        };
        let (token, mut socket) = tokio::select! {
            connected = connect => connected?,
            () = shutdown.cancelled() => return Ok(()),
        };
        self.session_number += 1;
        let now = Instant::now();
        let mut renewal = Renewal::At(now + token.renew_in);
        let mut session = Session::new(self.uplink.server.host.clone(), token.authorization, now);
        loop {
            self.act(&mut session).await?;
            transmit(&mut session, &mut socket).await?;
            let wake = session
                .deadline()
                .unwrap_or_else(|| Instant::now() + CONNECT_TIMEOUT);
            // Every branch only waits.
            tokio::select! {
                frame = socket.next() => receive(frame, &mut session)?,
                Some(news) = self.uplink.readings.recv() => {
                    session.note_readings(!news.readings.is_empty(), Instant::now());
                    self.report.absorb(news);
                }
                Some(acknowledgement) = self.uplink.acknowledgements.recv() => {
                    if acknowledgement.session == self.session_number {
                        session.ack(&acknowledgement.ack);
                    }
                }
                () = self.uplink.store.outgoing() => self.look_into_store = true,
                renewed = renewal.next() => {
                    self.handle_renewal(&mut renewal, renewed, &mut session);
                }
                () = sleep_until(wake.into()) => {}
                () = shutdown.cancelled() => {
                    say_goodbye(session, socket).await;
                    return Ok(());
                }
            }
        }
    }

    fn handle_renewal(
        &self,
        renewal: &mut Renewal,
        renewed: Option<Result<Token, String>>,
        session: &mut Session,
    ) {
        let now = Instant::now();
        *renewal = match renewed {
            None => Renewal::UnderWay(tokio::spawn(self.fetch_token())),
            Some(Ok(token)) => {
                session.renew(token.authorization, now);
                Renewal::At(now + token.renew_in)
            }
            Some(Err(error)) => {
                warn!(%error, "the token is not renewed yet");
                Renewal::At(now + RENEW_RETRY)
            }
        };
    }

    /// Does what came in and what is due.
    async fn act(&mut self, session: &mut Session) -> Result<(), UplinkError> {
        let now = Moment::now();
        let overdue = session.handle_deadline(now.mono);
        if let Some(Action::Closed(why)) = overdue {
            return Err(UplinkError::Closed(why));
        }
        while let Some(action) = session.poll_action() {
            self.act_on(action, session, now).await?;
        }
        if session.wants_heartbeat(now.mono) {
            let heartbeat = self.heartbeat(now).await?;
            session.send_heartbeat(&heartbeat, now.mono);
        }
        self.send_report(session, now);
        if std::mem::take(&mut self.look_into_store) {
            self.send_stored(session, now).await?;
        }
        Ok(())
    }

    async fn send_stored(&mut self, session: &mut Session, now: Moment) -> Result<(), UplinkError> {
        if session.wants_events() {
            let events = self.uplink.store.oldest_events().await?;
            let events = contract::event::Events {
                agent: self.uplink.announcement.agent.clone(),
                epoch: self.uplink.store.epoch(),
                events,
            };
            session.send_events(&events, now.mono);
        }
        if let Some(after) = session.wants_results_after() {
            let results = self.uplink.store.results_after(after).await?;
            session.send_results(results, now.mono);
        }
        Ok(())
    }

    async fn act_on(
        &mut self,
        action: Action,
        session: &mut Session,
        now: Moment,
    ) -> Result<(), UplinkError> {
        match action {
            Action::Open => session.open(&self.inventory(now), now.mono),
            Action::Ready => {
                info!("connected to the server");
                self.look_into_store = true;
                self.backoff.reset();
                // What lines had to say while there was no session comes first; then everything goes out anew.
                while let Ok(news) = self.uplink.readings.try_recv() {
                    self.report.absorb(news);
                }
            }
            Action::DeleteEvents(last) => {
                self.uplink.store.delete_events(last).await?;
                self.clear_unknown_faults(now).await?;
                self.look_into_store = true;
            }
            Action::DeleteResult(id) => {
                self.uplink.store.delete_result(id).await?;
                self.look_into_store = true;
            }
            Action::Command { ack, body } => {
                let delivery = Delivery {
                    session: self.session_number,
                    ack,
                    body,
                };
                // More commands than this at once are no operator's: refused, and the server knows it at once.
                if let Err(refused) = self.uplink.deliveries.try_send(delivery) {
                    error!("a command was refused: too many at once");
                    session.nack(&refused.into_inner().ack);
                }
            }
            Action::Refused { what, why } => error!(what, why, "the server refused"),
            Action::Closed(why) => return Err(UplinkError::Closed(why)),
        }
        Ok(())
    }

    /// There is room in the outbox again: what had to wait for it since the start is tried once more.
    async fn clear_unknown_faults(&mut self, now: Moment) -> Result<(), StoreError> {
        let Some(known) = self.uplink.known_faults.clone() else {
            return Ok(());
        };
        match self
            .uplink
            .store
            .clear_unknown_faults(known, now.wall)
            .await
        {
            Ok(()) => self.uplink.known_faults = None,
            Err(StoreError::Full) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn inventory(&self, now: Moment) -> Inventory {
        let announcement = &self.uplink.announcement;
        Inventory {
            agent: announcement.agent.clone(),
            instance: announcement.instance,
            epoch: self.uplink.store.epoch(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sent_at: now.wall,
            monotonic_ms: announcement.clock.monotonic_ms(now.mono),
            profiles: announcement.profiles.clone(),
            devices: announcement.devices.clone(),
        }
    }

    async fn heartbeat(&self, now: Moment) -> Result<Heartbeat, UplinkError> {
        let announcement = &self.uplink.announcement;
        Ok(Heartbeat {
            agent: announcement.agent.clone(),
            instance: announcement.instance,
            sent_at: now.wall,
            monotonic_ms: announcement.clock.monotonic_ms(now.mono),
            outbox_events: self.uplink.store.waiting_events().await?,
            lines: self
                .uplink
                .lines
                .iter()
                .map(|(line, state)| LineHealth {
                    line: line.clone(),
                    state: *state.borrow(),
                })
                .collect(),
        })
    }

    fn send_report(&mut self, session: &mut Session, now: Moment) {
        if session.takes_full_report(now.mono) {
            self.report.renew();
        }
        if !session.takes_readings(now.mono) {
            return;
        }
        for devices in self.report.take(now) {
            self.report_sequence += 1;
            session.send_readings(&Readings {
                agent: self.uplink.announcement.agent.clone(),
                instance: self.uplink.announcement.instance,
                sequence: self.report_sequence,
                sent_at: now.wall,
                monotonic_ms: self.uplink.announcement.clock.monotonic_ms(now.mono),
                devices,
            });
        }
    }
}

async fn connect(dialer: &Dialer, url: &Url) -> Result<Socket, UplinkError> {
    let failed = |source: tungstenite::Error| match tls::explain(&dialer.server(), &source) {
        Some(sentence) => DialError::Tls(sentence).into(),
        None => UplinkError::Connect {
            url: url.clone(),
            source: Box::new(source),
        },
    };
    let mut request = url.as_str().into_client_request().map_err(failed)?;
    request.headers_mut().insert(
        "Sec-WebSocket-Protocol",
        HeaderValue::from_static("v12.stomp"),
    );
    let connect = async {
        let connection = dialer.dial().await?;
        let (socket, _response) = client_async(request, connection).await.map_err(failed)?;
        Ok(socket)
    };
    match timeout(CONNECT_TIMEOUT, connect).await {
        Ok(connected) => connected,
        Err(_elapsed) => Err(UplinkError::TooSlow {
            what: "connecting to the server",
            within: CONNECT_TIMEOUT,
        }),
    }
}

fn receive(
    frame: Option<Result<Message, tungstenite::Error>>,
    session: &mut Session,
) -> Result<(), UplinkError> {
    let now = Instant::now();
    match frame {
        Some(Ok(Message::Text(text))) => session.handle_bytes(text.as_bytes(), now),
        Some(Ok(Message::Binary(bytes))) => session.handle_bytes(&bytes, now),
        // Answered by the library; the STOMP session has its own heart-beats.
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
        Some(Ok(Message::Close(_))) | None => {
            return Err(UplinkError::Closed("the server hung up".to_owned()));
        }
        Some(Err(error)) => return Err(error.into()),
    }
    Ok(())
}

async fn transmit(session: &mut Session, socket: &mut Socket) -> Result<(), UplinkError> {
    let write = async {
        while let Some(bytes) = session.poll_transmit(Instant::now()) {
            let message = match String::from_utf8(bytes.to_vec()) {
                Ok(text) => Message::text(text),
                Err(_binary) => Message::binary(bytes),
            };
            socket.feed(message).await?;
        }
        socket.flush().await
    };
    match timeout(WRITE_TIMEOUT, write).await {
        Ok(written) => Ok(written?),
        Err(_elapsed) => Err(UplinkError::TooSlow {
            what: "writing to the server",
            within: WRITE_TIMEOUT,
        }),
    }
}

/// DISCONNECT, and a moment for the server to have taken everything before it.
async fn say_goodbye(mut session: Session, mut socket: Socket) {
    session.disconnect(Instant::now());
    let goodbye = async {
        transmit(&mut session, &mut socket).await?;
        loop {
            receive(socket.next().await, &mut session)?;
            while let Some(action) = session.poll_action() {
                if let Action::Closed(_) = action {
                    return Ok::<_, UplinkError>(());
                }
            }
        }
    };
    match timeout(GOODBYE_TIMEOUT, goodbye).await {
        Ok(Ok(())) => debug!("said good-bye to the server"),
        Ok(Err(error)) => debug!(%error, "the server was gone before the good-bye"),
        Err(_elapsed) => debug!("the server did not answer the good-bye"),
    }
}
