//! Waiting until each part answers. Each wait ends by itself only when all is well; its caller sets the deadline.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::files::CLIENT;

const RETRY: Duration = Duration::from_millis(100);
/// How often progress is told at most.
const TELL_PERIOD: Duration = Duration::from_secs(1);
/// One answer of a server on the same machine.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What can be asked over HTTP while parts start.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    client: Client,
    base: String,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

#[derive(Deserialize)]
struct Devices {
    items: Vec<Device>,
}

#[derive(Deserialize)]
struct Device {
    id: String,
    condition: String,
}

impl Probe {
    pub(crate) fn new(http: SocketAddr) -> anyhow::Result<Self> {
        // No proxy of the environment stands between two programs of one machine.
        let client = Client::builder().no_proxy().timeout(ANSWER_MAX).build()?;
        Ok(Self {
            client,
            base: format!("http://{http}"),
        })
    }

    /// Waits until the server has all that it needs.
    pub(crate) async fn server(&self) {
        loop {
            let answer = self
                .client
                .get(format!("{}/readyz", self.base))
                .send()
                .await;
            if answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return;
            }
            sleep(RETRY).await;
        }
    }

    /// Waits until each device of `expected` is known and has somebody who speaks for it; tells how many are.
    ///
    /// `missing` is kept up to date with what a person would want to know if the time is up.
    pub(crate) async fn devices(
        &self,
        expected: &BTreeSet<String>,
        secret: &str,
        tell: &dyn Fn(&str),
        missing: &Cell<String>,
    ) {
        let mut token = None;
        let mut told = (usize::MAX, Instant::now());
        loop {
            match self.known(&mut token, secret).await {
                Ok(known) => {
                    let unknown: Vec<&str> = expected
                        .iter()
                        .filter(|id| !known.contains(*id))
                        .map(String::as_str)
                        .collect();
                    let count = expected.len() - unknown.len();
                    let due = told.0 == usize::MAX || told.1.elapsed() >= TELL_PERIOD;
                    if unknown.is_empty() || (count != told.0 && due) {
                        tell(&format!("devices {count} of {} known", expected.len()));
                        told = (count, Instant::now());
                    }
                    if unknown.is_empty() {
                        return;
                    }
                    missing.set(format!("not known: {}", unknown.join(", ")));
                }
                Err(error) => missing.set(format!("{error:#}")),
            }
            sleep(RETRY).await;
        }
    }

    /// The ids of all devices that somebody speaks for.
    async fn known(
        &self,
        token: &mut Option<String>,
        secret: &str,
    ) -> anyhow::Result<BTreeSet<String>> {
        let bearer = match token.take() {
            Some(bearer) => bearer,
            None => self.token(secret).await?,
        };
        let answer = self
            .client
            .get(format!("{}/api/v1/devices", self.base))
            .bearer_auth(&bearer)
            .send()
            .await?
            .error_for_status()?;
        // Kept only while it works: an expired one is replaced at the next try.
        *token = Some(bearer);
        let devices: Devices = answer.json().await.context("the list of devices")?;
        Ok(devices
            .items
            .into_iter()
            .filter(|device| !["unknown", "unregistered"].contains(&device.condition.as_str()))
            .map(|device| device.id)
            .collect())
    }

    async fn token(&self, secret: &str) -> anyhow::Result<String> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", CLIENT),
            ("client_secret", secret),
        ];
        let answer = self
            .client
            .post(format!("{}/oauth/token", self.base))
            .form(&form)
            .send()
            .await?
            .error_for_status()?;
        let token: Token = answer
            .json()
            .await
            .context("the answer to a token request")?;
        Ok(token.access_token)
    }
}

/// Waits until a program has written the line `ready` into its log.
pub(crate) async fn line_ready(log: &Path) {
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        if text.lines().any(|line| line == "ready") {
            return;
        }
        sleep(RETRY).await;
    }
}

