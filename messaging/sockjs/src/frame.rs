//! Frames from the server, and how each transport wraps them (SockJS protocol 0.3, "Framing accepted by the client").
//! Pure.

use std::fmt::Write as _;

use bytes::Bytes;

/// The session is open.
pub const OPEN: &str = "o";
/// The session is alive and has nothing to say.
pub const HEARTBEAT: &str = "h";

/// Bytes before the first frame of a streaming answer: browsers of the time showed nothing before so much had come.
const PRELUDE_BYTES: usize = 2048;

/// The head of an HTML file must be longer than this for the same reason.
const HTML_HEAD_BYTES: usize = 1024;

/// Appends `text` as a JSON string. Besides what JSON asks for, it escapes the characters that browsers of the time
/// lost or changed on their way through a script.
pub fn quote(text: &str, out: &mut String) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut plain = 0;
    for (at, character) in text.char_indices() {
        if !is_escaped(character) {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + character.len_utf8();
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ => write!(out, "\\u{:04x}", u32::from(character)).expect("a String takes all"),
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

fn is_escaped(character: char) -> bool {
    match character {
        '"' | '\\' | '\0'..='\x1f' => true,
        // Most text ends here.
        '\x20'..='\u{200b}' => false,
        '\u{200c}'..='\u{200f}'
        | '\u{2028}'..='\u{202f}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fff0}'..='\u{ffff}' => true,
        _ => false,
    }
}

/// `a[…]` of messages that are quoted already.
pub fn messages<'a>(quoted: impl IntoIterator<Item = &'a str>) -> String {
    let mut frame = String::from("a[");
    for (index, message) in quoted.into_iter().enumerate() {
        if index > 0 {
            frame.push(',');
        }
        frame.push_str(message);
    }
    frame.push(']');
    frame
}

/// `a["…"]` of one message.
pub fn message(text: &str) -> String {
    let mut frame = String::with_capacity(text.len() + text.len() / 8 + 4);
    frame.push_str("a[");
    quote(text, &mut frame);
    frame.push(']');
    frame
}

/// `c[code,"reason"]`.
pub fn close(code: u16, reason: &str) -> String {
    let mut frame = format!("c[{code},");
    quote(reason, &mut frame);
    frame.push(']');
    frame
}

/// How an answer carries frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `xhr` and `xhr_streaming`.
    Lines,
    EventSource,
    HtmlFile(Callback),
    Jsonp(Callback),
}

impl Form {
    /// What comes before the first frame of a streaming answer.
    pub fn prelude(&self) -> Bytes {
        match self {
            Self::Lines => {
                let mut prelude = vec![b'h'; PRELUDE_BYTES];
                prelude.push(b'\n');
                prelude.into()
            }
            Self::EventSource => Bytes::from_static(b"\r\n"),
            Self::HtmlFile(callback) => html_head(callback).into(),
            Self::Jsonp(_) => Bytes::new(),
        }
    }

    /// One frame as it goes out.
    pub fn wrap(&self, frame: &str) -> Bytes {
        match self {
            Self::Lines => format!("{frame}\n"),
            Self::EventSource => format!("data: {frame}\r\n\r\n"),
            Self::HtmlFile(_) => format!("<script>\np({});\n</script>\r\n", script_string(frame)),
            // The comment keeps the answer from being read as something else than a script, whatever the callback.
            Self::Jsonp(callback) => format!("/**/{}({});\r\n", callback.0, script_string(frame)),
        }
        .into()
    }
}

/// A JSON string that may stand in a script of an HTML page.
fn script_string(frame: &str) -> String {
    let mut quoted = String::new();
    quote(frame, &mut quoted);
    // "</script>" would end the script that carries it, and "<!--<script>" swallow everything behind it.
    quoted.replace('<', "\\u003c")
}

fn html_head(callback: &Callback) -> String {
    let mut head = format!(
        "<!doctype html>
<html><head>
  <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />
  <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.{};
    c.start();
    function p(d) {{c.message(d);}};
    window.onload = function() {{c.stop();}};
  </script>",
        callback.0
    );
    while head.len() < HTML_HEAD_BYTES {
        head.push(' ');
    }
    head.push_str("\r\n\r\n");
    head
}

