//! The subscriptions of one session and the messages that wait for their ACK or NACK (STOMP 1.2, SUBSCRIBE, ACK).
//! Pure.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use crate::error::ProtocolError;
use crate::frame::{AckMode, Frame};
use crate::limits::Limits;
use crate::server::required;
use crate::version::Version;

/// What names a subscription within its session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubscriptionKey {
    /// The `id` header of SUBSCRIBE.
    Id(String),
    /// STOMP 1.0 without `id`: the destination, and MESSAGEs have no `subscription` header.
    Destination(String),
}

impl fmt::Display for SubscriptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(text) | Self::Destination(text) => f.write_str(text),
        }
    }
}

/// One message that went to one subscription.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// Whose.
    pub subscription: SubscriptionKey,
    /// Its `message-id`.
    pub message_id: String,
}

/// The `ack` header of a MESSAGE in 1.2: unique within the session, also when one message goes to two subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AckId {
    subscription: u64,
    delivery: u64,
}

impl AckId {
    fn parse(text: &str) -> Option<Self> {
        let (subscription, delivery) = text.split_once('-')?;
        let id = Self {
            subscription: subscription.parse().ok()?,
            delivery: delivery.parse().ok()?,
        };
        // One spelling only: "+1-2" is not what was sent.
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.subscription, self.delivery)
    }
}

#[derive(Debug)]
struct Subscription {
    /// Rises with each subscription of the session, so that an `ack` id of an ended one cannot mean its successor.
    number: u64,
    destination: String,
    ack: AckMode,
    /// Oldest first. Bounded by [`Limits::pending_acks`] over all subscriptions.
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    delivery: u64,
    message_id: String,
}

#[derive(Debug)]
pub(crate) struct Subscriptions {
    /// Boxed, since a map makes room for eleven at once, and most sessions have fewer.
    by_key: BTreeMap<SubscriptionKey, Box<Subscription>>,
    next_number: u64,
    next_delivery: u64,
    pending: usize,
    subscriptions_max: usize,
    id_bytes_max: usize,
    pending_max: usize,
}

