//! Socket.IO clients at a whole server: the same guard, the same handlers, the same answers as everybody.

use serde_json::{Value, json};

use crate::agent::event;
use crate::harness::TestServer;
use crate::socketio_client::{By, Engine, Said, SocketIo, WAYS};

impl TestServer {
    async fn socketio(&self, (engine, by): (Engine, By), client: &str) -> SocketIo {
        let token = self.token(client).await;
        SocketIo::connect(self.http_address(), engine, by, &token).await
    }
}

#[tokio::test]
async fn whoever_comes_sees_and_does_the_same() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    let mut sequence = 0;
    for way in WAYS {
        let mut client = server.socketio(way, "program").await;
        let alarms = json!({"destination": "/topic/alarms", "id": "a"});
        let answer = client.done("subscribe", alarms).await;
        assert_eq!(answer, json!({"ok": true, "id": "a"}), "{way:?}");
        let device = json!({"destination": "/topic/devices/gate-1"});
        let answer = client.done("subscribe", device).await;
        let device = answer["id"].as_str().unwrap().to_owned();

        // Live states, as objects.
        agent.gate_is(&format!("state-{sequence}")).await;
        let state = loop {
            let (name, message) = client.event().await;
            assert_eq!(
                (&*name, &message["subscription"]),
                ("message", &json!(device))
            );
            assert_eq!(message["destination"], "/topic/devices/gate-1");
            assert!(message["id"].is_string());
            if message.to_string().contains(&format!("state-{sequence}")) {
                break message;
            }
        };
        assert!(state["body"].is_object(), "{state}");

        // An alarm comes, is acknowledged once, and a second time is told apart by the handler.
        sequence += 1;
        agent
            .events(vec![event(sequence, "gate-1", "BAR-ERR", true)])
            .await;
        let alarm = loop {
            let (_, message) = client.event().await;
            if message["subscription"] == "a" && !message["body"]["id"].is_null() {
                break message["body"].clone();
            }
        };
        let destination = format!("/app/alarms/{}/acknowledge", alarm["id"]);
        let seen = json!({"occurrence": alarm["occurrence"]});
        let acknowledge = json!({"destination": destination, "body": seen});
        assert_eq!(client.done("send", acknowledge).await, json!({"ok": true}));

        let nothing = json!({"destination": "/app/alarms/999/acknowledge", "body": seen});
        let answer = client.ask("send", nothing.clone()).await;
        assert_eq!(
            (&answer["ok"], &answer["code"]),
            (&json!(false), &json!("not-open"))
        );
        // Who wants no answer is told all the same, and the session lives.
        client.text(&format!("2{}", json!(["send", nothing]))).await;
        let refusal = loop {
            let (name, refusal) = client.event().await;
            if name == "refusal" {
                break refusal;
            }
        };
        assert_eq!(refusal["destination"], "/app/alarms/999/acknowledge");
        assert_eq!(client.ask("dance", json!({})).await["code"], "bad-event");
        client.done("unsubscribe", json!({"id": "a"})).await;

        sequence += 1;
        agent
            .events(vec![event(sequence, "gate-1", "BAR-ERR", false)])
            .await;
    }
    let acknowledged = "select count(*) from alarm_transition where action = 'acknowledge'";
    assert_eq!(server.database.count(acknowledged).await, 4);
    server.stop().await;
}

