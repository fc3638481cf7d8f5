//! All devices of a running airport by their ids: what the handle, the control interface and the scenario work with.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::behaviour::{GateState, LoopState};
use crate::config::Device;
use crate::device::DeviceHandle;
use crate::fault::{Fault, FaultError, Kind};
use crate::site::Address;
use crate::truth::Cause;

/// Why a fault was not switched.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No such device.
    #[error("there is no device {0:?}")]
    UnknownDevice(String),
    /// The device cannot have this fault.
    #[error("{device:?}: {source}")]
    UnknownFault {
        /// Which device.
        device: String,
        /// What it can have.
        source: FaultError,
    },
    /// The airport file has no scenario.
    #[error("this airport has no scenario")]
    NoScenario,
    /// The task that would have to act has ended; the simulators are about to stop.
    #[error("{0:?} has ended")]
    Ended(String),
}

/// What one device is, as `GET /devices` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceState {
    /// The device as the airport file has it.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// Its zone.
    pub zone: String,
    /// Who serves it.
    pub agent: String,
    /// Where it is reached: on a bus, where the bus is.
    pub address: Address,
    /// Its Modbus unit id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<u8>,
    /// The faults that are on.
    pub faults: Vec<Fault>,
    /// Answers that left the device since the start.
    pub replies: u64,
    /// The arm, for a gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateState>,
    /// What is on the road, for a loop.
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    pub detector: Option<LoopState>,
}

/// A wish to start the scenario again; answered when it has.
pub(crate) type Restart = oneshot::Sender<()>;

/// All devices of a running airport: what the handle, the control interface and the scenario work with.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) entries: BTreeMap<String, Entry>,
    /// To the scenario's task; `None` without a scenario.
    pub(crate) restarts: Option<mpsc::Sender<Restart>>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) device: Device,
    pub(crate) address: Address,
    pub(crate) handle: DeviceHandle,
}

impl Directory {
    pub(crate) fn entry(&self, id: &str) -> Result<&Entry, ControlError> {
        self.entries
            .get(id)
            .ok_or_else(|| ControlError::UnknownDevice(id.to_owned()))
    }

    /// Switches the fault called `fault` for whoever controls the simulators.
    pub(crate) async fn switch(&self, id: &str, fault: &str, on: bool) -> Result<(), ControlError> {
        let entry = self.entry(id)?;
        let fault = entry
            .device
            .fault(fault)
            .map_err(|source| ControlError::UnknownFault {
                device: id.to_owned(),
                source,
            })?;
        match entry.handle.switch(fault, on, Cause::Control).await {
            Some(_changed) => Ok(()),
            None => Err(ControlError::Ended(id.to_owned())),
        }
    }

    pub(crate) async fn state(&self, entry: &Entry) -> Result<DeviceState, ControlError> {
        let Entry {
            device,
            address,
            handle,
        } = entry;
        let state = handle
            .state()
            .await
            .ok_or_else(|| ControlError::Ended(device.id.to_string()))?;
        Ok(DeviceState {
            id: device.id.to_string(),
            kind: device.kind,
            zone: device.zone.to_string(),
            agent: device.agent.to_string(),
            address: address.clone(),
            unit: device.unit(),
            faults: state.faults,
            replies: *handle.replies.borrow(),
            gate: state.gate,
            detector: state.detector,
        })
    }

    /// Starts the scenario again; when this returns, what it had switched on is off.
    pub(crate) async fn restart_scenario(&self) -> Result<(), ControlError> {
        let restarts = self.restarts.as_ref().ok_or(ControlError::NoScenario)?;
        let ended = || ControlError::Ended("the scenario".to_owned());
        let (sender, done) = oneshot::channel();
        if restarts.send(sender).await.is_err() {
            return Err(ended());
        }
        done.await.map_err(|_closed| ended())
    }

    /// What every device is, in the order of their ids.
    pub(crate) async fn states(&self) -> Result<Vec<DeviceState>, ControlError> {
        let mut states = Vec::with_capacity(self.entries.len());
        for entry in self.entries.values() {
            states.push(self.state(entry).await?);
        }
        Ok(states)
    }
}