impl Subscriptions {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            by_key: BTreeMap::new(),
            next_number: 1,
            next_delivery: 1,
            pending: 0,
            subscriptions_max: limits.subscriptions,
            id_bytes_max: limits.subscription_id_bytes,
            pending_max: limits.pending_acks,
        }
    }

    pub(crate) fn add(
        &mut self,
        key: SubscriptionKey,
        destination: &str,
        ack: AckMode,
    ) -> Result<(), ProtocolError> {
        if matches!(&key, SubscriptionKey::Id(id) if id.len() > self.id_bytes_max) {
            let limit = self.id_bytes_max;
            return Err(ProtocolError::SubscriptionIdTooLong { limit });
        }
        if self.by_key.contains_key(&key) {
            let id = key.to_string();
            return Err(ProtocolError::DuplicateSubscription { id });
        }
        if self.by_key.len() >= self.subscriptions_max {
            let limit = self.subscriptions_max;
            return Err(ProtocolError::TooManySubscriptions { limit });
        }
        let subscription = Box::new(Subscription {
            number: self.next_number,
            destination: destination.to_owned(),
            ack,
            pending: VecDeque::new(),
        });
        self.next_number += 1;
        self.by_key.insert(key, subscription);
        Ok(())
    }

    /// Ends the subscription that UNSUBSCRIBE names: by `id`, in 1.0 also by `destination`.
    pub(crate) fn remove(
        &mut self,
        frame: &Frame,
        version: Version,
    ) -> Result<SubscriptionKey, ProtocolError> {
        let (key, id) = match (frame.header("id"), version) {
            (None, Version::V1_0) => {
                let destination = required(frame, "destination")?;
                (self.find_by_destination(destination), destination)
            }
            (None, _) => (None, required(frame, "id")?),
            (Some(id), _) => (Some(SubscriptionKey::Id(id.to_owned())), id),
        };
        let removed = key.and_then(|key| self.by_key.remove_entry(&key));
        let Some((key, subscription)) = removed else {
            let id = id.to_owned();
            return Err(ProtocolError::UnknownSubscription { id });
        };
        self.pending -= subscription.pending.len();
        Ok(key)
    }

    /// Notes that a message goes out. `None`: there is no such subscription any more. `Some(None)`: nobody will
    /// acknowledge it.
    pub(crate) fn deliver(
        &mut self,
        key: &SubscriptionKey,
        message_id: &str,
    ) -> Result<Option<Option<AckId>>, ProtocolError> {
        let Some(subscription) = self.by_key.get_mut(key) else {
            return Ok(None);
        };
        if subscription.ack == AckMode::Auto {
            return Ok(Some(None));
        }
        if self.pending >= self.pending_max {
            let limit = self.pending_max;
            return Err(ProtocolError::TooManyPendingAcks { limit });
        }
        let delivery = self.next_delivery;
        self.next_delivery += 1;
        self.pending += 1;
        subscription.pending.push_back(Pending {
            delivery,
            message_id: message_id.to_owned(),
        });
        Ok(Some(Some(AckId {
            subscription: subscription.number,
            delivery,
        })))
    }

    /// Whether what an ACK or NACK names waits for it.
    pub(crate) fn check(&self, frame: &Frame, version: Version) -> Result<(), ProtocolError> {
        self.find(frame, version).map(|_| ())
    }

    /// Takes out what an ACK or NACK names: one message, or all up to it where the mode is cumulative.
    pub(crate) fn settle(
        &mut self,
        frame: &Frame,
        version: Version,
    ) -> Result<Vec<Delivery>, ProtocolError> {
        let (key, at) = self.find(frame, version)?;
        let subscription = self
            .by_key
            .get_mut(&key)
            .expect("the key was found in this map");
        let settled = match subscription.ack {
            AckMode::ClientIndividual => at..=at,
            AckMode::Client | AckMode::Auto => 0..=at,
        };
        let deliveries: Vec<Delivery> = subscription
            .pending
            .drain(settled)
            .map(|pending| Delivery {
                subscription: key.clone(),
                message_id: pending.message_id,
            })
            .collect();
        self.pending -= deliveries.len();
        Ok(deliveries)
    }

    fn find(
        &self,
        frame: &Frame,
        version: Version,
    ) -> Result<(SubscriptionKey, usize), ProtocolError> {
        let header = if version == Version::V1_2 {
            "id"
        } else {
            "message-id"
        };
        let id = required(frame, header)?;
        let found = match version {
            Version::V1_2 => self.find_by_ack_id(id),
            Version::V1_1 => self.find_by_message_id(Some(required(frame, "subscription")?), id),
            Version::V1_0 => self.find_by_message_id(frame.header("subscription"), id),
        };
        found.ok_or_else(|| ProtocolError::UnknownAck {
            command: frame.command,
            id: id.to_owned(),
        })
    }

    fn find_by_destination(&self, destination: &str) -> Option<SubscriptionKey> {
        self.by_key
            .iter()
            .find(|(_, subscription)| subscription.destination == destination)
            .map(|(key, _)| key.clone())
    }

    fn find_by_ack_id(&self, id: &str) -> Option<(SubscriptionKey, usize)> {
        let id = AckId::parse(id)?;
        let (key, subscription) = self
            .by_key
            .iter()
            .find(|(_, subscription)| subscription.number == id.subscription)?;
        let at = subscription
            .pending
            .binary_search_by_key(&id.delivery, |pending| pending.delivery)
            .ok()?;
        Some((key.clone(), at))
    }

    fn find_by_message_id(
        &self,
        subscription: Option<&str>,
        message_id: &str,
    ) -> Option<(SubscriptionKey, usize)> {
        self.by_key
            .iter()
            .filter(|(key, _)| subscription.is_none_or(|id| key.to_string() == id))
            .find_map(|(key, subscription)| {
                let at = subscription
                    .pending
                    .iter()
                    .position(|pending| pending.message_id == message_id)?;
                Some((key.clone(), at))
            })
    }
}
