//! A STOMP client in a hundred lines of the standard library: subscribes, and prints what comes.
//!
//! ```text
//! cargo run -p stomp --example subscribe -- 127.0.0.1:61613 /topic/news [TOKEN]
//! ```
//!
//! It shows how a session is driven: the session says what to write, when to look again and what has happened; the
//! socket and the clock are the owner's.

use std::env;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use stomp::{AckMode, ClientConfig, ClientEvent, ClientSession};

/// Longest wait for the socket when the session has nothing to be reminded of.
const IDLE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let Err(error) = run() else {
        return ExitCode::SUCCESS;
    };
    // Nobody is left to tell when this fails as well.
    let _ = writeln!(std::io::stderr(), "{error}");
    ExitCode::FAILURE
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, destination, token @ ..] = arguments.as_slice() else {
        return Err("usage: subscribe ADDRESS DESTINATION [TOKEN]".into());
    };
    let mut socket = TcpStream::connect(address)
        .map_err(|error| format!("{address}: {error}: does a server listen there?"))?;
    let config = ClientConfig {
        authorization: token.first().map(|token| format!("Bearer {token}")),
        ..ClientConfig::default()
    };
    let mut session = ClientSession::new(config, Instant::now());
    loop {
        while let Some(event) = session.poll_event() {
            match event {
                ClientEvent::Connected { version, .. } => {
                    tell(&format!("connected, STOMP {version}"))?;
                    session.subscribe(destination, AckMode::Auto, &[]);
                }
                ClientEvent::Message(message) => {
                    let place = message.header("message-id").unwrap_or_default();
                    let body = String::from_utf8_lossy(&message.body);
                    tell(&format!("{place}  {body}"))?;
                }
                ClientEvent::Receipt(_) => {}
                ClientEvent::Error(error) => {
                    return Err(error.header("message").unwrap_or("ERROR").into());
                }
                ClientEvent::Closed(reason) => return Err(reason.to_string().into()),
            }
        }
        while let Some(bytes) = session.poll_transmit(Instant::now()) {
            socket.write_all(&bytes)?;
        }
        wait(&mut socket, &mut session)?;
    }
}

/// Reads until something comes or the session wants to be looked at.
fn wait(socket: &mut TcpStream, session: &mut ClientSession) -> Result<(), Box<dyn Error>> {
    let left = session.deadline().map_or(IDLE, |deadline| {
        deadline.saturating_duration_since(Instant::now())
    });
    // A socket takes no time-out of zero.
    socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
    let mut buffer = [0; 4096];
    match socket.read(&mut buffer) {
        Ok(0) => return Err("the server closed the connection".into()),
        Ok(read) => session.handle_bytes(&buffer[..read], Instant::now()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            session.handle_deadline(Instant::now());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn tell(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
