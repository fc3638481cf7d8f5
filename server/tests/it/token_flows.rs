//! The ways to a token as the docs show them: the script that they name, run as it stands there, and what it printed.

use std::path::Path;

use crate::harness::{PASSWORD, TestServer, access};

const APPLICATION: &str = r#"
[[application]]
id = "pda-app"
name = "Field app"
redirect_uris = ["http://127.0.0.1/signed-in"]
"#;

#[tokio::test]
async fn the_docs_show_what_comes() {
    let everybody = access() + APPLICATION;
    let server = TestServer::start_with("", &[("access.toml", &everybody)]).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/clients");
    let run = tokio::process::Command::new(folder.join("token-flows.sh"))
        .env("LANDSIDE_URL", server.url(""))
        .env("LANDSIDE_STOMP", server.stomp_address().to_string())
        .env("LANDSIDE_PROGRAM", "program")
        .env("LANDSIDE_PERSON", "omar")
        .env("LANDSIDE_APPLICATION", "pda-app")
        .env("LANDSIDE_SECRET", PASSWORD)
        .kill_on_drop(true)
        .output();
    let run = tokio::time::timeout(crate::harness::PATIENCE, run);
    let output = run.await.unwrap().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{printed}{complaints}");
    assert_eq!(complaints, "");
    let shown = std::fs::read_to_string(folder.join("token-flows.txt")).unwrap();
    assert_eq!(printed, shown, "what the docs show is what comes");
    server.stop().await;
}
