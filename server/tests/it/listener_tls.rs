//! TLS: pages, WebSocket and STOMP over it, certificates that change, and those of clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{PASSWORD, PATIENCE, TestServer};
use crate::stomp_client::StompClient;

/// Who makes certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    fn new() -> Self {
        Self::named("Airport")
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn pair(&self, name: &str) -> Pair {
        self.numbered(name, None)
    }

    fn numbered(&self, name: &str, number: Option<u64>) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.serial_number = number.map(SerialNumber::from);
        Pair {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// The list that takes back the certificates of these numbers; the next one would have been due.
    fn revocations(&self, numbers: &[u64]) -> String {
        let revoked = |number: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*number),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2026, 1, 2),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: numbers.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

const TLS: &str = "\n[stomp]\nlisten_tls = \"127.0.0.1:0\"\n[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";

async fn start(more: &str, server: &Pair, clients: Option<&Authority>) -> TestServer {
    let authority = clients.map(Authority::pem).unwrap_or_default();
    let files = [
        ("cert.pem", server.certificate.as_str()),
        ("key.pem", server.key.as_str()),
        ("agents-ca.pem", authority.as_str()),
    ];
    TestServer::start_with(&format!("{TLS}{more}"), &files).await
}

/// A client that trusts this authority, perhaps with a certificate of its own.
fn client(
    trusted: &Authority,
    own: Option<&Pair>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.0.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    match own {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes());
            let chain = chain.collect::<Result<_, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

async fn connect(
    config: &ClientConfig,
    address: SocketAddr,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config.clone()))
        .connect(name, stream)
        .await
}

