//! A profile as the server learns of it. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::inventory;

use super::{CommandType, Parameter, Point, Profile};
use crate::fault::{COMM_SEVERITY, comm_text};

/// Journal, interlock reads and the exchange itself, besides the verification.
const EXECUTION_SLACK: Duration = Duration::from_secs(5);

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).expect("spans of profiles are at most a week")
}

impl Profile {
    /// What the server needs to know of the type. The built-in loss of contact is among its faults.
    pub fn announced(&self) -> inventory::Profile {
        let mut faults: Vec<inventory::Fault> = self
            .faults
            .iter()
            .map(|rule| inventory::Fault {
                code: rule.code.clone(),
                severity: rule.severity,
                text: rule.text.clone(),
                personal: rule.detail.and_then(|point| self.points[point].personal),
            })
            .collect();
        faults.push(inventory::Fault {
            code: contract::FaultCode::contact_lost(),
            severity: COMM_SEVERITY,
            text: comm_text(),
            personal: None,
        });
        inventory::Profile {
            id: self.id.clone(),
            version: self.version,
            hash: self.hash.clone(),
            name: self.name.clone(),
            class: self.class.clone(),
            points: self
                .points
                .iter()
                .map(|point| self.announced_point(point))
                .collect(),
            faults,
            commands: self.commands.iter().map(CommandType::announced).collect(),
        }
    }

    fn announced_point(&self, point: &Point) -> inventory::Point {
        let labels: BTreeMap<_, _> = point
            .enumeration
            .iter()
            .flat_map(|enumeration| enumeration.labels())
            .map(|label| (label.id.clone(), label.label.clone()))
            .collect();
        inventory::Point {
            id: point.id.clone(),
            name: point.name.clone(),
            unit: point.unit.clone(),
            poll: point.class,
            period_ms: self.periods.of(point.class).map_or(0, milliseconds),
            range: point.range,
            is_state: point.is_state,
            labels,
            personal: point.personal,
        }
    }
}

impl CommandType {
    /// The longest that an execution can take, for the server to call its outcome unknown after.
    pub fn timeout(&self) -> Duration {
        let plus = self.verify.plus_param.map_or(Duration::ZERO, |param| {
            Duration::from_secs_f64(self.params[param].max)
        });
        let steps: Duration = self.verify.steps.iter().map(|step| step.within).sum();
        steps + plus + EXECUTION_SLACK
    }

    fn announced(&self) -> inventory::CommandType {
        inventory::CommandType {
            name: self.name.clone(),
            text: self.text.clone(),
            risk: self.risk,
            confirm: self.confirm,
            ttl_ms: milliseconds(self.expire),
            timeout_ms: milliseconds(self.timeout()),
            params: self.params.iter().map(Parameter::announced).collect(),
        }
    }
}

impl Parameter {
    fn announced(&self) -> inventory::Parameter {
        inventory::Parameter {
            name: self.name.clone(),
            text: self.text.clone(),
            min: self.min,
            max: self.max,
            default: self.default,
            unit: self.unit.clone(),
        }
    }
}
