//! The program against a server behind TLS that wants a certificate.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::binary::{SITE, agent, complaint, write_config_with};
use crate::harness::{TestServer, eventually};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, as PEM.
fn pair(authority: &Authority, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// TLS in front of a server that has none.
struct Front {
    address: SocketAddr,
    /// The certificates of clients, as they came.
    shown: Arc<Mutex<Vec<CertificateDer<'static>>>>,
    _task: AbortOnDropHandle<()>,
}

impl Front {
    async fn start(authority: &Authority, behind: SocketAddr) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .unwrap();
        let (certificate, key) = pair(authority, "localhost");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![der(&certificate)],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&shown);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await.unwrap();
                    let certificates = stream.get_ref().1.peer_certificates();
                    seen.lock()
                        .unwrap()
                        .extend(certificates.unwrap().first().cloned());
                    let mut onward = TcpStream::connect(behind).await.unwrap();
                    let _ended = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
                });
            }
        });
        Self {
            address,
            shown,
            _task: AbortOnDropHandle::new(task),
        }
    }
}

/// Ends the program with the test, however that ends.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).unwrap();
}

const FILES: &str = "authority = \"ca.pem\"\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_and_the_session_go_by_tls_and_each_connection_shows_the_newest_certificate() {
    let authority = authority();
    let server = TestServer::start().await;
    let front = Front::start(&authority, server.address).await;
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let pairs = [pair(&authority, "agent-p1"), pair(&authority, "agent-p1")];
    let write_pair = |(certificate, key): &(String, String)| {
        write(root, "cert.pem", certificate);
        write(root, "key.pem", key);
    };
    write(root, "ca.pem", &authority.pem());
    write_pair(&pairs[0]);
    let url = format!("https://localhost:{}", front.address.port());
    write_config_with(root, SITE, &url, FILES);
    let _program = Program(
        crate::binary::command(root, "run", Some("secret"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    server
        .until("the inventory", |told| told.inventories.first().cloned())
        .await;
    let first = der(&pairs[0].0);
    assert_eq!(
        *front.shown.lock().unwrap(),
        [first.clone(), first],
        "token and session"
    );
    write_pair(&pairs[1]);
    server.hang_up();
    let second = der(&pairs[1].0);
    eventually("a new session", || {
        (server.told.borrow().inventories.len() == 2).then_some(())
    })
    .await;
    assert_eq!(front.shown.lock().unwrap()[2..], [second.clone(), second]);
}

#[test]
fn check_reads_the_files_and_wants_tls_or_a_sentence() {
    let authority = authority();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (certificate, key) = pair(&authority, "agent-p1");
    write(root, "ca.pem", &authority.pem());
    write(root, "cert.pem", &certificate);
    write(root, "key.pem", &key);
    let check = |url: &str, more: &str| {
        write_config_with(root, SITE, url, more);
        agent(root, "check", None)
    };
    let good = check("https://landside.example", FILES);
    assert!(good.status.success(), "{good:?}");
    let said = String::from_utf8(good.stdout).unwrap();
    assert!(said.contains("wss://landside.example/ws"), "{said}");
    let refused = |url: &str, more: &str, words: &[&str]| {
        let output = check(url, more);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        let said = complaint(&output);
        for word in ["agent.toml"].iter().chain(words) {
            assert!(said.contains(word), "{word:?} is missing in: {said}");
        }
    };
    let sentence = format!("without_tls = \"{}\"\n", network::WITHOUT_TLS);
    refused("http://10.0.0.1:8080", "", &["https", network::WITHOUT_TLS]);
    assert!(check("http://10.0.0.1:8080", &sentence).status.success());
    let (_, other) = pair(&authority, "agent-p1");
    write(root, "key.pem", &other);
    refused(
        "https://landside.example",
        FILES,
        &["key.pem", "made together"],
    );
    std::fs::remove_file(root.join("ca.pem")).unwrap();
    refused(
        "https://landside.example",
        FILES,
        &["ca.pem", "cannot read"],
    );
}
