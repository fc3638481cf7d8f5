//! A token by https from servers that are right, wrong, or want to see a certificate.

use std::io;
use std::net::SocketAddr;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, SupportedProtocolVersion, version};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite;

use super::*;
use crate::tls::made::{Authority, Pair, TODAY};
use crate::uplink::UplinkError;
use crate::uplink::token::{self, Credentials};

const REPLY: &str = r#"{"access_token":"x","expires_in":900}"#;

/// A server's side of TLS; `clients` makes the certificates that clients must show.
fn server_side(
    pair: &Pair,
    clients: Option<&Authority>,
    only: &'static SupportedProtocolVersion,
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[only])
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let pem = authority.pem();
            roots
                .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
                .unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes());
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    builder.with_single_cert(chain, key).unwrap()
}

/// Gives a token on one connection, and tells which certificate was shown on it.
struct Server {
    address: SocketAddr,
    shown: JoinHandle<Option<CertificateDer<'static>>>,
}

impl Server {
    async fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shown = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let accepted = TlsAcceptor::from(Arc::new(config)).accept(stream);
            let mut stream = match accepted.into_fallible().await {
                Ok(stream) => stream,
                // What was said last is read before the connection is gone.
                Err((_refused, mut stream)) => {
                    let _ended = stream.shutdown().await;
                    let _ended = stream.read_to_end(&mut Vec::new()).await;
                    return None;
                }
            };
            let mut request = Vec::new();
            while !request.ends_with(b"client_secret=s") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            let reply = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{REPLY}",
                REPLY.len()
            );
            stream.write_all(reply.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            let (_, connection) = stream.get_ref();
            connection.peer_certificates()?.first().cloned()
        });
        Self { address, shown }
    }
}

async fn ask(dialer: &Dialer) -> Result<(), String> {
    let credentials = Credentials {
        agent: "agent-1".parse().unwrap(),
        secret: "s".to_owned(),
    };
    let url = dialer.base.join("/oauth/token").unwrap();
    let token = token::fetch(dialer.clone(), url, credentials).await;
    token.map(drop).map_err(|error| error.to_string())
}

/// An agent that knows a server by this name, with the files that it has.
struct Agent {
    directory: TempDir,
    dialer: Dialer,
}

impl Agent {
    fn new(host: &str, server: SocketAddr, trusted: &str, own: Option<&Pair>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = directory.path().join("ca.pem");
        std::fs::write(&authority, trusted).unwrap();
        let files = TlsFiles {
            authority: Some(authority),
            own: own.map(|pair| pair.write(directory.path())),
        };
        let mut dialer = Dialer {
            base: format!("https://{host}").parse().unwrap(),
            tls: Some(Tls {
                files,
                held: Arc::default(),
            }),
        };
        dialer.move_to(server);
        Self { directory, dialer }
    }
}

impl Dialer {
    pub(in crate::uplink) fn plain(base: &Url) -> Self {
        Self {
            base: base.clone(),
            tls: None,
        }
    }

    fn move_to(&mut self, server: SocketAddr) {
        self.base.set_port(Some(server.port())).unwrap();
    }
}

/// What comes of asking a server with the pair `shown`, known as `host`, when `trusted` is.
async fn check(host: &str, shown: &Pair, trusted: &str, expected: Result<(), &str>) {
    let server = Server::start(server_side(shown, None, &version::TLS13)).await;
    let agent = Agent::new(host, server.address, trusted, None);
    let url = format!("https://{host}:{}", server.address.port());
    compare(ask(&agent.dialer).await, expected, &url);
    server.shown.await.unwrap();
}

#[track_caller]
fn compare(got: Result<(), String>, expected: Result<(), &str>, url: &str) {
    match (got, expected) {
        (Ok(()), Ok(())) => {}
        (Err(error), Err(words)) => {
            assert!(error.starts_with(url), "{error}");
            assert!(error.contains(words) && !error.contains('\n'), "{error}");
        }
        (got, expected) => panic!("{got:?} is not {expected:?}"),
    }
}

#[tokio::test]
async fn only_a_server_with_a_good_certificate_is_told_the_secret() {
    let (authority, other) = (Authority::new("Airport"), Authority::new("Other"));
    let ca = authority.pem();
    let good = authority.pair("localhost", TODAY);
    check("localhost", &good, &ca, Ok(())).await;
    check(
        "127.0.0.1",
        &authority.pair("127.0.0.1", TODAY),
        &ca,
        Ok(()),
    )
    .await;
    check("localhost", &good, &(other.pem() + &ca), Ok(())).await;
    let unknown = Err("the file of that authority in server.authority");
    check("localhost", &good, &other.pem(), unknown).await;
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let namesake = Authority::with_key("Airport", key);
        check("localhost", &good, &namesake.pem(), unknown).await;
    }
    let elsewhere = authority.pair("elsewhere.example", TODAY);
    check(
        "localhost",
        &elsewhere,
        &ca,
        Err("with the name elsewhere.example: "),
    )
    .await;
    check("127.0.0.1", &good, &ca, Err("in server.url")).await;
    let address = authority.pair("10.0.0.1", TODAY);
    check("127.0.0.1", &address, &ca, Err("with the name 10.0.0.1: ")).await;
    let expired = authority.pair("localhost", (2020, 2021));
    check("localhost", &expired, &ca, Err("has expired")).await;
    let early = authority.pair("localhost", (2090, 2100));
    check("localhost", &early, &ca, Err("does not hold yet")).await;
}

