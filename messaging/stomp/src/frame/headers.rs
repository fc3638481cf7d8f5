//! The headers of a frame: one text, and where in it names and values are. Pure.
//!
//! A frame has about six headers of some twenty octets each, and frames are made, copied and dropped by the hundred
//! thousand: two allocations for all headers, and not two for each, are what makes that cheap.

use std::fmt;

/// The headers of a frame, in order. A name may occur more than once: the first occurrence is the value, later ones
/// are history (STOMP 1.2, Repeated Header Entries).
#[derive(Clone, Default)]
pub struct Headers {
    /// Names and values, in the order in which they were added.
    text: String,
    spans: Vec<Span>,
}

/// Where in the text one header is.
#[derive(Debug, Clone, Copy)]
struct Span {
    name: (u32, u32),
    value: (u32, u32),
}

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// No headers, and room for `headers` of them with `bytes` of names and values.
    pub(crate) fn with_capacity(headers: usize, bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            spans: Vec::with_capacity(headers),
        }
    }

    /// The value of the first header called `name`; case matters.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(other, value)| (other == name).then_some(value))
    }

    /// The value of the first header called `name` in any case: for headers that come from HTTP, such as
    /// `Authorization`, and that clients therefore spell as HTTP lets them.
    pub fn get_ignore_case(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(other, value)| other.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Adds a header at the end: it does not change the value of a name that is there already.
    ///
    /// # Panics
    /// When all headers together have 4 GiB.
    pub fn push(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) {
        let span = self.write(name.as_ref(), value.as_ref());
        self.spans.push(span);
    }

    /// Adds a header in front: it becomes the value of its name, and what was there becomes history.
    ///
    /// # Panics
    /// When all headers together have 4 GiB.
    pub fn push_front(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) {
        let span = self.write(name.as_ref(), value.as_ref());
        self.spans.insert(0, span);
    }

    fn write(&mut self, name: &str, value: &str) -> Span {
        let name = self.append(name);
        let value = self.append(value);
        Span { name, value }
    }

    fn append(&mut self, part: &str) -> (u32, u32) {
        let at = |text: &str| u32::try_from(text.len()).expect("headers have less than 4 GiB");
        let start = at(&self.text);
        self.text.push_str(part);
        (start, at(&self.text))
    }

    /// Keeps the headers for which `keep(name, value)` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        // What is removed may be a secret, or long: it does not stay in the text.
        let mut kept = Self::with_capacity(self.len(), self.text.len());
        for (name, value) in self.iter() {
            if keep(name, value) {
                kept.push(name, value);
            }
        }
        *self = kept;
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spans
            .iter()
            .map(|span| (part(&self.text, span.name), part(&self.text, span.value)))
    }

    /// How many headers there are, repeated ones included.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Takes one leading blank off each value: STOMP 1.0 clients pad, as the examples of that specification do.
    pub(crate) fn trim_padding(&mut self) {
        for span in &mut self.spans {
            if part(&self.text, span.value).starts_with(' ') {
                span.value.0 += 1;
            }
        }
    }
}

fn part(text: &str, (start, end): (u32, u32)) -> &str {
    &text[start as usize..end as usize]
}

/// Names and values count, not how they are kept.
impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut all = Self::new();
        for (name, value) in headers {
            all.push(name, value);
        }
        all
    }
}

impl fmt::Debug for Headers {
    /// Secrets are left out, so that a frame can be logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| {
                let secret = ["authorization", "passcode"]
                    .iter()
                    .any(|secret| name.eq_ignore_ascii_case(secret));
                (name, if secret { "(secret)" } else { value })
            }))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_equal_however_they_came_to_be() {
        let mut built = Headers::new();
        built.push("secret", "x");
        built.push("b", " 2");
        built.push_front("a", "1");
        built.retain(|name, _| name != "secret");
        built.trim_padding();
        assert_eq!(built, Headers::from_iter([("a", "1"), ("b", "2")]));
        assert_ne!(built, Headers::from_iter([("b", "2"), ("a", "1")]));
        assert_ne!(built, Headers::from_iter([("a", "12"), ("b", "")]));
        assert_eq!((built.len(), built.get("b")), (2, Some("2")));
    }

    #[test]
    fn what_is_removed_is_not_kept_in_memory() {
        let mut headers = Headers::from_iter([("passcode", "secret"), ("a", "1")]);
        headers.retain(|name, _| name != "passcode");
        assert_eq!(headers.text, "a1");
        headers.retain(|_, _| true);
        assert_eq!(headers.text, "a1");
    }
}
