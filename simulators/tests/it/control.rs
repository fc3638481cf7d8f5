//! The control interface, spoken to with plain HTTP/1.1.

use serde_json::Value;
use simulators::{Airport, Cause, Fault, TruthEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::start;

/// Status and body (null when there is none).
async fn request(airport: &Airport, line: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(airport.control_address()).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nhost: simulators\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn faults_are_switched_and_shown() {
    let (airport, dir) = start("").await;
    let written = std::fs::read_to_string(dir.path().join("control.addr")).unwrap();
    assert_eq!(written.trim(), airport.control_address().to_string());

    let jam = "/devices/gate-1/faults/jammed";
    assert_eq!(request(&airport, &format!("POST {jam}")).await.0, 204);
    assert_eq!(
        request(&airport, &format!("POST {jam}")).await.0,
        204,
        "again"
    );
    let (status, devices) = request(&airport, "GET /devices").await;
    assert_eq!(status, 200);
    let items = devices["items"].as_array().unwrap();
    let ids: Vec<_> = items
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["gate-1", "kiosk-1", "printer-1"]);
    assert_eq!(items[0]["faults"], serde_json::json!(["jammed"]));
    assert_eq!(items[0]["gate"]["status"], "opening");
    assert_eq!(items[0]["gate"]["pulses"]["open"], 0);
    assert_eq!(items[1].get("gate"), None);
    assert_eq!(items[2]["address"]["kind"], "serial");

    assert_eq!(request(&airport, &format!("DELETE {jam}")).await.0, 204);
    let events: Vec<_> = airport
        .truth()
        .unwrap()
        .into_iter()
        .map(|line| line.event)
        .collect();
    let fault = Fault::Jammed;
    let cause = Cause::Control;
    assert_eq!(
        events,
        [
            TruthEvent::Started,
            TruthEvent::FaultOn { fault, cause },
            TruthEvent::FaultOff { fault, cause }
        ],
        "switching twice is one truth"
    );
}

#[tokio::test]
async fn what_does_not_exist_is_a_404_with_a_sentence() {
    let (airport, _dir) = start("").await;
    for (line, part) in [
        ("POST /devices/gate-9/faults/jammed", "no device \"gate-9\""),
        (
            "POST /devices/gate-1/faults/paper_out",
            "a gate has no fault \"paper_out\"; it has error, jammed",
        ),
        (
            "DELETE /devices/kiosk-1/faults/x",
            "a kiosk has no fault \"x\"",
        ),
    ] {
        let (status, body) = request(&airport, line).await;
        assert_eq!(status, 404, "{line}");
        let sentence = body["error"].as_str().unwrap();
        assert!(sentence.contains(part), "{sentence}");
    }
}
