//! What one value costs on the wire: a real server, a device whose readings change, and a client on each way to hear of it.
//!
//! [`site`] is the server with its device, [`counted`] a connection that counts, [`roads`] the ways. All clients of a run
//! see the same values. Counted is what goes through the sockets both ways once everybody has subscribed.

pub mod counted;
pub mod roads;
pub mod site;

use std::fmt::Write as _;

use roads::{Kind, Way};
use site::Site;

/// Values before the first that counts: caches are warm, and lengths have settled.
const WARM_UP: u32 = 3;

/// What each way cost, in bytes for one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Which way.
    pub way: Way,
    /// From the client.
    pub sent: f64,
    /// From the server.
    pub received: f64,
    /// The value: a JSON text.
    pub value: f64,
    /// Words of STOMP, or of Socket.IO, about the value.
    pub words: f64,
}

impl Cost {
    /// All but the value.
    #[must_use]
    pub fn overhead(&self) -> f64 {
        self.sent + self.received - self.value
    }

    /// What HTTP, WebSocket and SockJS add to value and words: heads, frames, escapes.
    #[must_use]
    pub fn transport(&self) -> f64 {
        self.overhead() - self.words
    }
}

/// Measures each of `ways` with so many values.
///
/// # Errors
/// The server could not be started, or somebody did not hear of a value.
pub fn measure(ways: &[Way], values: u32) -> anyhow::Result<Vec<Cost>> {
    let mut site = Site::start()?;
    let mut roads = Vec::new();
    for way in ways {
        roads.push((*way, roads::open(*way, &site)?));
    }
    let (mut before, mut lengths) = (Vec::new(), Lengths::default());
    // The words about a value, wherever it goes, are those that come over a WebSocket.
    let mut stomp = roads::open(Way::Stomp, &site)?;
    let mut event = match ways.iter().any(|way| way.kind() == Kind::SocketIo) {
        true => Some(roads::open(Way::SocketIo, &site)?),
        false => None,
    };
    for number in 0..WARM_UP + values {
        if number == WARM_UP {
            before = roads.iter().map(|(_, road)| road.counted()).collect();
            lengths = Lengths::default();
        }
        let mark = site.change()?;
        lengths.take(&roads::until(stomp.as_mut(), &mark)?, event.as_mut(), &mark)?;
        for (_, road) in &mut roads {
            roads::until(road.as_mut(), &mark)?;
        }
    }
    let values = f64::from(values);
    let each = |bytes: u64| float(bytes) / values;
    let costs = roads.iter().zip(before).map(|((way, road), before)| {
        let after = road.counted();
        Cost {
            way: *way,
            sent: each(after.sent - before.sent),
            received: each(after.received - before.received),
            value: each(lengths.value),
            words: match way.kind() {
                Kind::Api => 0.0,
                Kind::Stomp => each(lengths.stomp - lengths.value),
                Kind::SocketIo => each(lengths.event - lengths.value),
            },
        }
    });
    Ok(costs.collect())
}

/// Bytes of all values so far: bare, in STOMP's frames, in Socket.IO's events.
#[derive(Debug, Default)]
struct Lengths {
    value: u64,
    stomp: u64,
    event: u64,
}

impl Lengths {
    fn take(
        &mut self,
        frame: &str,
        event: Option<&mut Box<dyn roads::Road>>,
        mark: &str,
    ) -> anyhow::Result<()> {
        self.value += u64::try_from(roads::body(frame)?.len())?;
        self.stomp += u64::try_from(frame.len())?;
        if let Some(road) = event {
            self.event += u64::try_from(roads::until(road.as_mut(), mark)?.len())?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

/// The costs as a table of Markdown.
#[must_use]
pub fn table(costs: &[Cost]) -> String {
    let mut text = String::from(
        "| way | client sends | server sends | the value | words about it | transport | overhead | of all bytes |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for cost in costs {
        let share = cost.overhead() / (cost.sent + cost.received).max(1.0) * 100.0;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {share:.0} % |",
            cost.way,
            cost.sent,
            cost.received,
            cost.value,
            cost.words,
            cost.transport(),
            cost.overhead(),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_value_is_overhead() {
        let cost = Cost {
            way: Way::Xhr,
            sent: 600.0,
            received: 900.0,
            value: 500.0,
            words: 150.0,
        };
        assert_eq!((cost.overhead(), cost.transport()), (1000.0, 850.0));
        let line = "| SockJS xhr polling | 600 | 900 | 500 | 150 | 850 | 1000 | 67 % |\n";
        assert!(table(&[cost]).ends_with(line), "{}", table(&[cost]));
    }
}
