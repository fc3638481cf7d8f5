//! Just enough of HTML to compare pages: their tags, attributes and text, and whether the tags close.

/// What a page consists of, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// `<name attribute="value" …>`
    Open(String, Vec<(String, String)>),
    /// `</name>`
    Close(String),
    /// What people read.
    Text(String),
}

const VOID: [&str; 5] = ["input", "link", "meta", "br", "!DOCTYPE"];

/// Takes a page apart; panics with a sentence where a tag is broken.
pub(crate) fn pieces(html: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = html;
    while let Some(begin) = rest.find('<') {
        if !rest[..begin].trim().is_empty() {
            pieces.push(Piece::Text(rest[..begin].trim().to_owned()));
        }
        let end = tag_end(&rest[begin..]) + begin;
        let tag = &rest[begin + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            pieces.push(Piece::Close(name.to_owned()));
            continue;
        }
        let closes_itself = tag.ends_with('/');
        let tag = tag.trim_end_matches('/');
        let (name, attributes) = tag.split_once([' ', '\n']).unwrap_or((tag, ""));
        pieces.push(Piece::Open(name.to_owned(), parse_attributes(attributes)));
        if closes_itself || VOID.contains(&name) {
            pieces.push(Piece::Close(name.to_owned()));
        }
    }
    pieces
}

/// The `>` that ends a tag: not one inside a quoted value.
fn tag_end(tag: &str) -> usize {
    let mut quoted = false;
    for (index, byte) in tag.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'>' if !quoted => return index,
            _ => {}
        }
    }
    panic!("a tag does not end: {tag:.80}");
}

fn parse_attributes(mut rest: &str) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return attributes;
        }
        let end = rest.find(['=', ' ']).unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        rest = &rest[end..];
        let mut value = String::new();
        if let Some(quoted) = rest.strip_prefix("=\"") {
            let (inside, after) = quoted.split_once('"').expect("a closing quote");
            value = inside.to_owned();
            rest = after;
        }
        attributes.push((name, value));
    }
}

/// Every attribute of a page.
pub(crate) fn attributes(pieces: &[Piece]) -> impl Iterator<Item = &(String, String)> {
    pieces.iter().flat_map(|piece| match piece {
        Piece::Open(_, attributes) => attributes.as_slice(),
        Piece::Close(_) | Piece::Text(_) => &[],
    })
}

/// Panics with a sentence where a tag closes what is not open.
pub(crate) fn assert_tags_close(html: &str) {
    let mut open = Vec::new();
    for piece in pieces(html) {
        match piece {
            Piece::Open(name, _) => open.push(name),
            Piece::Close(name) => assert_eq!(open.pop(), Some(name), "in {html}"),
            Piece::Text(_) => {}
        }
    }
    assert_eq!(open, Vec::<String>::new(), "left open in {html}");
}

/// Tags and names of attributes without any text: what must not depend on names that people gave.
pub(crate) fn skeleton(html: &str) -> Vec<String> {
    let mut bones = Vec::new();
    for piece in pieces(html) {
        match piece {
            Piece::Open(name, attributes) => {
                let names: Vec<String> = attributes.into_iter().map(|(name, _)| name).collect();
                bones.push(format!("<{name} {}>", names.join(" ")));
            }
            Piece::Close(name) => bones.push(format!("</{name}>")),
            Piece::Text(_) => {}
        }
    }
    bones
}
