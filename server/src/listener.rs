//! How the server listens for HTTP: an accept loop that bounds whoever comes, before anybody knows who it is.
//!
//! | module | |
//! |---|---|
//! | [`limits`] | every bound, with its reason |
//! | `ledger`, `door` | which connections there may be, and who makes room |
//! | `console` | which addresses are the control room's |
//! | `stream` | a connection with a clock for heads, for silence, and for answers that are not taken |
//! | `body` | bodies that come in time |
//! | `asker` | who asks, as far as trusted proxies tell |
//! | `rate` | how often somebody may do something |
//! | [`tls`] | certificates, read and read again |
//!
//! What a client is told: 408 for a head or body that does not come in time, 431 for a head that is too long, 503 when there
//! is no room. Who does not take an answer is cut off. A handshake of TLS that is slow or refused ends without a word, since there is nothing yet to say it in.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use broker::{KeepAlive, Peer};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

pub(crate) mod asker;
mod body;
pub(crate) mod console;
mod door;
mod ledger;
pub mod limits;
pub(crate) mod rate;
mod stream;
pub mod tls;

use crate::observability::{Unserved, count_unserved};
use body::{Answer, Late, Timed};
use door::{Door, Seat};
use ledger::Full;
use limits::{HEAD_BYTES, Limits};
use stream::{Carrier, Course, Watched};

/// After the word to stop, requests under way get this long; one that never ends must not hold up the stop.
const REQUEST_GRACE: Duration = Duration::from_secs(3);

/// After a failed accept, usually for want of file descriptors: until some connections have ended.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that are being told why they end. 64: whoever comes beyond that is told nothing.
const FAREWELLS: usize = 64;

/// How long a last word may take to be read.
const FAREWELL: Duration = Duration::from_secs(1);

/// What one listener is told.
pub(crate) struct Settings {
    /// For the log.
    pub(crate) name: &'static str,
    pub(crate) limits: Limits,
    /// Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub(crate) proxies: Arc<[IpAddr]>,
    /// Addresses for which the reserve is kept, besides this machine.
    pub(crate) consoles: Vec<IpAddr>,
    /// The newest certificate; `None`: without TLS.
    pub(crate) tls: Option<watch::Receiver<Arc<rustls::ServerConfig>>>,
}

/// Everything that connections of one listener share.
struct Hall {
    routes: Router,
    settings: Settings,
    door: Door,
    farewells: Arc<Semaphore>,
    shutdown: CancellationToken,
}

