//! Requests as clients write them. Pure.

use std::net::SocketAddr;

/// What a browser of these days says with each request. No cookie: a page that has one says it besides.
const BROWSER: &str = "Connection: keep-alive\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\n";

/// What asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// `XMLHttpRequest`.
    Script,
    /// `EventSource`.
    EventSource,
    /// A `<script>`.
    ScriptElement,
    /// A hidden frame.
    Frame,
}

/// `GET`, by a page of the server itself.
pub(super) fn get(address: SocketAddr, path: &str, from: From, more: &str) -> Vec<u8> {
    let own = match from {
        From::Script => "Accept: */*\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n",
        From::EventSource => {
            "Accept: text/event-stream\r\nCache-Control: no-cache\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"
        }
        From::ScriptElement => {
            "Accept: */*\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n"
        }
        From::Frame => {
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n\
             Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n"
        }
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\n{BROWSER}{own}Referer: http://{address}/\r\n{more}\r\n"
    )
    .into_bytes()
}

/// `POST`, by a page's script.
pub(super) fn post(address: SocketAddr, path: &str, content_type: &str, body: &str) -> Vec<u8> {
    let content_type = match content_type {
        "" => String::new(),
        content_type => format!("Content-Type: {content_type}\r\n"),
    };
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\n{BROWSER}Accept: */*\r\nSec-Fetch-Mode: cors\r\n\
         Sec-Fetch-Dest: empty\r\nOrigin: http://{address}\r\nReferer: http://{address}/\r\n{content_type}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// By a program, which says no more than it must.
pub(super) fn curl(address: SocketAddr, path: &str, more: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n{more}\r\n")
        .into_bytes()
}

/// As the query and a form want it.
pub(super) fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
