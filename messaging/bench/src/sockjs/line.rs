//! One TCP connection of a client among thousands: opened without waiting, read whenever epoll says so.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::wire::Broken;

/// Why a line ended.
#[derive(Debug)]
pub enum End {
    /// The server closed it.
    Closed,
    /// Something went wrong.
    Failed(String),
}

impl From<Broken> for End {
    fn from(Broken(why): Broken) -> Self {
        Self::Failed(why.to_owned())
    }
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the server closed the connection"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// A connection, and what is to be said as soon as it stands.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
    stands: bool,
    waiting: Vec<u8>,
}

impl Line {
    /// Begins to connect, and says `first` when it stands.
    ///
    /// # Errors
    /// No socket is left, or epoll takes no more.
    pub fn open(
        address: SocketAddr,
        registry: &Registry,
        token: Token,
        first: Vec<u8>,
    ) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            stands: false,
            waiting: first,
        })
    }

    /// Says something short, which fits into the socket's buffer: a client has nothing else on its way.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn say(&mut self, bytes: &[u8]) -> Result<(), End> {
        if self.stands {
            self.stream.write_all(bytes)?;
        } else {
            self.waiting.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Hands what has come to `take`.
    ///
    /// # Errors
    /// The connection has ended, or `take` says that it shall.
    pub fn serve(
        &mut self,
        registry: &Registry,
        event: &Event,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]) -> Result<(), End>,
    ) -> Result<(), End> {
        if !self.stands {
            if let Some(error) = self.stream.take_error()? {
                return Err(error.into());
            }
            // epoll may tell of a socket that neither stands nor failed.
            if !event.is_writable() || self.stream.peer_addr().is_err() {
                return Ok(());
            }
            registry.reregister(&mut self.stream, event.token(), Interest::READABLE)?;
            self.stream.set_nodelay(true)?;
            self.stands = true;
            let waiting = std::mem::take(&mut self.waiting);
            self.stream.write_all(&waiting)?;
        }
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(End::Closed),
                Ok(count) => {
                    take(&buffer[..count])?;
                    // Less than asked for: the socket is empty, epoll(7). Its end is another event, or this one.
                    if count < buffer.len() && !event.is_read_closed() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
