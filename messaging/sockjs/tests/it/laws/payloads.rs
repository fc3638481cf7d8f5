//! What holds for every body and WebSocket message of a client, and for every text that goes out. Driven by proptest in
//! this crate's tests and by the fuzzer in `messaging/fuzz`.

use serde_json::Value;
use sockjs::frame::{self, Callback, Form};
use sockjs::payload::{PayloadError, of_body, of_form, of_socket};

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

/// Panics when `bytes` break a law of what is read or written.
pub(crate) fn check(bytes: &[u8]) {
    check_body(bytes);
    check_socket(bytes);
    check_form(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_written(text);
    }
}

/// The strings of an array of strings, as a reader of any JSON finds them.
fn strings(bytes: &[u8]) -> Option<Vec<String>> {
    let Value::Array(members) = serde_json::from_slice(bytes).ok()? else {
        return None;
    };
    let string = |member| match member {
        Value::String(text) => Some(text),
        _ => None,
    };
    members.into_iter().map(string).collect()
}

fn check_body(bytes: &[u8]) {
    let read = of_body(bytes);
    assert_eq!(read == Err(PayloadError::Missing), bytes.is_empty());
    assert_eq!(read.clone().ok(), strings(bytes));
    for text in read.iter().flatten() {
        check_written(text);
    }
}

/// A body is a message too; what else is one is a single string, or nothing.
fn check_socket(bytes: &[u8]) {
    let one = serde_json::from_slice::<String>(bytes).ok();
    let expected = match (bytes.is_empty(), one) {
        (true, _) => Ok(Vec::new()),
        (false, Some(text)) => Ok(vec![text]),
        (false, None) => strings(bytes).ok_or(PayloadError::Broken),
    };
    assert_eq!(of_socket(bytes), expected);
}

/// A form carries the same; what is no form is read as a body, whatever its type is called.
fn check_form(bytes: &[u8]) {
    let escaped: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
    if std::str::from_utf8(bytes).is_ok() {
        for around in [format!("d={escaped}"), format!("x=1&d={escaped}&d=2")] {
            assert_eq!(of_form(FORM, around.as_bytes()), of_body(bytes));
        }
    }
    assert_eq!(of_form(Some("text/plain"), bytes), of_body(bytes));
    assert_eq!(of_form(None, bytes), of_body(bytes));
    // As it is, it is a form of some fields, or of none.
    let _ = of_form(FORM, bytes);
}

/// Whatever the text: each transport's client finds where a frame ends, and the text in it.
fn check_written(text: &str) {
    let frame = frame::message(text);
    assert_eq!(
        frame,
        frame::messages([frame["a[".len()..frame.len() - 1].as_ref()])
    );
    assert_eq!(strings(&frame.as_bytes()[1..]), Some(vec![text.to_owned()]));
    assert!(!frame.contains(is_lost), "{frame:?}");
    let close = frame::close(3000, text);
    let told: (u16, String) = serde_json::from_str(&close[1..]).expect("a close frame is JSON");
    assert_eq!(told, (3000, text.to_owned()));
    for frame in [frame, close] {
        for form in forms() {
            assert_eq!(unwrap(&form, &form.wrap(&frame)), frame);
        }
    }
}

/// What browsers lost, or took for something else: the protocol wants it escaped.
fn is_lost(character: char) -> bool {
    let ranges = [
        ('\0', '\x1f'),
        ('\u{200c}', '\u{200f}'),
        ('\u{2028}', '\u{202f}'),
        ('\u{2060}', '\u{206f}'),
        ('\u{fff0}', '\u{ffff}'),
    ];
    ranges
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&character))
}

/// Every way to carry frames.
pub(crate) fn forms() -> [Form; 4] {
    let callback = || Callback::of_query(Some("c=cb")).expect("it is a name");
    [
        Form::Lines,
        Form::EventSource,
        Form::HtmlFile(callback()),
        Form::Jsonp(callback()),
    ]
}

/// What a client of `form` makes of `bytes`, which are one frame and nothing else.
pub(crate) fn unwrap(form: &Form, bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).expect("frames are text");
    let inner = |before: &str, after: &str| {
        let inner = text.strip_prefix(before);
        let inner = inner.and_then(|rest| rest.strip_suffix(after));
        inner.expect("a frame is wrapped as its form says")
    };
    let script = |before: &str, after: &str| {
        let inner = inner(before, after);
        assert!(!inner.contains('<'), "{inner:?} may end or hide a script");
        assert!(!inner.contains(is_lost), "{inner:?}");
        serde_json::from_str(inner).expect("a string of JSON is one of a script")
    };
    match form {
        Form::Lines => one_line(inner("", "\n")),
        Form::EventSource => one_line(inner("data: ", "\r\n\r\n")),
        Form::HtmlFile(_) => script("<script>\np(", ");\n</script>\r\n"),
        Form::Jsonp(_) => script("/**/cb(", ");\r\n"),
    }
}

fn one_line(frame: &str) -> String {
    assert!(!frame.contains(['\n', '\r']), "{frame:?} is torn");
    frame.to_owned()
}
