//! The cookie by which load balancers keep a client with one server.

use crate::harness::{Receiver, Request, Site, get, no_cookie, options, post, session};

/// Every request on a session of `service`, in an order in which each is answered.
fn requests(service: &str) -> Vec<Request> {
    let mut all = Vec::new();
    for receiver in Receiver::ALL {
        all.push(receiver.request(&session(service)));
    }
    let opened = session(service);
    all.push(Receiver::Xhr.request(&opened));
    for send in ["xhr_send", "jsonp_send"] {
        let request = post(format!("{opened}/{send}"))
            .with("Content-Type", "text/plain")
            .body("[]");
        all.push(request);
    }
    for transport in ["xhr", "xhr_send", "xhr_streaming"] {
        all.push(options(format!("{opened}/{transport}")).with("Origin", "test"));
    }
    all
}

async fn set_cookie(site: &Site, request: &Request) -> Option<String> {
    let stream = site.open(request).await;
    assert!(matches!(stream.head.status, 200 | 204), "{request:?}");
    stream.head.header("set-cookie").map(str::to_owned)
}

#[tokio::test]
async fn every_session_url_sets_it_and_keeps_what_came() {
    let site = Site::four().await;
    for request in requests("/cookie_needed_echo") {
        let fresh = set_cookie(&site, &request).await;
        assert_eq!(
            fresh.as_deref(),
            Some("JSESSIONID=dummy; path=/"),
            "{request:?}"
        );
    }
    for cookie in ["JSESSIONID=abcdef", "a=b; JSESSIONID=abcdef; c=d"] {
        for request in requests("/cookie_needed_echo") {
            let kept = set_cookie(&site, &request.clone().with("Cookie", cookie)).await;
            assert_eq!(
                kept.as_deref(),
                Some("JSESSIONID=abcdef; path=/"),
                "{request:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_service_without_it_sets_none() {
    let site = Site::four().await;
    for request in requests("/echo") {
        let request = request.with("Cookie", "JSESSIONID=abcdef");
        assert_eq!(set_cookie(&site, &request).await, None, "{request:?}");
    }
}

#[tokio::test]
async fn what_belongs_to_no_session_sets_none() {
    let site = Site::four().await;
    for path in ["", "/", "/info", "/iframe.html"] {
        let answer = site.ask(&get(format!("/cookie_needed_echo{path}"))).await;
        assert_eq!(answer.status(), 200);
        no_cookie(&answer.head);
    }
}
