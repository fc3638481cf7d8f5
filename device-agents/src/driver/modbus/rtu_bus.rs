//! One Modbus bus in RTU framing, on a serial port or behind a gateway that hands its bytes on, and the units on it.
//!
//! A reply in RTU framing does not say which request it answers. So
//! - whatever waits before a request is thrown away, and only what can be its reply is taken (`rtu`);
//! - after a time-out the unit is asked nothing until a late reply can no longer come (`late` of the profile), while the
//!   others go on;
//! - two reads of one unit in a row never expect the same length: one register more is read, and dropped, where the
//!   profile asks for the same again. What comes later than `late`, or twice, then does not fit either. A device that
//!   refuses to read beyond what its profile names is asked as the profile says, and has the first two rules only.
//!
//! A time-out does not close the port: the bus has other units, and what is late is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::time::{sleep_until, timeout_at};

use super::pdu::{Reply, Request};
use super::rtu::{self, FRAME_BYTES_MAX, Received};
use super::{
    DriverError, ReadOutcome, Target, WriteOutcome, outcome_of_read, outcome_of_write, settings,
};
use crate::driver::port::{Port, discard_input, hung_up, open_serial, send};
use crate::driver::{DriverErrorKind, check_deadline, connect_tcp};
use crate::profile::{ModbusSettings, RegisterWrite, Table};
use crate::site::LineAddress;

/// Illegal data address (MODBUS Application Protocol V1.1b3, section 7).
const ILLEGAL_ADDRESS: u8 = 2;

/// What a read asks for.
type Block = (u8, Table, u16, u16);

/// One bus.
pub struct RtuDriver {
    address: LineAddress,
    baud: u32,
    port: Option<Box<dyn Port>>,
    /// When a byte was last on the bus.
    last_byte: Option<Instant>,
    /// Units whose late replies may still come, and until when. At most one for each of 247.
    quiet: BTreeMap<u8, Instant>,
    /// Of the last read of each unit: its function, and how long its reply was to be.
    expected: BTreeMap<u8, (u8, usize)>,
    /// Reads that a device did not grant one register longer: at most one for each block of each unit.
    exact: BTreeSet<Block>,
}

