//! Writes every page with sample data to a directory, to be looked at in a browser:
//! `cargo run -p web-ui --example gallery -- target/gallery`.

#[path = "../tests/it/sample.rs"]
mod sample;

use std::path::Path;

use contract::Language;
use contract::device::ZoneView;
use sample::{Airport, OPERATOR, alarms, commands, shell, viewing, zone_ids};
use uuid::Uuid;
use web_ui::{
    AlarmsPage, DevicePage, ErrorKind, ErrorPage, KnownDevice, Notice, Offer, Overview,
    OverviewZone, SignIn, SignInProblem, Template, assets,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let Some(directory) = std::env::args_os().nth(1) else {
        return Err("say which directory to write to".into());
    };
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory.join("assets"))?;
    for asset in assets() {
        std::fs::write(
            directory.join(asset.url.trim_start_matches('/')),
            asset.bytes,
        )?;
    }
    for language in Language::ALL {
        write_language(directory, language)?;
    }
    Ok(())
}

fn write_language(directory: &Path, language: Language) -> Outcome {
    let write = |name: &str, page: &dyn std::fmt::Display| {
        // Files have no root of their own: assets are beside them.
        let html = page.to_string().replace("\"/assets/", "\"assets/");
        std::fs::write(directory.join(format!("{name}.{language}.html")), html)
    };
    let airport = Airport::new();
    let (zones, alarms) = (zone_ids(), alarms());
    let shell = |path: &'static str| shell(language, path, &zones, &alarms, None);

    let overview = overview_zones(&airport);
    write(
        "overview",
        &Overview {
            shell: shell("/"),
            zones: &overview,
        },
    )?;
    write(
        "alarms",
        &AlarmsPage {
            shell: shell("/alarms"),
            alarms: &alarms,
            zone: None,
        },
    )?;
    let calm = sample::shell(language, "/alarms", &zones, &[], Some(Notice::Acknowledged));
    write(
        "alarms-none",
        &AlarmsPage {
            shell: calm,
            alarms: &[],
            zone: None,
        },
    )?;
    let mut down = shell("/");
    down.recording = false;
    down.notice = Some(Notice::NotRecording);
    write(
        "not-recording",
        &Overview {
            shell: down,
            zones: &overview,
        },
    )?;
    for id in [
        "gate-p1-in-2",
        "gate-p1-in-1",
        "gate-p1-out-2",
        "kiosk-p1-out-1",
        "kiosk-t1-4",
    ] {
        write_device(&write, shell("/devices/x"), &airport, id)?;
    }
    write_others(&write, language, &shell("/lost"))
}

fn overview_zones(airport: &Airport) -> Vec<OverviewZone<'_>> {
    let devices_of = |zone: &ZoneView| {
        let of_zone = airport
            .devices
            .iter()
            .filter(|device| device.zone == zone.id);
        let known: Vec<KnownDevice<'_>> = of_zone
            .map(|device| airport.known(device.id.as_str()))
            .collect();
        known
    };
    let zones = airport.zones.iter();
    zones
        .map(|zone| OverviewZone::new(zone, devices_of(zone)))
        .collect()
}

type Write<'a> = &'a dyn Fn(&str, &dyn std::fmt::Display) -> std::io::Result<()>;

fn write_device(
    write: Write<'_>,
    shell: web_ui::Shell<'_>,
    airport: &Airport,
    id: &str,
) -> Outcome {
    let device = airport.known(id);
    let mut alarms = alarms();
    alarms.retain(|alarm| alarm.device == device.view.id);
    let mut key = 0;
    let offers = Offer::all(device, OPERATOR, true, || {
        key += 1;
        Uuid::from_u128(key)
    });
    let zone = airport
        .zones
        .iter()
        .find(|zone| zone.id == device.view.zone);
    let told = if device.view.class == "barrier" {
        commands(&device.view.id)
    } else {
        Vec::new()
    };
    let page = DevicePage {
        shell,
        device,
        zone_name: &zone.ok_or("a device without a zone")?.name,
        alarms: &alarms,
        offers: &offers,
        commands: &told,
        may_reveal: true,
    };
    write(&format!("device-{id}"), &page)?;
    Ok(())
}

fn write_others(write: Write<'_>, language: Language, shell: &web_ui::Shell<'_>) -> Outcome {
    let viewing = viewing(language);
    let sign_in = SignIn {
        viewing,
        problem: None,
        name: "",
        next: "/",
        external: None,
        csrf: "t",
        version: "0.1.0",
    };
    write("sign-in", &sign_in)?;
    let wrong = SignIn {
        problem: Some(SignInProblem::Wrong),
        name: "kim",
        ..sign_in
    };
    write("sign-in-wrong", &wrong)?;
    for (name, kind, shell) in [
        ("error-404", ErrorKind::NotFound, Some(shell)),
        ("error-500", ErrorKind::Internal, None),
    ] {
        let page = ErrorPage {
            viewing,
            kind,
            reference: Some("0193b3a0"),
            path: "/lost",
            shell,
        };
        page.render()?;
        write(name, &page)?;
    }
    Ok(())
}
