//! How much a peer may send before it is let in. Pure.

use std::io;

/// What is left for a stranger to send; nothing is counted after [`Self::lift`]. It bounds other streams as well.
#[derive(Debug)]
pub struct Allowance {
    left: Option<usize>,
}

impl Allowance {
    /// So many bytes, framing included.
    pub fn new(bytes: usize) -> Self {
        Self { left: Some(bytes) }
    }

    /// How many bytes may be read when there is room for `room`.
    ///
    /// # Errors
    /// `InvalidData`, once, when nothing is left. What comes then is only read to be dropped, so it is not counted.
    pub fn grant(&mut self, room: usize) -> io::Result<usize> {
        match self.left {
            Some(0) => {
                self.left = None;
                let message = "too much was sent before the peer was let in: wait for the answer";
                Err(io::Error::new(io::ErrorKind::InvalidData, message))
            }
            Some(left) => Ok(left.min(room)),
            None => Ok(room),
        }
    }

    /// So many bytes were read.
    pub fn used(&mut self, bytes: usize) {
        self.left = self.left.map(|left| left.saturating_sub(bytes));
    }

    /// The peer is let in.
    pub fn lift(&mut self) {
        self.left = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_stopped_once_and_a_guest_never() {
        let mut stranger = Allowance::new(10);
        assert_eq!(stranger.grant(8).ok(), Some(8));
        stranger.used(8);
        assert_eq!(stranger.grant(8).ok(), Some(2));
        stranger.used(2);
        let error = stranger.grant(8).expect_err("all is used up");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(stranger.grant(8).ok(), Some(8));

        let mut guest = Allowance::new(10);
        guest.used(10);
        guest.lift();
        assert_eq!(guest.grant(8).ok(), Some(8));
    }
}
