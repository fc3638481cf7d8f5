//! A provider that hangs: it accepts, and says nothing.

use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::config::provider_for_tests;

/// Whatever a question may take, and what a busy machine adds.
const ONE_QUESTION: Duration = Duration::from_secs(9);

/// The provider, and what it listens with: connections wait there unanswered.
async fn hanging() -> (Arc<Provider>, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config =
        provider_for_tests("[roles]\noperators = \"operator\"\n[zones]\noperators = [\"*\"]\n");
    config.issuer = format!("http://{}", listener.local_addr().unwrap());
    (Arc::new(Provider::new(config).unwrap()), listener)
}

#[tokio::test]
async fn nobody_waits_for_the_questions_of_others() {
    let (provider, _listener) = hanging().await;
    let begun = Instant::now();
    let (one, two, three) = tokio::join!(
        provider.begin("/", Purpose::SignIn),
        provider.begin("/", Purpose::SignIn),
        provider.key(Some("one"), SigningAlgorithm::Es256),
    );
    assert!(one.is_err() && two.is_err() && matches!(three, Err(NoKey::Away)));
    assert!(begun.elapsed() < ONE_QUESTION, "{:?}", begun.elapsed());
    // It hung until a moment ago: nobody tries that again at once.
    let begun = Instant::now();
    assert!(provider.begin("/", Purpose::SignIn).await.is_err());
    assert!(begun.elapsed() < FETCH_TIMEOUT, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn stale_keys_count_while_new_ones_do_not_come() {
    let (provider, _listener) = hanging().await;
    let document = json!({"keys": [{
        "kty": "EC", "crv": "P-256", "kid": "one", "alg": "ES256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }]});
    let set = KeySet::read(document.to_string().as_bytes()).unwrap();
    let long_ago = Instant::now() - Duration::from_secs(61);
    lock(&provider.keys).put(set, Some(Duration::ZERO), long_ago);
    assert!(provider.keys_are_stale());
    let begun = Instant::now();
    for _ in 0..3 {
        let key = provider.key(Some("one"), SigningAlgorithm::Es256).await;
        assert!(key.is_ok(), "it is at hand");
    }
    assert!(begun.elapsed() < FETCH_TIMEOUT, "{:?}", begun.elapsed());
}