/// Begins the simulators' scenario now that somebody can watch; `address_file` holds their control address.
pub(crate) async fn restart_scenario(address_file: &Path) -> anyhow::Result<()> {
    let address = std::fs::read_to_string(address_file)
        .with_context(|| format!("cannot read {}", address_file.display()))?;
    Client::builder()
        .no_proxy()
        .timeout(ANSWER_MAX)
        .build()?
        .post(format!("http://{}/scenario/restart", address.trim()))
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .context("cannot start the scenario")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::extract::State;
    use axum::http::HeaderMap;
    use axum::routing::{get, post};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A server that becomes ready at the third question, and whose devices come one per question.
    async fn serve() -> SocketAddr {
        let asked = Arc::new(AtomicUsize::new(0));
        let app = Router::new()
            .route(
                "/readyz",
                get(|State(asked): State<Arc<AtomicUsize>>| async move {
                    if asked.fetch_add(1, Ordering::SeqCst) < 2 {
                        StatusCode::SERVICE_UNAVAILABLE
                    } else {
                        asked.store(0, Ordering::SeqCst);
                        StatusCode::OK
                    }
                }),
            )
            .route("/oauth/token", post(token))
            .route("/api/v1/devices", get(devices))
            .with_state(asked);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    async fn token(form: String) -> Result<String, StatusCode> {
        if form == "grant_type=client_credentials&client_id=demo-program&client_secret=a+%26+b" {
            Ok("{\"access_token\":\"t\",\"token_type\":\"Bearer\",\"expires_in\":300}".to_owned())
        } else {
            Err(StatusCode::UNAUTHORIZED)
        }
    }

    async fn devices(
        State(asked): State<Arc<AtomicUsize>>,
        headers: HeaderMap,
    ) -> Result<String, StatusCode> {
        let n = asked.fetch_add(1, Ordering::SeqCst);
        // The second question meets an expired token.
        if n == 1 || headers["authorization"] != "Bearer t" {
            return Err(StatusCode::UNAUTHORIZED);
        }
        let conditions = match n {
            0 => ["unregistered", "unknown", "ok"],
            2 => ["unknown", "faulty", "ok"],
            _ => ["ok", "faulty", "ok"],
        };
        let items: Vec<_> = ["gate-1", "gate-2", "somebody-elses"]
            .into_iter()
            .zip(conditions)
            .map(|(id, condition)| serde_json::json!({ "id": id, "condition": condition }))
            .collect();
        Ok(serde_json::json!({ "items": items, "next": null }).to_string())
    }

    #[tokio::test]
    async fn waits_for_the_server_and_for_every_device() {
        let probe = Probe::new(serve().await).unwrap();
        timeout(PATIENCE, probe.server()).await.unwrap();
        let told = RefCell::new(Vec::new());
        let tell = |line: &str| told.borrow_mut().push(line.to_owned());
        let missing = Cell::default();
        let expected = ["gate-1", "gate-2"].map(str::to_owned).into();
        timeout(PATIENCE, probe.devices(&expected, "a & b", &tell, &missing))
            .await
            .unwrap();
        let told = told.into_inner();
        assert_eq!(told[0], "devices 0 of 2 known");
        assert_eq!(told.last().unwrap(), "devices 2 of 2 known");
        assert_eq!(missing.take(), "not known: gate-1");
    }

    #[tokio::test]
    async fn what_keeps_it_waiting_is_known() {
        let probe = Probe::new(serve().await).unwrap();
        let missing = Cell::default();
        let nothing = BTreeSet::new();
        let wait = probe.devices(&nothing, "wrong", &|_| {}, &missing);
        assert!(timeout(Duration::from_millis(500), wait).await.is_err());
        let missing = missing.take();
        assert!(
            missing.contains("401") && missing.contains("/oauth/token"),
            "{missing}"
        );
    }

    #[tokio::test]
    async fn a_ready_line_is_found_and_nothing_like_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("simulators.log");
        let unready = timeout(Duration::from_millis(150), line_ready(&log)).await;
        assert!(unready.is_err(), "no log yet");
        std::fs::write(&log, "INFO not ready\n").unwrap();
        let unready = timeout(Duration::from_millis(150), line_ready(&log)).await;
        assert!(unready.is_err());
        std::fs::write(&log, "INFO not ready\nready\n").unwrap();
        timeout(PATIENCE, line_ready(&log)).await.unwrap();
    }
}