/// Sends one request and reads until the server closes.
async fn ask(config: &ClientConfig, address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = connect(config, address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

async fn ask_for_token(config: &ClientConfig, server: &TestServer, id: &str) -> String {
    let secret = PASSWORD.replace(' ', "+");
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let request = format!(
        "POST /oauth/token HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    ask(config, server.http_address(), &request).await.unwrap()
}

async fn token(config: &ClientConfig, server: &TestServer, id: &str) -> String {
    let answer = ask_for_token(config, server, id).await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn everything_is_served_over_tls() {
    let authority = Authority::new();
    let server = start("", &authority.pair("localhost"), None).await;
    let http = server.http_address();
    let both = client(&authority, None, &[&version::TLS13, &version::TLS12]);
    for (only, expected) in [
        (&version::TLS12, ProtocolVersion::TLSv1_2),
        (&version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let mut config = client(&authority, None, &[only]);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = connect(&config, http).await.unwrap();
        let (_, connection) = stream.get_ref();
        assert_eq!(connection.protocol_version(), Some(expected));
        assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
    let page = ask(&both, http, &get("/sign-in")).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(
        page.contains("strict-transport-security: max-age="),
        "{page}"
    );
    let language = "POST /language HTTP/1.1\r\nhost: localhost\r\norigin: https://localhost\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 7\r\n\r\nlang=en";
    let answer = ask(&both, http, language).await.unwrap();
    assert!(answer.contains("; Secure"), "{answer}");

    let token = token(&both, &server, "program").await;
    let stream = connect(&both, server.stomp_tls_address()).await.unwrap();
    let mut stomp = StompClient::over(stream, &token);
    stomp.connected().await;
    stomp.subscribe("/topic/alarms").await;
    stomp.cast("/topic/alarms", &"no").await;
    assert!(!stomp.error().await.is_empty());

    let stream = connect(&both, http).await.unwrap();
    let request = "wss://localhost/ws".into_client_request().unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    let connect = format!("CONNECT\naccept-version:1.2\nhost:localhost\npasscode:{token}\n\n\0");
    socket.send(Message::text(connect)).await.unwrap();
    let answer = timeout(PATIENCE, socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(
        answer.to_text().unwrap().starts_with("CONNECTED"),
        "{answer:?}"
    );
    assert!(
        server
            .metrics()
            .await
            .contains("landside_tls_certificate_expires_seconds ")
    );
    server.stop().await;
}

/// Slow or wrong in TLS: no handshake, half of one, something else; and slow after it.
#[tokio::test]
async fn whoever_does_not_finish_a_handshake_is_cut_off() {
    let authority = Authority::new();
    let short = "[limits]\narrival_seconds = 1\n";
    let server = start(short, &authority.pair("localhost"), None).await;
    for address in [server.http_address(), server.stomp_tls_address()] {
        for sent in [
            &b""[..],
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"GET / HTTP/1.1\r\n\r\n",
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent).await.unwrap();
            let mut answer = Vec::new();
            let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
            let _ = read.expect("the server closes in time");
            assert!(!answer.starts_with(b"HTTP"), "{sent:?}");
        }
    }
    let config = client(&authority, None, &[&version::TLS13]);
    let head = ask(&config, server.http_address(), "GET / HTTP")
        .await
        .unwrap();
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    let stomp = ask(&config, server.stomp_tls_address(), "CONNECT\n").await;
    assert!(stomp.is_ok_and(|answer| answer.is_empty() || answer.starts_with("ERROR")));
    server.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_served_while_connections_live() {
    let (old, new) = (Authority::new(), Authority::new());
    let server = start("", &old.pair("localhost"), None).await;
    let (trusts_old, trusts_new) = (
        client(&old, None, &[&version::TLS13]),
        client(&new, None, &[&version::TLS13]),
    );
    let http = server.http_address();
    let token = token(&trusts_old, &server, "program").await;
    let stream = connect(&trusts_old, server.stomp_tls_address())
        .await
        .unwrap();
    let mut living = StompClient::over(stream, &token);
    living.connected().await;
    living.subscribe("/topic/alarms").await;
    assert!(connect(&trusts_new, http).await.is_err(), "not yet");

    let pair = new.pair("localhost");
    server.write("cert.pem", &pair.certificate);
    server.write("key.pem", &pair.key);
    let begun = Instant::now();
    while ask(&trusts_new, http, &get("/healthz")).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "the new certificate is served");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    connect(&trusts_new, server.stomp_tls_address())
        .await
        .unwrap();
    assert!(
        connect(&trusts_old, http).await.is_err(),
        "the old one is gone"
    );
    living.subscribe("/user/queue/errors").await;
    server.stop().await;
}

#[tokio::test]
async fn a_clients_certificate_and_its_token_go_together() {
    let (authority, agents, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let more = "client_authority = \"agents-ca.pem\"\nagents_need_certificate = true\n";
    let server = start(more, &authority.pair("localhost"), Some(&agents)).await;
    let versions = [&version::TLS13, &version::TLS12];
    let with = |pair: Option<&Pair>| client(&authority, pair, &versions);
    let (plain, own) = (with(None), with(Some(&agents.pair("agent-1"))));
    let agent_1 = token(&own, &server, "agent-1").await;
    let agent_2 = token(&with(Some(&agents.pair("agent-2"))), &server, "agent-2").await;
    let program = token(&plain, &server, "program").await;
    let stomp = server.stomp_tls_address();
    for (config, token, expected) in [
        (&own, &agent_1, None),
        (&own, &agent_2, Some("wrong-certificate")),
        (&own, &program, Some("wrong-certificate")),
        (&plain, &agent_1, Some("certificate-needed")),
        (&plain, &program, None),
    ] {
        let mut client = StompClient::over(connect(config, stomp).await.unwrap(), token);
        match expected {
            None => client.connected().await,
            Some(code) => assert_eq!(client.error().await, code),
        }
    }
    // A stolen secret is worth no token without the certificate, and a stolen token opens the API no more than a session.
    for (config, id, word) in [
        (&plain, "agent-1", "with a certificate of their own"),
        (&own, "agent-2", "has another name"),
    ] {
        let answer = ask_for_token(config, &server, id).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(answer.contains(word), "{answer}");
    }
    for (config, token, status) in [(&plain, &agent_1, "403"), (&own, &agent_1, "200")] {
        let request = get("/api/v1/alarms").replace(
            "\r\n\r\n",
            &format!("\r\nauthorization: Bearer {token}\r\n\r\n"),
        );
        let answer = ask(config, server.http_address(), &request).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    // Without TLS there is no certificate to show.
    let mut open = StompClient::begin(server.stomp_address(), &agent_1).await;
    assert_eq!(open.error().await, "certificate-needed");
    // That of another authority is no certificate here.
    let foreign = with(Some(&strangers.pair("agent-1")));
    for address in [stomp, server.http_address()] {
        assert!(ask(&foreign, address, &get("/healthz")).await.is_err());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_that_was_taken_back_opens_nothing_new() {
    let (authority, agents) = (Authority::new(), Authority::new());
    let more = "client_authority = \"agents-ca.pem\"\nclient_revocations = \"agents.crl\"\n";
    let pair = authority.pair("localhost");
    let (clients, nothing) = (agents.pem(), agents.revocations(&[]));
    let files = [
        ("cert.pem", pair.certificate.as_str()),
        ("key.pem", pair.key.as_str()),
        ("agents-ca.pem", clients.as_str()),
        ("agents.crl", nothing.as_str()),
    ];
    let server = TestServer::start_with(&format!("{TLS}{more}"), &files).await;
    let with = |number| {
        let own = agents.numbered("agent-1", Some(number));
        client(&authority, Some(&own), &[&version::TLS13])
    };
    let (stolen, good) = (with(7), with(8));
    let address = server.http_address();
    let token = token(&stolen, &server, "agent-1").await;
    let stream = connect(&stolen, server.stomp_tls_address()).await.unwrap();
    let mut living = StompClient::over(stream, &token);
    living.connected().await;

    server.write("agents.crl", &agents.revocations(&[7]));
    let begun = Instant::now();
    while ask(&stolen, address, &get("/healthz")).await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "the list is taken up");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let stomp = ask(&stolen, server.stomp_tls_address(), "").await;
    assert!(stomp.is_err(), "nor does STOMP");
    ask(&good, address, &get("/healthz")).await.unwrap();
    // What lives is ended by the access file.
    living.subscribe("/user/queue/errors").await;
    server.remove_from_access("agent-1");
    assert_eq!(living.error().await, "token-revoked");
    server.stop().await;
}