/// The name of a function in the page that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback(String);

impl Callback {
    /// Longer than any name that `sockjs-client` makes; an attacker's script does not fit.
    const LONGEST: usize = 32;

    /// From the query: `c`, or `callback`.
    ///
    /// # Errors
    /// The text to answer with.
    pub fn of_query(query: Option<&str>) -> Result<Self, &'static str> {
        let query = query.unwrap_or_default();
        let of = |wanted: &str| {
            url::form_urlencoded::parse(query.as_bytes())
                .find(|(name, value)| name == wanted && !value.is_empty())
                .map(|(_, value)| value.into_owned())
        };
        let name = of("c")
            .or_else(|| of("callback"))
            .ok_or("\"callback\" parameter required")?;
        let is_name = |character: char| {
            character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
        };
        if name.len() > Self::LONGEST || !name.chars().all(is_name) {
            return Err("invalid \"callback\" parameter");
        }
        Ok(Self(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quoted(text: &str) -> String {
        let mut out = String::new();
        quote(text, &mut out);
        out
    }

    #[test]
    fn frames_are_those_of_the_protocol() {
        assert_eq!(message("x"), r#"a["x"]"#);
        assert_eq!(messages([r#""a""#, r#""b""#]), r#"a["a","b"]"#);
        assert_eq!(messages([]), "a[]");
        assert_eq!(close(3000, "Go away!"), r#"c[3000,"Go away!"]"#);
    }

    #[test]
    fn each_transport_wraps_them() {
        let callback = Callback::of_query(Some("c=callback")).unwrap();
        let frame = message("x");
        let check = |form: Form, expected: &str| assert_eq!(form.wrap(&frame), expected);
        check(Form::Lines, "a[\"x\"]\n");
        check(Form::EventSource, "data: a[\"x\"]\r\n\r\n");
        check(
            Form::HtmlFile(callback.clone()),
            "<script>\np(\"a[\\\"x\\\"]\");\n</script>\r\n",
        );
        check(Form::Jsonp(callback), "/**/callback(\"a[\\\"x\\\"]\");\r\n");
    }

    #[test]
    fn a_message_cannot_end_or_swallow_the_script_that_carries_it() {
        let callback = Callback::of_query(Some("c=f")).unwrap();
        let page = Form::HtmlFile(callback).wrap(&message("</script><!--<script>alert(1)"));
        let page = String::from_utf8(page.to_vec()).unwrap();
        assert_eq!(page.matches('<').count(), 2, "{page}");
    }

    #[test]
    fn what_browsers_lose_is_escaped() {
        assert_eq!(quoted("\u{2028}\u{ffff}\0"), r#""\u2028\uffff\u0000""#);
        assert_eq!(quoted("a\nb\"c\\"), r#""a\nb\"c\\""#);
        assert_eq!(quoted("게이트 🚗"), "\"게이트 🚗\"");
    }

    #[test]
    fn callbacks_are_names() {
        let check = |query: &str, expected: Result<&str, &'static str>| {
            let callback = Callback::of_query(Some(query));
            assert_eq!(callback.map(|name| name.0), expected.map(str::to_owned));
        };
        let (missing, invalid) = (
            "\"callback\" parameter required",
            "invalid \"callback\" parameter",
        );
        check("c=%63allback", Ok("callback"));
        check("callback=_jp.a-1", Ok("_jp.a-1"));
        check("", Err(missing));
        check("c=", Err(missing));
        check("c=a%20b", Err(invalid));
        check("c=alert(1)", Err(invalid));
        check(&format!("c={}", "a".repeat(33)), Err(invalid));
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in any::<String>()) {
            let read: Vec<String> = serde_json::from_str(&message(&text)[1..]).unwrap();
            prop_assert_eq!(read, vec![text.clone()]);
            let script = script_string(&message(&text));
            let frame: String = serde_json::from_str(&script).unwrap();
            prop_assert_eq!(frame, message(&text));
            prop_assert!(!script.contains('<'));
        }
    }
}
