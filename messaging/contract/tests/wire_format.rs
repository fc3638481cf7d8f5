//! The wire, pinned. **If a test here fails, do not change the golden file: revert the type**, or add a member that
//! older processes can do without and a golden file of its own.

use contract::alarm::{Acknowledge, AlarmView};
use contract::command::{Command, CommandRequest, CommandResult, CommandView};
use contract::device::{DeviceView, ZoneView};
use contract::event::Events;
use contract::heartbeat::Heartbeat;
use contract::inventory::Inventory;
use contract::reading::Readings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads the golden text as `T` and writes it again: nothing may be lost, renamed or added.
#[track_caller]
fn check<T: DeserializeOwned + Serialize>(golden: &str) {
    let expected: Value = serde_json::from_str(golden).expect("a golden file is JSON");
    let message: T = serde_json::from_str(golden).expect("the type reads its golden file");
    assert_eq!(
        serde_json::to_value(&message).expect("the type can be written"),
        expected
    );

    // A newer peer may say more: members that this version does not know change nothing.
    let mut extended = expected.clone();
    extended
        .as_object_mut()
        .expect("a body is an object")
        .insert("added-later".to_owned(), Value::Bool(true));
    let message: T = serde_json::from_value(extended).expect("unknown members are ignored");
    assert_eq!(
        serde_json::to_value(&message).expect("the type can be written"),
        expected
    );
}

/// Members that came later have golden files of their own: older processes leave them out.
#[test]
fn inventory_with_personal_data() {
    check::<Inventory>(include_str!("golden/inventory_personal.json"));
}

macro_rules! golden {
    ($($test:ident: $type:ty),+ $(,)?) => {
        $(#[test]
        fn $test() {
            check::<$type>(include_str!(concat!("golden/", stringify!($test), ".json")));
        })+
    };
}

golden! {
    inventory: Inventory,
    heartbeat: Heartbeat,
    events: Events,
    readings: Readings,
    command: Command,
    command_request: CommandRequest,
    command_result: CommandResult,
    command_view: CommandView,
    alarm_view: AlarmView,
    acknowledge: Acknowledge,
    device_view: DeviceView,
    zone_view: ZoneView,
}
