//! A test of one point's sample, used by fault rules, interlocks and verifications. Pure.

use contract::Value;

use crate::reading::Sample;

/// A test of one point.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Index into the profile's points.
    pub point: usize,
    /// The test.
    pub test: Test,
}

/// What a sample must be.
#[derive(Debug, Clone)]
pub enum Test {
    /// This bit of the raw value is set.
    Bit(u8),
    /// The raw value's masked bits are exactly these.
    Masked {
        /// Which bits count.
        mask: u64,
        /// What they must be.
        eq: u64,
    },
    /// The value is one of these.
    OneOf(Vec<Value>),
    /// The value is not this one.
    Not(Value),
    /// The value is less.
    Less(f64),
    /// The value is greater.
    Greater(f64),
}

impl Condition {
    /// Whether the condition holds in `samples` (by point index); `None` when its point has no value to judge by.
    pub fn holds(&self, samples: &[Sample]) -> Option<bool> {
        let sample = samples[self.point].known()?;
        let value = sample.value.as_ref()?;
        Some(match (&self.test, value) {
            (Test::Bit(bit), _) => sample.raw? >> bit & 1 == 1,
            (Test::Masked { mask, eq }, _) => sample.raw? & mask == *eq,
            (Test::OneOf(allowed), value) => allowed.contains(value),
            (Test::Not(refused), value) => value != refused,
            (Test::Less(limit), Value::Number(number)) => number < limit,
            (Test::Greater(limit), Value::Number(number)) => number > limit,
            (Test::Less(_) | Test::Greater(_), Value::Bool(_) | Value::Text(_)) => return None,
        })
    }
}
