//! Sessions, whatever carries them.

use tokio::time::timeout;

use crate::harness::{Frames, PATIENCE, Receiver, Site, get, messages, post, session};

const OTHER_OPEN: &str = r#"c[2010,"Another connection still open"]"#;
const GO_AWAY: &str = r#"c[3000,"Go away!"]"#;
const INTERRUPTED: &str = r#"c[1002,"Connection interrupted"]"#;

#[tokio::test]
async fn server_and_session_may_be_anything() {
    let site = Site::four().await;
    let unique = session("");
    let unique = unique.rsplit_once('/').unwrap().1;
    for path in [
        format!("/a/a{unique}/xhr"),
        format!("/_/_{unique}/xhr"),
        format!("/1/1{unique}/xhr"),
        format!("/abcdefgh_i-j%20/abcdefg_i-j%20{unique}/xhr"),
        format!("/%C3%A9/%C3%A9%F0%9F%98%80{unique}/xhr"),
        format!("/~!$&'()*+,;=:@/~!$&'()*+,;=:@{unique}/xhr"),
        format!("/b/b{unique}/xhr/"),
    ] {
        let answer = site.ask(&post(format!("/echo{path}"))).await;
        assert_eq!((answer.status(), answer.text()), (200, "o\n"), "{path}");
    }
}

#[tokio::test]
async fn paths_with_dots_or_empty_or_missing_or_more_parts_are_not_found() {
    let site = Site::four().await;
    for parts in [
        "//", "/a./a", "/a/a.", "/./.", "/", "///", "", "/a", "/a/b/c", "/a.b/c", "/a/",
    ] {
        for request in [
            get(format!("/echo{parts}/xhr")),
            post(format!("/echo{parts}/xhr")),
        ] {
            let answer = site.ask(&request).await;
            assert_eq!(answer.status(), 404, "{request:?}");
        }
    }
}

