//! The shape of a profile file, word by word. An unknown key is an error; what it all means is `validate`'s affair. Pure.

use std::collections::BTreeMap;

use contract::alarm::Severity;
use contract::command::Risk;
use contract::inventory::Personal;
use contract::reading::PollClass;
use contract::{FaultCode, PointId, ProfileId, Text, Value};
use serde::Deserialize;

use super::span::Span;
use super::{Parity, SerialSettings};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawProfile {
    pub(crate) profile: RawHead,
    pub(crate) driver: RawDriver,
    pub(crate) poll: RawPoll,
    pub(crate) health: RawHealth,
    #[serde(default)]
    pub(crate) request: Vec<RawRequest>,
    pub(crate) point: Vec<RawPoint>,
    #[serde(default)]
    pub(crate) fault: Vec<RawFault>,
    #[serde(default)]
    pub(crate) command: Vec<RawCommand>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHead {
    pub(crate) id: ProfileId,
    pub(crate) version: u32,
    pub(crate) name: Text,
    pub(crate) class: String,
    #[expect(dead_code, reason = "for people who read the file")]
    pub(crate) source: String,
    #[expect(dead_code, reason = "for people who read the file")]
    pub(crate) verified: Verified,
}

/// How far somebody has tried the profile.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verified {
    Manual,
    Simulator,
    Hardware,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum RawDriver {
    Modbus(RawModbus),
    Escpos(RawEscpos),
    Frame(RawFrame),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawModbus {
    pub(crate) max_regs: u16,
    pub(crate) max_bits: u16,
    pub(crate) max_gap: u16,
    pub(crate) byte_order: RawByteOrder,
    pub(crate) timeout: Span,
    pub(crate) min_gap: Span,
    pub(crate) late: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEscpos {
    pub(crate) serial: RawSerial,
    pub(crate) timeout: Span,
    pub(crate) late: Span,
    pub(crate) valid: RawValid,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSerial {
    pub(crate) baud: u32,
    pub(crate) data: u8,
    pub(crate) parity: RawParity,
    pub(crate) stop: u8,
}

impl RawSerial {
    /// What it means.
    ///
    /// # Errors
    /// What no port can be set to.
    pub(crate) fn settings(&self) -> Result<SerialSettings, String> {
        if !(7..=8).contains(&self.data) || !(1..=2).contains(&self.stop) || self.baud == 0 {
            let what = "serial: `baud` must be more than 0, `data` 7 or 8, `stop` 1 or 2";
            return Err(what.to_owned());
        }
        Ok(SerialSettings {
            baud: self.baud,
            data_bits: self.data,
            parity: match self.parity {
                RawParity::None => Parity::None,
                RawParity::Even => Parity::Even,
                RawParity::Odd => Parity::Odd,
            },
            stop_bits: self.stop,
        })
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawParity {
    None,
    Even,
    Odd,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawValid {
    pub(crate) mask: u8,
    pub(crate) value: u8,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFrame {
    pub(crate) framing: RawFraming,
    #[expect(dead_code, reason = "read so that another payload is refused")]
    pub(crate) payload: RawPayload,
    pub(crate) correlate: String,
    pub(crate) timeout: Span,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum RawFraming {
    Line { end: String, max: usize },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawPayload {
    Json,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPoll {
    pub(crate) fast: Option<Span>,
    pub(crate) normal: Option<Span>,
    pub(crate) slow: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHealth {
    pub(crate) demote: RawDemote,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDemote {
    pub(crate) after: u32,
    pub(crate) first: Span,
    pub(crate) max: Span,
    pub(crate) factor: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRequest {
    pub(crate) id: String,
    pub(crate) send: String,
    pub(crate) poll: PollClass,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPoint {
    pub(crate) id: PointId,
    pub(crate) name: Text,
    #[serde(rename = "ref")]
    pub(crate) reference: Option<String>,
    pub(crate) table: Option<RawTable>,
    pub(crate) addr: Option<u16>,
    pub(crate) query: Option<u8>,
    pub(crate) from: Option<String>,
    pub(crate) path: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: RawType,
    pub(crate) byte_order: Option<RawByteOrder>,
    pub(crate) sample: Option<RawSample>,
    pub(crate) mask: Option<u64>,
    #[serde(default, rename = "enum")]
    pub(crate) labels: BTreeMap<String, RawLabel>,
    #[serde(default)]
    pub(crate) invalid: Vec<f64>,
    pub(crate) range: Option<(f64, f64)>,
    pub(crate) deadband: Option<f64>,
    #[serde(default)]
    pub(crate) unit: String,
    pub(crate) poll: Option<PollClass>,
    pub(crate) role: Option<RawRole>,
    pub(crate) personal: Option<Personal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawTable {
    Coil,
    Discrete,
    Input,
    Holding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawType {
    Bool,
    U16,
    I16,
    U32,
    I32,
    Bits8,
    Bits16,
    F64,
    String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum RawByteOrder {
    #[serde(rename = "ABCD")]
    Abcd,
    #[serde(rename = "DCBA")]
    Dcba,
    #[serde(rename = "BADC")]
    Badc,
    #[serde(rename = "CDAB")]
    Cdab,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSample {
    pub(crate) regs: Vec<u16>,
    pub(crate) value: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLabel {
    pub(crate) id: String,
    pub(crate) label: Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawRole {
    State,
}

/// A test of one point, in a fault's `when`, an interlock or a `verify`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawTest {
    pub(crate) bit: Option<u8>,
    pub(crate) mask: Option<u64>,
    pub(crate) eq: Option<Value>,
    pub(crate) ne: Option<Value>,
    #[serde(rename = "in")]
    pub(crate) one_of: Option<Vec<Value>>,
    pub(crate) lt: Option<f64>,
    pub(crate) gt: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFault {
    pub(crate) code: FaultCode,
    pub(crate) when: RawWhen,
    pub(crate) severity: Severity,
    pub(crate) text: Text,
    pub(crate) detail: Option<PointId>,
    pub(crate) on_delay: Option<Span>,
    pub(crate) off_delay: Option<Span>,
    #[serde(default)]
    pub(crate) suppress_when: Vec<FaultCode>,
    #[serde(default)]
    pub(crate) suppresses: Vec<FaultCode>,
}

// `flatten` and `deny_unknown_fields` exclude each other in serde, so the members of a test are repeated where other
// members stand beside them.
macro_rules! with_test {
    ($(#[$meta:meta])* $name:ident { $($field:ident : $kind:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $name {
            $(pub(crate) $field: $kind,)*
            bit: Option<u8>,
            mask: Option<u64>,
            eq: Option<Value>,
            ne: Option<Value>,
            #[serde(rename = "in")]
            one_of: Option<Vec<Value>>,
            lt: Option<f64>,
            gt: Option<f64>,
        }

        impl $name {
            pub(crate) fn test(&self) -> RawTest {
                RawTest {
                    bit: self.bit,
                    mask: self.mask,
                    eq: self.eq.clone(),
                    ne: self.ne.clone(),
                    one_of: self.one_of.clone(),
                    lt: self.lt,
                    gt: self.gt,
                }
            }
        }
    };
}

with_test!(RawWhen { point: Option<PointId>, r#for: Option<Span> });
with_test!(RawInterlock {
    point: Option<PointId>,
    max_age: Option<Span>,
    fault: Option<FaultCode>,
    not: Option<RawNot>,
});
with_test!(RawVerify {
    point: Option<PointId>,
    no_fault: Option<FaultCode>,
    restarted: Option<bool>,
    or_still_in: Option<Vec<Value>>,
    within: Option<Span>,
    plus: Option<String>,
    r#final: Option<Box<RawVerify>>,
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawNot {
    pub(crate) fault: FaultCode,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCommand {
    pub(crate) name: String,
    pub(crate) text: Text,
    pub(crate) risk: Risk,
    #[serde(default)]
    pub(crate) confirm: bool,
    #[serde(default)]
    pub(crate) preempts: bool,
    #[serde(default)]
    pub(crate) params: Vec<RawParam>,
    pub(crate) write: Option<Vec<RawWrite>>,
    pub(crate) send: Option<String>,
    pub(crate) raw: Option<String>,
    pub(crate) reply: Option<RawReplyTest>,
    #[expect(
        dead_code,
        reason = "for people: this agent never repeats a command, idempotent or not"
    )]
    pub(crate) idempotent: bool,
    #[serde(default)]
    pub(crate) interlock: Vec<RawInterlock>,
    pub(crate) verify: RawVerify,
    pub(crate) expire: Span,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawParam {
    pub(crate) name: String,
    pub(crate) text: Text,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) default: f64,
    #[serde(default)]
    pub(crate) unit: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawWrite {
    pub(crate) table: RawTable,
    pub(crate) addr: u16,
    pub(crate) value: Option<Value>,
    pub(crate) values: Option<Vec<Value>>,
    pub(crate) read: Option<RawReadAlong>,
}

/// What is read in the exchange that writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawReadAlong {
    pub(crate) addr: u16,
    pub(crate) count: u16,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawReplyTest {
    pub(crate) path: String,
    pub(crate) eq: Value,
    pub(crate) within: Span,
}
