//! What stays over a restart: addresses, links, the truth.

use simulators::{Airport, AirportConfig, Fault, StartError, TruthEvent};

use crate::harness::{AIRPORT, Peer, SerialPeer, start, start_in, tcp_address};

#[tokio::test]
async fn addresses_and_truth_stay() {
    let (airport, dir) = start("").await;
    let before = tcp_address(&airport, "gate-1");
    let tty = airport.address("printer-1").unwrap().clone();
    // A connection that is open at the end leaves the port in TIME_WAIT.
    let mut peer = Peer::connect(&airport, "gate-1").await;
    airport.set_fault("gate-1", Fault::Jammed).await.unwrap();
    airport.shutdown().await.unwrap();
    assert!(peer.is_closed().await);

    let airport = start_in(&dir, "").await;
    assert_eq!(tcp_address(&airport, "gate-1"), before);
    assert_eq!(airport.address("printer-1").unwrap(), &tty);
    let (_peer, reply) = SerialPeer::open(&airport, "printer-1")
        .exchange(b"\x10\x04\x01", 1)
        .await;
    assert_eq!(reply, [0x12]);
    assert_eq!(
        airport.state("gate-1").await.unwrap().faults,
        [],
        "healthy again"
    );
    let truth = airport.truth().unwrap();
    let kinds: Vec<_> = truth
        .iter()
        .map(|line| match &line.event {
            TruthEvent::Started => "started",
            TruthEvent::Stopped => "stopped",
            TruthEvent::FaultOn { .. } => "fault on",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["started", "fault on", "stopped", "started"]);
    assert!(truth.is_sorted_by_key(|line| line.mono_ms));
}

#[tokio::test]
async fn a_port_that_somebody_took_is_replaced() {
    let (airport, dir) = start("").await;
    let before = tcp_address(&airport, "gate-1");
    let kiosk = tcp_address(&airport, "kiosk-1");
    airport.shutdown().await.unwrap();
    let _taken = tokio::net::TcpListener::bind(before).await.unwrap();
    let airport = start_in(&dir, "").await;
    assert_ne!(tcp_address(&airport, "gate-1"), before);
    assert_eq!(tcp_address(&airport, "kiosk-1"), kiosk);
    Peer::connect(&airport, "gate-1").await;
}

#[tokio::test]
async fn one_directory_has_one_airport() {
    let (_airport, dir) = start("").await;
    let config = AirportConfig::parse(AIRPORT, "airport.toml").unwrap();
    let error = Airport::start(config, dir.path()).await.unwrap_err();
    assert!(matches!(error, StartError::InUse(_)));
    assert!(
        error.to_string().contains("other simulators are running"),
        "{error}"
    );
}

#[tokio::test]
async fn each_agent_gets_the_site_file_of_its_devices() {
    let (airport, _dir) = start("").await;
    let read = |agent: &str| -> toml::Table {
        let path = airport.site_file(&agent.parse().unwrap());
        toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let site = read("agent-p1");
    let ids = |key: &str| -> Vec<&str> {
        let items = site[key].as_array().unwrap();
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap())
            .collect()
    };
    assert_eq!(ids("line"), ["gate-1", "printer-1"]);
    assert_eq!(ids("device"), ["gate-1", "printer-1"]);
    let address = tcp_address(&airport, "gate-1").to_string();
    assert_eq!(site["line"][0]["address"].as_str(), Some(address.as_str()));
    assert_eq!(
        read("agent-p2")["device"][0]["profile"].as_str(),
        Some("kiosk.jsonl")
    );
}