#[tokio::test]
async fn a_server_may_be_its_own_authority_but_not_show_it() {
    let own = Pair::self_signed("localhost", false);
    check("localhost", &own, &own.certificate, Ok(())).await;
    let ca = Pair::self_signed("localhost", true);
    let wrong = Err("basicConstraints=CA:FALSE");
    check("localhost", &ca, &ca.certificate, wrong).await;
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        let mut rest = Vec::new();
        let _ended = stream.read_to_end(&mut rest).await;
        rest
    });
    let agent = Agent::new("127.0.0.1", address, &Authority::new("Airport").pem(), None);
    let error = ask(&agent.dialer).await.unwrap_err();
    assert!(error.contains("does not speak TLS"), "{error}");
    let told = plain.await.unwrap();
    let secret = b"client_secret";
    assert!(!told.windows(secret.len()).any(|bytes| bytes == secret));
}

#[tokio::test]
async fn a_server_that_goes_without_a_word_is_said_to_be_gone() {
    let authority = Authority::new("Airport");
    let pair = authority.pair("localhost", TODAY);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gone = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let config = server_side(&pair, None, &version::TLS13);
        let mut stream = TlsAcceptor::from(Arc::new(config))
            .accept(stream)
            .await
            .unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"client_secret=s") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
    });
    let agent = Agent::new("localhost", address, &authority.pem(), None);
    let url = format!("https://localhost:{}", address.port());
    let expected = Err("went away: the connection ended in the middle");
    compare(ask(&agent.dialer).await, expected, &url);
    gone.await.unwrap();
    let ended = io::Error::new(io::ErrorKind::UnexpectedEof, "https://docs.example");
    let ended = UplinkError::from(tungstenite::Error::Io(ended)).to_string();
    assert!(ended.starts_with("the session ended: the server went away"));
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_one_or_says_what_is_wrong() {
    let (authority, other) = (Authority::new("Airport"), Authority::new("Other"));
    let server_pair = authority.pair("localhost", TODAY);
    let good = authority.pair("agent-1", TODAY);
    let expired = authority.pair("agent-1", (2020, 2021));
    let foreign = other.pair("agent-1", TODAY);
    for version in [&version::TLS12, &version::TLS13] {
        for (own, expected) in [
            (Some(&good), Ok(())),
            (None, Err("server.certificate and server.key")),
            (Some(&expired), Err("this agent's certificate has expired")),
            (
                Some(&foreign),
                Err("does not trust the authority of this agent's"),
            ),
        ] {
            let config = server_side(&server_pair, Some(&authority), version);
            let server = Server::start(config).await;
            let agent = Agent::new("localhost", server.address, &authority.pem(), own);
            compare(ask(&agent.dialer).await, expected, "https://localhost:");
            let shown = server.shown.await.unwrap();
            assert_eq!(shown.is_some(), expected.is_ok());
        }
    }
}

#[tokio::test]
async fn new_files_are_taken_for_the_next_connection_and_broken_ones_are_not() {
    let authority = Authority::new("Airport");
    let server_pair = authority.pair("localhost", TODAY);
    let pairs = ["first", "second"].map(|name| authority.pair(name, TODAY));
    let certificates = pairs
        .each_ref()
        .map(|pair| CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap());
    let somewhere = "127.0.0.1:1".parse().unwrap();
    let mut agent = Agent::new("localhost", somewhere, &authority.pem(), Some(&pairs[0]));
    let key = agent.directory.path().join("key.pem");
    for (written, expected) in [
        (&pairs[0].key, &certificates[0]),
        (&"nonsense".to_owned(), &certificates[0]),
        (&pairs[1].key, &certificates[1]),
    ] {
        if *written == pairs[1].key {
            pairs[1].write(agent.directory.path());
        }
        std::fs::write(&key, written).unwrap();
        let config = server_side(&server_pair, Some(&authority), &version::TLS13);
        let server = Server::start(config).await;
        agent.dialer.move_to(server.address);
        assert_eq!(ask(&agent.dialer).await, Ok(()));
        assert_eq!(server.shown.await.unwrap().as_ref(), Some(expected));
    }
}