#[tokio::test]
async fn the_session_alone_identifies_a_session() {
    let site = Site::four().await;
    let session = site.opened("/echo").await;
    let elsewhere = session.replace("/000/", "/999/");
    site.send(&session, r#"["a"]"#).await;
    assert_eq!(site.poll(&elsewhere).await, "a[\"a\"]\n");
}

#[tokio::test]
async fn an_unknown_session_begins_with_an_open_frame_on_every_transport() {
    let site = Site::four().await;
    for receiver in Receiver::ALL {
        let mut frames = receiver.open(&site, &session("/echo")).await;
        frames.expect("o").await;
        if !receiver.is_streaming() {
            frames.end().await;
        }
    }
}

#[tokio::test]
async fn what_is_sent_to_an_unknown_session_is_refused() {
    let site = Site::four().await;
    for send in ["xhr_send", "jsonp_send"] {
        let request = post(format!("{}/{send}", session("/echo")))
            .with("Content-Type", "text/plain")
            .body(r#"["a"]"#);
        assert_eq!(site.ask(&request).await.status(), 404, "{send}");
    }
}

#[tokio::test]
async fn what_is_sent_comes_back_on_every_transport() {
    let site = Site::four().await;
    for receiver in Receiver::ALL {
        let session = session("/echo");
        let mut frames = receiver.opened(&site, &session).await;
        site.send(&session, r#"["x"]"#).await;
        frames.expect(r#"a["x"]"#).await;
        if !receiver.is_streaming() {
            frames.end().await;
        }
    }
}

#[tokio::test]
async fn a_second_receiver_is_sent_away_and_the_first_goes_on() {
    let site = Site::four().await;
    for first in Receiver::ALL {
        for second in Receiver::ALL {
            let session = session("/echo");
            let mut frames = first.open(&site, &session).await;
            frames.expect("o").await;
            if !first.is_streaming() {
                frames.end().await;
                frames = waiting(&site, first, &session).await;
            }
            let mut other = second.open(&site, &session).await;
            other.expect(OTHER_OPEN).await;
            other.end().await;
            site.send(&session, r#"["still here"]"#).await;
            frames.expect(r#"a["still here"]"#).await;
        }
    }
}

/// A poll that waits for messages: it does when another one is sent away. Where the other was quicker, it waits instead;
/// then it gets a message, and both are tried again.
async fn waiting(site: &Site, receiver: Receiver, session: &str) -> Frames {
    loop {
        let mut wire = site.connect().await;
        wire.write(&receiver.request(session).bytes()).await;
        let mut probe = site.connect().await;
        probe.write(&Receiver::Xhr.request(session).bytes()).await;
        tokio::select! {
            () = probe.came("Another connection") => return receiver.begin(wire).await,
            () = wire.came("Another connection") => {
                site.send(session, r#"["probe"]"#).await;
                probe.came("probe").await;
                assert!(probe.answer().await.text().ends_with('\n'));
            }
        }
    }
}

#[tokio::test]
async fn a_closed_session_answers_its_close_frame_to_every_request() {
    let site = Site::four().await;
    for receiver in Receiver::ALL {
        let session = session("/close");
        let mut frames = receiver.open(&site, &session).await;
        frames.expect("o").await;
        if receiver.is_streaming() {
            frames.expect(GO_AWAY).await;
        }
        frames.end().await;
        for again in Receiver::ALL {
            let mut frames = again.open(&site, &session).await;
            frames.expect(GO_AWAY).await;
            frames.end().await;
        }
        // Nobody reads it any more, and that is no news to the client.
        site.send(&session, r#"["late"]"#).await;
    }
}

#[tokio::test]
async fn a_close_unlinks_the_request_before_it_has_ended() {
    let site = Site::four().await;
    let session = session("/close");
    let mut first = Receiver::XhrStreaming.open(&site, &session).await;
    first.expect("o").await;
    first.expect(GO_AWAY).await;
    let mut second = Receiver::XhrStreaming.open(&site, &session).await;
    second.expect(GO_AWAY).await;
    first.end().await;
    second.end().await;
}

#[tokio::test]
async fn an_aborted_receiver_ends_the_session() {
    let site = Site::four().await;
    for receiver in Receiver::ALL {
        let session = session("/echo");
        let mut frames = receiver.open(&site, &session).await;
        frames.expect("o").await;
        if !receiver.is_streaming() {
            frames.end().await;
            frames = waiting(&site, receiver, &session).await;
        }
        assert_eq!(
            Receiver::XhrStreaming.first(&site, &session).await,
            OTHER_OPEN
        );
        drop(frames);
        // The server learns of it in its own time.
        let next = timeout(PATIENCE, after_others(&site, &session))
            .await
            .unwrap();
        // A new session, or the end of the old one: the protocol allows both, and ours tells.
        let allowed: &[&str] = match site.is_ours() {
            true => &[INTERRUPTED],
            false => &[INTERRUPTED, "o"],
        };
        assert!(allowed.contains(&next.as_str()), "{receiver:?}: {next}");
    }
}

/// The first frame that does not tell of another receiver.
async fn after_others(site: &Site, session: &str) -> String {
    let mut wire = site.connect().await;
    loop {
        let answer = wire.ask(&Receiver::Xhr.request(session)).await;
        let frame = Receiver::Xhr.unwrap(answer.text());
        if frame != OTHER_OPEN {
            return frame;
        }
    }
}

#[tokio::test]
async fn what_nobody_receives_is_kept_in_order() {
    let site = Site::four().await;
    let session = site.opened("/echo").await;
    for number in 0..300 {
        site.send(&session, format!(r#"["{number}"]"#)).await;
    }
    let expected: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    assert_eq!(site.messages(&session, 300).await, expected);
}

#[tokio::test]
async fn what_waits_for_a_poll_comes_in_one_frame() {
    let site = Site::four().await;
    for receiver in Receiver::ALL {
        let session = site.opened("/echo").await;
        let expected: Vec<String> = (0..8).map(|number| number.to_string()).collect();
        for number in &expected {
            site.send(&session, format!(r#"["{number}"]"#)).await;
        }
        let frame = receiver.first(&site, &session).await;
        assert_eq!(messages(&frame), expected, "{receiver:?}");
    }
}

#[tokio::test]
async fn the_messages_of_one_request_stay_in_order() {
    let site = Site::four().await;
    let session = site.opened("/echo").await;
    site.send(&session, r#"["a","","b","\u00e9 \"quoted\" \\"]"#)
        .await;
    let expected = ["a", "", "b", "é \"quoted\" \\"];
    assert_eq!(site.messages(&session, 4).await, expected);
}

#[tokio::test]
async fn a_session_goes_on_over_another_transport() {
    let site = Site::four().await;
    let session = site.opened("/echo").await;
    for receiver in [Receiver::Jsonp, Receiver::Xhr] {
        site.send(&session, r#"["x"]"#).await;
        let frame = receiver.first(&site, &session).await;
        assert_eq!(messages(&frame), ["x"], "{receiver:?}");
    }
    site.send(&session, r#"["y"]"#).await;
    let mut frames = Receiver::EventSource.open(&site, &session).await;
    frames.expect(r#"a["y"]"#).await;
}