impl fmt::Debug for RtuDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtuDriver")
            .field("address", &self.address)
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl RtuDriver {
    /// A driver for the bus at `address`, of so many bits per second, not connected yet.
    pub fn new(address: LineAddress, baud: u32) -> Self {
        Self {
            address,
            baud,
            port: None,
            last_byte: None,
            quiet: BTreeMap::new(),
            expected: BTreeMap::new(),
            exact: BTreeSet::new(),
        }
    }

    pub(in crate::driver) fn is_connected(&self) -> bool {
        self.port.is_some()
    }

    /// Until when the unit is to be asked nothing.
    pub(in crate::driver) fn quiet_until(&self, unit: u8) -> Option<Instant> {
        self.quiet.get(&unit).copied()
    }

    fn error(&self, device: &str, kind: DriverErrorKind) -> DriverError {
        DriverError {
            device: device.to_owned(),
            address: self.address.to_string(),
            kind,
        }
    }

    pub(in crate::driver) async fn connect(&mut self) -> Result<(), DriverError> {
        let port: io::Result<Box<dyn Port>> = match &self.address {
            LineAddress::RtuTcp { address, .. } => connect_tcp(address)
                .await
                .map(|stream| Box::new(stream) as Box<dyn Port>),
            LineAddress::RtuSerial { path, settings } => open_serial(path, settings),
            LineAddress::Tcp(_) | LineAddress::Serial(_) => {
                unreachable!("this driver is made for lines with RTU framing")
            }
        };
        self.port =
            Some(port.map_err(|error| self.error("line", DriverErrorKind::Connect(error)))?);
        Ok(())
    }

    pub(in crate::driver) async fn read(
        &mut self,
        target: Target<'_>,
        table: Table,
        addr: u16,
        count: u16,
    ) -> Result<ReadOutcome, DriverError> {
        let block = (target.unit_id, table, addr, count);
        let longer = self.longer(block, settings(target));
        let asked = longer.unwrap_or(count);
        let reply = self.exchange_read(target, table, addr, asked).await?;
        if longer.is_some() && reply == Reply::Exception(ILLEGAL_ADDRESS) {
            self.exact.insert(block);
            let reply = self.exchange_read(target, table, addr, count).await?;
            return Ok(outcome_of_read(reply, count));
        }
        Ok(outcome_of_read(reply, count))
    }

    /// How many to ask for instead, where the last read of the unit expected a reply as long as this one's.
    fn longer(&self, block: Block, settings: ModbusSettings) -> Option<u16> {
        let (unit, table, addr, count) = block;
        let request = Request::Read { table, addr, count };
        let same = self.expected.get(&unit) == Some(&(request.function(), request.reply_bytes()));
        // The wire carries whole bytes of bits.
        let (more, most) = if table.is_bits() {
            (8, settings.max_bits)
        } else {
            (1, settings.max_regs)
        };
        let longer = count.checked_add(more).filter(|longer| *longer <= most)?;
        let exists = addr.checked_add(longer - 1).is_some();
        (same && exists && !self.exact.contains(&block)).then_some(longer)
    }

    async fn exchange_read(
        &mut self,
        target: Target<'_>,
        table: Table,
        addr: u16,
        count: u16,
    ) -> Result<Reply, DriverError> {
        let request = Request::Read { table, addr, count };
        let expected = (request.function(), request.reply_bytes());
        self.expected.insert(target.unit_id, expected);
        self.exchange(target, &request, None).await
    }

    pub(in crate::driver) async fn write(
        &mut self,
        target: Target<'_>,
        writes: &[RegisterWrite],
        deadline: Instant,
    ) -> Result<WriteOutcome, DriverError> {
        // What has begun in time is not left half done.
        let mut deadline = Some(deadline);
        for (index, write) in writes.iter().enumerate() {
            let request = Request::Write(write);
            let reply = self.exchange(target, &request, deadline.take()).await?;
            if let Some(outcome) = outcome_of_write(&reply, index == 0) {
                return Ok(outcome);
            }
        }
        Ok(WriteOutcome::Acknowledged)
    }

    async fn exchange(
        &mut self,
        target: Target<'_>,
        request: &Request<'_>,
        deadline: Option<Instant>,
    ) -> Result<Reply, DriverError> {
        let (unit, settings) = (target.unit_id, settings(target));
        let result = self.try_exchange(unit, request, settings, deadline).await;
        let now = Instant::now();
        self.last_byte = Some(now);
        result.map_err(|kind| {
            match kind {
                DriverErrorKind::Timeout { .. } => {
                    self.quiet.insert(unit, now + settings.late);
                }
                DriverErrorKind::TooLate => {}
                DriverErrorKind::Connect(_)
                | DriverErrorKind::Transport(_)
                | DriverErrorKind::BadReply { .. } => self.port = None,
            }
            self.error(target.device.as_str(), kind)
        })
    }

    fn connected(&mut self) -> Result<&mut dyn Port, DriverErrorKind> {
        match self.port.as_deref_mut() {
            Some(port) => Ok(port),
            None => Err(DriverErrorKind::Connect(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Waits until nothing has come for the silence between frames, and throws away what did; how many bytes that were.
    /// Who speaks while another does is heard by nobody. A bus that is never silent is asked after a frame's time.
    async fn wait_for_silence(&mut self, min_gap: Duration) -> Result<u64, DriverErrorKind> {
        let pause = rtu::silence(self.baud).max(min_gap);
        let patience = Instant::now() + pause + rtu::wire_time(FRAME_BYTES_MAX, self.baud);
        let mut stray = 0;
        loop {
            if let Some(last) = self.last_byte {
                sleep_until((last + pause).into()).await;
            }
            let came = discard_input(self.connected()?, None)
                .await
                .map_err(DriverErrorKind::Transport)?;
            stray += came;
            let now = Instant::now();
            if came == 0 || now >= patience {
                return Ok(stray);
            }
            self.last_byte = Some(now);
        }
    }

    async fn try_exchange(
        &mut self,
        unit: u8,
        request: &Request<'_>,
        settings: ModbusSettings,
        deadline: Option<Instant>,
    ) -> Result<Reply, DriverErrorKind> {
        if let Some(quiet_until) = self.quiet.remove(&unit) {
            sleep_until(quiet_until.into()).await;
        }
        let mut stray = self.wait_for_silence(settings.min_gap).await?;
        check_deadline(deadline)?;
        let port = self.connected()?;
        let frame = rtu::encode(unit, request);
        let sent = send(port, &frame, settings.timeout).await;
        if sent.is_err() {
            self.port = None;
        }
        sent?;
        let port = self.port.as_deref_mut().expect("it has just sent");
        // The port takes a frame at once; the bus needs its time for it, and for the reply.
        let on_the_wire = rtu::wire_time(frame.len() + rtu::reply_bytes(request), self.baud);
        let within = settings.timeout + on_the_wire;
        let mut received = Received::default();
        let reply = receive(port, unit, request, &mut received, within).await;
        stray += received.stray();
        if stray > 0 {
            tracing::debug!(address = %self.address, unit, stray, "bytes that were no reply");
        }
        reply
    }
}

async fn receive(
    port: &mut dyn Port,
    unit: u8,
    request: &Request<'_>,
    received: &mut Received,
    within: Duration,
) -> Result<Reply, DriverErrorKind> {
    let until = Instant::now() + within;
    let mut bytes = [0; FRAME_BYTES_MAX];
    loop {
        let read = timeout_at(until.into(), port.read(&mut bytes))
            .await
            .map_err(|_elapsed| DriverErrorKind::Timeout {
                expected: request.to_string(),
                within,
            })?;
        match read {
            Ok(0) => return Err(hung_up()),
            Ok(count) => received.push(&bytes[..count]),
            Err(error) => return Err(DriverErrorKind::Transport(error)),
        }
        if let Some(reply) = received.take(unit, request) {
            return Ok(reply);
        }
    }
}
