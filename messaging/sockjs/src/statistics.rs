//! What was done, by transport.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::transport::Transport;

/// Counts since the start, as they were at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// By transport, in the order of [`Transport::ALL`]: the one with which a session began.
    pub transports: [TransportStatistics; 7],
    /// Sessions that are open or remembered, WebSockets included.
    pub sessions: u64,
    /// Sessions refused because there were too many of all clients (503).
    pub too_many: u64,
    /// Sessions refused because there were too many of one address (429).
    pub too_many_of_address: u64,
    /// Requests refused because of their origin (403).
    pub foreign_origin: u64,
    /// Requests for a session of somebody else (404).
    pub not_the_owner: u64,
    /// Bodies that were too long (413).
    pub too_long: u64,
    /// Bodies that were no messages (500).
    pub broken: u64,
    /// Bodies that took too long to come (408), or to be taken by the application (503).
    pub too_slow: u64,
}

/// Counts of one transport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransportStatistics {
    /// Sessions begun.
    pub opened: u64,
    /// Sessions begun and not over.
    pub open: u64,
    /// Messages of clients taken by the application.
    pub messages_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Messages of the application.
    pub messages_out: u64,
    /// Their bytes, before any framing.
    pub bytes_out: u64,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    TooMany,
    TooManyOfAddress,
    ForeignOrigin,
    NotTheOwner,
    TooLong,
    Broken,
    TooSlow,
}

#[derive(Debug, Default)]
struct OfTransport {
    opened: AtomicU64,
    closed: AtomicU64,
    messages_in: AtomicU64,
    bytes_in: AtomicU64,
    messages_out: AtomicU64,
    bytes_out: AtomicU64,
}

/// Counts while it goes on.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    transports: [OfTransport; 7],
    refused: [AtomicU64; 7],
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a length fits 64 bits")
}

impl Counters {
    pub(crate) fn opened(&self, transport: Transport) {
        add(&self.transports[transport.index()].opened, 1);
    }

    pub(crate) fn closed(&self, transport: Transport) {
        add(&self.transports[transport.index()].closed, 1);
    }

    pub(crate) fn message_in(&self, transport: Transport, bytes: usize) {
        let of = &self.transports[transport.index()];
        add(&of.messages_in, 1);
        add(&of.bytes_in, length(bytes));
    }

    pub(crate) fn message_out(&self, transport: Transport, bytes: usize) {
        let of = &self.transports[transport.index()];
        add(&of.messages_out, 1);
        add(&of.bytes_out, length(bytes));
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        add(self.of(refusal), 1);
    }

    fn of(&self, refusal: Refusal) -> &AtomicU64 {
        &self.refused[match refusal {
            Refusal::TooMany => 0,
            Refusal::TooManyOfAddress => 1,
            Refusal::ForeignOrigin => 2,
            Refusal::NotTheOwner => 3,
            Refusal::TooLong => 4,
            Refusal::Broken => 5,
            Refusal::TooSlow => 6,
        }]
    }

    pub(crate) fn read(&self, sessions: usize) -> Statistics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let refused = |refusal| get(self.of(refusal));
        let transports = Transport::ALL.map(|transport| {
            let of = &self.transports[transport.index()];
            // Read in this order, a session that ends meanwhile is not counted twice.
            let closed = get(&of.closed);
            let opened = get(&of.opened);
            TransportStatistics {
                opened,
                open: opened.saturating_sub(closed),
                messages_in: get(&of.messages_in),
                bytes_in: get(&of.bytes_in),
                messages_out: get(&of.messages_out),
                bytes_out: get(&of.bytes_out),
            }
        });
        Statistics {
            transports,
            sessions: length(sessions),
            too_many: refused(Refusal::TooMany),
            too_many_of_address: refused(Refusal::TooManyOfAddress),
            foreign_origin: refused(Refusal::ForeignOrigin),
            not_the_owner: refused(Refusal::NotTheOwner),
            too_long: refused(Refusal::TooLong),
            broken: refused(Refusal::Broken),
            too_slow: refused(Refusal::TooSlow),
        }
    }
}
