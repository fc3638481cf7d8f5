//! Styles, scripts and signs: part of the binary, at URLs that change with their content.
//!
//! An asset's URL carries a hash of its bytes, so that it may be cached for ever and a new version is fetched at
//! once. Pure.

/// A file that pages refer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// Its absolute path on this server, with the hash: `/assets/landside.0123456789abcdef.css`.
    pub url: String,
    /// For the header `content-type`.
    pub content_type: &'static str,
    /// The file.
    pub bytes: &'static [u8],
}

impl Asset {
    /// For the header `cache-control`: what is at such a URL never changes.
    pub const CACHE_CONTROL: &'static str = "public, max-age=31536000, immutable";

    fn new(stem: &str, extension: &str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        Self {
            url: format!("/assets/{stem}.{:016x}.{extension}", fnv1a(bytes)),
            content_type,
            bytes,
        }
    }
}

/// FNV-1a, 64 bits: names versions of our own files apart; it guards against nothing.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The assets by name, for the templates.
pub(crate) struct Table {
    pub(crate) style: Asset,
    pub(crate) sockjs: Asset,
    pub(crate) stomp: Asset,
    pub(crate) page: Asset,
    pub(crate) live: Asset,
    pub(crate) idle: Asset,
    pub(crate) icon: Asset,
}

static TABLE: std::sync::LazyLock<Table> = std::sync::LazyLock::new(|| {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    Table {
        style: Asset::new(
            "landside",
            "css",
            "text/css; charset=utf-8",
            include_bytes!("../static/landside.css"),
        ),
        sockjs: Asset::new("sockjs", "js", SCRIPT, include_bytes!("../dist/sockjs.js")),
        stomp: Asset::new("stomp", "js", SCRIPT, include_bytes!("../static/stomp.js")),
        page: Asset::new("page", "js", SCRIPT, include_bytes!("../static/page.js")),
        live: Asset::new("live", "js", SCRIPT, include_bytes!("../static/live.js")),
        idle: Asset::new("idle", "js", SCRIPT, include_bytes!("../static/idle.js")),
        icon: Asset::new(
            "icon",
            "svg",
            "image/svg+xml",
            include_bytes!("../static/icon.svg"),
        ),
    }
});

pub(crate) fn table() -> &'static Table {
    &TABLE
}

/// Every asset.
pub fn assets() -> [&'static Asset; 7] {
    let table = table();
    [
        &table.style,
        &table.sockjs,
        &table.stomp,
        &table.page,
        &table.live,
        &table.idle,
        &table.icon,
    ]
}

/// `sockjs-client`, by which the pages connect: pages that SockJS itself serves (`/sockjs/iframe.html`) load the same file,
/// so that the two are never of different versions. It begins with its licences; `make assets` brings it.
pub fn sockjs_client() -> &'static Asset {
    &table().sockjs
}

/// The asset at an absolute path such as `/assets/landside.0123456789abcdef.css`.
pub fn asset(path: &str) -> Option<&'static Asset> {
    assets().into_iter().find(|asset| asset.url == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_is_found_at_its_url_and_nowhere_else() {
        for known in assets() {
            assert_eq!(asset(&known.url), Some(known));
        }
        assert_eq!(asset("/assets/landside.css"), None);
    }

    #[test]
    fn the_sockjs_client_carries_its_licences_and_points_nowhere() {
        let client = std::str::from_utf8(sockjs_client().bytes).unwrap();
        let (licences, code) = client.split_once("*/").unwrap();
        for words in [
            "Copyright (c) 2011-2018 The sockjs-client Authors.",
            "The above copyright notice and this permission notice shall be included",
            "url-parse",
        ] {
            assert!(licences.contains(words), "{words}");
        }
        assert!(code.contains("sockjs-client v1.6."));
        assert!(
            !client.contains("sourceMappingURL"),
            "there is no such file"
        );
    }

    #[test]
    fn the_hash_is_fnv1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
