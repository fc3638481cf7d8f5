//! The real agent and the real server over TLS, with certificates on both sides.

use std::time::Duration;

use crate::harness::PATIENCE;
use crate::listener_tls::{Authority, Pair};
use crate::processes::Chain;

const SERVER: &str = "[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\nclient_authority = \"agents-ca.pem\"\nagents_need_certificate = true\n";
const AGENT: &str =
    "authority = \"ca.pem\"\ncertificate = \"agent-cert.pem\"\nkey = \"agent-key.pem\"\n";

/// The programs are asked again and again, since nothing tells a test when they have done something.
async fn until_logged(chain: &Chain, words: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !chain.logs().contains(words) {
        let is_late = tokio::time::Instant::now() > deadline;
        assert!(!is_late, "nobody says {words:?}: {}", chain.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn replace(chain: &Chain, pair: &Pair) {
    chain.write("agent-cert.pem", &pair.certificate);
    chain.write("agent-key.pem", &pair.key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_comes_in_with_its_own_certificate_and_no_other() {
    let (authority, agents, strangers) = (
        Authority::named("Server"),
        Authority::named("Agents"),
        Authority::named("Strangers"),
    );
    let (server, stranger) = (authority.pair("127.0.0.1"), strangers.pair("agent-1"));
    let (server_authority, agents_authority) = (authority.pem(), agents.pem());
    let files = [
        ("cert.pem", server.certificate.as_str()),
        ("key.pem", server.key.as_str()),
        ("ca.pem", server_authority.as_str()),
        ("agents-ca.pem", agents_authority.as_str()),
        ("agent-cert.pem", stranger.certificate.as_str()),
        ("agent-key.pem", stranger.key.as_str()),
    ];
    let chain = Chain::start_with("https", SERVER, AGENT, &files).await;
    until_logged(
        &chain,
        "does not trust the authority of this agent's certificate",
    )
    .await;
    // From here on the agent is not started again: it takes the files as they are when it tries again.
    replace(&chain, &agents.pair("agent-2"));
    until_logged(
        &chain,
        "server.certificate must have this agent's id as its name",
    )
    .await;
    let devices = "select count(*) from device";
    assert_eq!(chain.database.count(devices).await, 0, "{}", chain.logs());
    replace(&chain, &agents.pair("agent-1"));
    until_logged(&chain, "uplink: connected to the server").await;
    chain.polls("gate-1", 2).await;
    assert_eq!(chain.database.count(devices).await, 6, "{}", chain.logs());
    chain.stop().await;
}
