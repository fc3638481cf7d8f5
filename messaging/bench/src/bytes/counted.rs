//! A connection that counts its bytes, and waits for what it reads.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use memchr::memmem;

use crate::sockjs::answers::answer;

/// Nothing here takes so long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes both ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// From this side.
    pub sent: u64,
    /// From the server.
    pub received: u64,
}

/// A connection.
#[derive(Debug)]
pub struct Counted {
    stream: TcpStream,
    /// Read from the socket, and not taken yet.
    left: Vec<u8>,
    /// So far.
    pub count: Count,
}

impl Counted {
    /// Connects.
    ///
    /// # Errors
    /// Nobody is there.
    pub fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            left: Vec::new(),
            count: Count::default(),
        })
    }

    /// Sends.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes)?;
        self.count.sent += u64::try_from(bytes.len())?;
        Ok(())
    }

    /// Whatever has come, at least one byte.
    ///
    /// # Errors
    /// The connection has ended, or nothing comes.
    pub fn read(&mut self) -> anyhow::Result<Vec<u8>> {
        if self.left.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.left))
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let count = self.stream.read(&mut buffer).context("waiting for bytes")?;
        ensure!(count > 0, "the server closed the connection");
        self.count.received += u64::try_from(count)?;
        self.left.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    /// So many bytes.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn exactly(&mut self, bytes: usize) -> anyhow::Result<Vec<u8>> {
        while self.left.len() < bytes {
            self.fill()?;
        }
        let rest = self.left.split_off(bytes);
        Ok(std::mem::replace(&mut self.left, rest))
    }

    /// What comes before `end`, which is taken as well.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn before(&mut self, end: &str) -> anyhow::Result<String> {
        loop {
            if let Some(at) = memmem::find(&self.left, end.as_bytes()) {
                let bytes = self.exactly(at)?;
                self.exactly(end.len())?;
                return Ok(String::from_utf8(bytes)?);
            }
            self.fill()?;
        }
    }

    /// The next answer of HTTP: its code and its body.
    ///
    /// # Errors
    /// As [`Self::read`], or it is none.
    pub fn answer(&mut self) -> anyhow::Result<(u16, String)> {
        loop {
            match answer(&self.left) {
                Ok(Some((answer, length))) => {
                    let (status, body) = (answer.status, answer.body.into_owned());
                    self.exactly(length)?;
                    return Ok((status, String::from_utf8(body)?));
                }
                Ok(None) => self.fill()?,
                Err(broken) => anyhow::bail!("{broken:?}"),
            }
        }
    }
}