#[tokio::test]
async fn who_may_not_is_told_and_put_out() {
    let server = TestServer::start().await;
    for way in WAYS {
        let (engine, by) = way;
        let mut client = SocketIo::begin(server.http_address(), engine, by, "forged").await;
        let refusal = match client.next().await {
            Said::Text(text) => text,
            other => panic!("{other:?} instead of a refusal"),
        };
        let refusal: Value = serde_json::from_str(refusal.strip_prefix('4').unwrap()).unwrap();
        let code = match engine {
            Engine::Three => &refusal["code"],
            Engine::Four => &refusal["data"]["code"],
        };
        assert_eq!(code, "unauthenticated", "{way:?}");
        assert!(refusal["message"].as_str().unwrap().contains("token"));
        assert_eq!(client.next().await, Said::End, "{way:?}");

        let mut client = server.socketio(way, "program-p2").await;
        let forbidden = json!({"destination": "/topic/zones/p1/alarms"});
        let answer = client.ask("subscribe", forbidden).await;
        assert_eq!(
            (&answer["ok"], &answer["code"]),
            (&json!(false), &json!("forbidden"))
        );
        let (name, error) = client.event().await;
        assert_eq!((&*name, &error["code"]), ("error", &json!("forbidden")));
        // It is not to come back by itself.
        assert_eq!(client.next().await, Said::Text("1".to_owned()), "{way:?}");
        assert_eq!(client.next().await, Said::End, "{way:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_is_renewed_in_place() {
    let server = TestServer::start().await;
    let token = server.token("program").await;
    let others = server.token("program-p2").await;
    for way in WAYS {
        let mut client = server.socketio(way, "program").await;
        client.done("token", json!({"token": token})).await;
        client.done("token", json!({"token": token})).await;
        let answer = client.ask("token", json!({"token": others})).await;
        assert_eq!(answer["code"], "subject-changed", "{way:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn commands_reach_their_agent() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/commands").await;
    agent.heartbeat(1_000).await;
    // As clients come: by polling, then over a WebSocket.
    let way = (Engine::Four, By::Polling);
    let mut client = server.socketio(way, "program").await;
    client.upgrade().await;
    let open = |key: u128| json!({"key": uuid::Uuid::from_u128(key), "name": "open"});
    let send = |body: Value| json!({"destination": "/app/devices/gate-1/commands", "body": body});
    client.done("send", send(open(1))).await;
    assert_eq!(agent.command().await.name.as_str(), "open");
    // The same in a buffer.
    let packet = json!(["send", send(json!({"_placeholder": true, "num": 0}))]);
    client.text(&format!("51-{packet}")).await;
    client.binary(open(2).to_string().as_bytes()).await;
    assert_eq!(agent.command().await.name.as_str(), "open");
    server.stop().await;
}

#[tokio::test]
async fn the_end_of_the_server_is_told() {
    let server = TestServer::start().await;
    let mut clients = Vec::new();
    for engine in [Engine::Three, Engine::Four] {
        let way = (engine, By::WebSocket);
        clients.push(server.socketio(way, "program").await);
    }
    let ends = clients.into_iter().map(|mut client| async move {
        let (name, error) = client.event().await;
        assert_eq!((&*name, &error["code"]), ("error", &json!("shutting-down")));
        // New clients connect again by themselves after this end, as they do not after a packet "1".
        assert_eq!(client.next().await, Said::End);
    });
    tokio::join!(server.stop(), futures_util::future::join_all(ends));
}

#[tokio::test]
async fn what_is_no_client_is_refused() {
    let server = TestServer::start().await;
    let http = reqwest::Client::new();
    let get = |query: &str| http.get(server.url(&format!("/socket.io/?{query}")));
    for (request, status) in [
        (
            get("EIO=4&transport=polling").header("origin", "https://elsewhere"),
            403,
        ),
        (
            get("EIO=4&transport=websocket").header("origin", "null"),
            403,
        ),
        (
            get("EIO=4&transport=polling").header("origin", server.url("")),
            200,
        ),
        (get("EIO=3&transport=polling&j=0"), 400),
        (get("EIO=2&transport=polling"), 400),
        (get("EIO=4&transport=carrier-pigeon"), 400),
        (get("EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA"), 400),
        (get("EIO=4&transport=websocket"), 426),
        (get(""), 400),
        // The oldest clients do not say what they speak.
        (get("transport=polling"), 200),
        (
            http.post(server.url("/socket.io/?EIO=4&transport=polling")),
            400,
        ),
        (
            http.put(server.url("/socket.io/?EIO=4&transport=polling")),
            405,
        ),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{}", answer.url());
        assert_eq!(answer.headers()["cache-control"], "no-store");
    }
    // Browsers give the answer to the page, and only to that.
    let own = server.url("");
    let query = get("EIO=3&transport=polling").header("origin", &own);
    let answer = query.send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], own);
    assert_eq!(answer.headers()["vary"], "origin");
    let options = |origin: &str| {
        let url = server.url("/socket.io/?EIO=3&transport=polling");
        http.request(reqwest::Method::OPTIONS, url)
            .header("origin", origin)
    };
    let answer = options(&own).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(
        answer.headers()["access-control-allow-headers"],
        "content-type"
    );
    let answer = options("https://elsewhere").send().await.unwrap();
    assert_eq!(answer.status(), 403);
    server.stop().await;
}

/// Engine.IO's own reader would never come back from these.
#[tokio::test]
async fn a_length_that_ends_within_a_character_holds_up_nobody() {
    let server = TestServer::start().await;
    let http = reqwest::Client::new();
    for body in ["1:😀x".as_bytes(), b"1:\xf0\x9f\x98\x80\xff"] {
        let url = server.url("/socket.io/?EIO=3&transport=polling");
        let opened = http.get(&url).send().await.unwrap().text().await.unwrap();
        let (_, rest) = opened.split_once("\"sid\":\"").unwrap();
        let (sid, _) = rest.split_once('"').unwrap();
        let post = http.post(format!("{url}&sid={sid}")).body(body.to_vec());
        let answer = tokio::time::timeout(std::time::Duration::from_secs(10), post.send()).await;
        let answer = answer.expect("the server answers").unwrap();
        assert_eq!(answer.status(), 400);
    }
    server.stop().await;
}
