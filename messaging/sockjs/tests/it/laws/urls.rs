//! What holds for every path and query, as they come in a request. Driven by proptest in this crate's tests and by the
//! fuzzer in `messaging/fuzz`.

use sockjs::frame::{Callback, Form};
use sockjs::route::{Route, route};

/// Longer names of functions, and names of sessions, are refused.
const CALLBACK_MAX: usize = 32;
const ID_MAX: usize = 128;

/// Panics when `bytes`, a path that may have a query, break a law.
pub(crate) fn check(bytes: &[u8]) {
    // Requests reach a service as text.
    let url = String::from_utf8_lossy(bytes);
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (url.as_ref(), None),
    };
    check_path(path);
    check_query(query);
}

fn check_path(path: &str) {
    let found = route(path);
    let Some(found) = found else {
        return;
    };
    assert!(path.is_empty() || path.starts_with('/'), "{path:?}");
    if !path.is_empty() && !path.ends_with('/') {
        assert_eq!(route(&format!("{path}/")), Some(found), "{path:?}");
    }
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    match found {
        Route::Session { id, .. } => {
            let [_, server, in_path, _] = parts.as_slice() else {
                panic!("{path:?} has no session in it");
            };
            assert_eq!(id, *in_path);
            for name in [server, in_path] {
                assert!((1..=ID_MAX).contains(&name.len()), "{path:?}");
                assert!(!name.contains(['.', '/']), "{path:?}");
            }
            // Whatever the server is called, it is the same session.
            let elsewhere = path.replacen(server, "elsewhere", 1);
            assert_eq!(route(&elsewhere), Some(found), "{elsewhere:?}");
        }
        Route::Greeting => assert!(matches!(path, "" | "/"), "{path:?}"),
        Route::Info | Route::Iframe | Route::RawWebSocket => {
            assert_eq!(parts.len(), 2, "{path:?}");
        }
    }
}

/// What stands in an answer as the name of a function is nothing else.
fn check_query(query: Option<&str>) {
    let callback = match Callback::of_query(query) {
        Ok(callback) => callback,
        Err(text) => {
            let known = [
                "\"callback\" parameter required",
                "invalid \"callback\" parameter",
            ];
            assert!(known.contains(&text), "{text}");
            return;
        }
    };
    let answer = Form::Jsonp(callback.clone()).wrap("o");
    let answer = std::str::from_utf8(&answer).expect("it is text");
    let name = answer.strip_prefix("/**/");
    let name = name.and_then(|rest| rest.strip_suffix("(\"o\");\r\n"));
    let name = name.expect("it is a call of one function");
    assert!((1..=CALLBACK_MAX).contains(&name.len()), "{name:?}");
    let may = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    assert!(name.bytes().all(may), "{name:?}");
    let page = Form::HtmlFile(callback).prelude();
    let page = std::str::from_utf8(&page).expect("it is text");
    assert!(page.contains(&format!("var c = parent.{name};\n")));
    assert!(page.len() > 1024 && page.ends_with("\r\n\r\n"));
}