/// Serves until the shutdown, and ends not much later, whatever clients do. Returns the listener's name.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    settings: Settings,
    shutdown: CancellationToken,
) {
    let name = settings.name;
    let hall = Arc::new(Hall {
        door: Door::new(settings.limits, &settings.proxies, &settings.consoles),
        farewells: Arc::new(Semaphore::new(FAREWELLS)),
        routes,
        settings,
        shutdown,
    });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = hall.shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, name, "a connection's task failed");
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => hall.let_in(stream, address, &mut connections),
            Err(error) => {
                tracing::warn!(%error, name, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(REQUEST_GRACE, all).await.is_err() {
        tracing::info!(name, "some requests did not end in time and were cut off");
        connections.shutdown().await;
    }
}

impl Hall {
    fn let_in(
        self: &Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        connections: &mut JoinSet<()>,
    ) {
        broker::tcp::set_up(&stream, KeepAlive::default());
        match self.door.enter(address.ip()) {
            Ok(seat) => {
                let serving = Arc::clone(self).serve(stream, address, seat);
                connections.spawn(serving);
            }
            Err(full) => {
                count_unserved(match full {
                    Full::All => Unserved::Connections,
                    Full::Address => Unserved::Address,
                });
                // In TLS there is nothing to say it in before the handshake, which is what there is no room for.
                if self.settings.tls.is_none()
                    && let Ok(permit) = Arc::clone(&self.farewells).try_acquire_owned()
                {
                    connections.spawn(async move {
                        let sentence = "too many connections are open: try again in a moment\n";
                        let carrier = Carrier::Plain(stream);
                        say_farewell(carrier, StatusCode::SERVICE_UNAVAILABLE, sentence).await;
                        drop(permit);
                    });
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, address: SocketAddr, seat: Seat) {
        let course = Arc::new(Course::new(seat));
        let shaken = tokio::select! {
            shaken = self.shake_hands(stream) => shaken,
            () = self.shutdown.cancelled() => None,
            () = course.seat().displaced() => None,
        };
        let Some((carrier, certificate)) = shaken else {
            return;
        };
        let peer = Peer {
            address,
            is_secured: matches!(carrier, Carrier::Tls(_)),
            certificate,
        };
        let stream = Watched::new(carrier, Arc::clone(&course), &self.settings.limits);
        let service = service_fn(|request| self.answer(request, &peer, &course));
        let mut connection = http1::Builder::new()
            // `Watched` has a clock that tells a head from silence.
            .header_read_timeout(None)
            .max_header_size(HEAD_BYTES)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut is_closing = false;
        let served = loop {
            tokio::select! {
                served = &mut connection => break served,
                () = self.shutdown.cancelled(), if !is_closing => {
                    is_closing = true;
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                }
                () = course.seat().displaced() => return,
            }
        };
        if let Err(error) = served {
            tracing::debug!(%address, %error, "a connection ended early");
            let stream = connection.into_parts().map(|parts| parts.io.into_inner());
            if stream.as_ref().is_some_and(Watched::is_abandoned) {
                count_unserved(Unserved::Answer);
            }
            if let Some(stream) = stream.filter(Watched::is_late) {
                count_unserved(Unserved::Head);
                let sentence = "the head of the request did not come in time\n";
                let carrier = stream.into_carrier();
                say_farewell(carrier, StatusCode::REQUEST_TIMEOUT, sentence).await;
            }
        }
    }

    /// The stream that carries HTTP, and the name in the client's certificate.
    async fn shake_hands(&self, stream: TcpStream) -> Option<(Carrier, Option<Arc<str>>)> {
        let Some(config) = &self.settings.tls else {
            return Some((Carrier::Plain(stream), None));
        };
        let config = Arc::clone(&config.borrow());
        let shaking = TlsAcceptor::from(config).accept(stream);
        match timeout(self.settings.limits.arrival, shaking).await {
            Ok(Ok(stream)) => {
                let certificate = tls::name_of_client(stream.get_ref().1);
                Some((Carrier::Tls(Box::new(stream)), certificate))
            }
            Ok(Err(error)) => {
                count_unserved(Unserved::Handshake);
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_late) => {
                count_unserved(Unserved::Handshake);
                None
            }
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
        course: &Arc<Course>,
    ) -> Result<Response, Infallible> {
        let under_way = course.begin();
        let late = Late::default();
        let deadline = Instant::now() + self.settings.limits.body;
        let asking = under_way.asking();
        let mut request =
            request.map(|body| Body::new(Timed::new(body, deadline, late.clone(), asking)));
        let asker = asker::resolve(peer, request.headers(), &self.settings.proxies);
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(peer.address));
        extensions.insert(asker);
        let Ok(response) = self.routes.clone().call(request).await;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            under_way.for_good();
            return Ok(response);
        }
        let response = if late.is_set() && response.status().is_client_error() {
            count_unserved(Unserved::Body);
            too_slow()
        } else {
            response
        };
        Ok(response.map(|body| {
            Body::new(Answer {
                body,
                _under_way: under_way,
            })
        }))
    }
}

/// Instead of what a handler made of the want of a body.
fn too_slow() -> Response {
    let sentence = "the body did not come in time: send the whole of it at once\n";
    let mut response = (StatusCode::REQUEST_TIMEOUT, sentence).into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// An answer before any request. The rest of what the client sends is read for a moment, since the system would take the
/// answer back with an end that has bytes unread.
async fn say_farewell(mut carrier: Carrier, status: StatusCode, sentence: &str) {
    let reason = status.canonical_reason().unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\nretry-after: 5\r\n\r\n{sentence}",
        status.as_u16(),
        sentence.len()
    );
    let saying = async {
        carrier.write_all(answer.as_bytes()).await?;
        carrier.shutdown().await?;
        let mut rest = [0; 1024];
        while carrier.read(&mut rest).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    if let Ok(Err(error)) = timeout(FAREWELL, saying).await {
        tracing::debug!(%error, "a last word was not heard");
    }
}
