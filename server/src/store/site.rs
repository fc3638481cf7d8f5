//! Zones, agents, profiles and devices as they were announced.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::inventory::{Device, Inventory, Profile};
use contract::{AgentId, DeviceId, Text, ZoneId};
use sha2::{Digest, Sha256};

use super::{Store, StoreError, Unit, read, read_json, write_json};
use crate::site::{Site, SiteDevice, Zone};

impl Store {
    /// Writes the configured zones, in their order; zones that are no longer configured stay, for the devices in them.
    pub(crate) async fn put_zones(&self, zones: &[Zone]) -> Result<(), StoreError> {
        let mut unit = self.begin().await?;
        sqlx::query!("update zone set configured = false where configured")
            .execute(&mut *unit)
            .await?;
        for (position, zone) in (0i32..).zip(zones) {
            sqlx::query!(
                "insert into zone (id, name_ko, name_en, position, configured) values ($1, $2, $3, $4, true)
                 on conflict (id) do update set name_ko = excluded.name_ko, name_en = excluded.name_en,
                     position = excluded.position, configured = true",
                zone.id.as_str(),
                zone.name.ko,
                zone.name.en,
                position
            )
            .execute(&mut *unit)
            .await?;
        }
        Ok(unit.commit().await?)
    }

    /// The whole site as this unit of work sees it: zones in their order, devices in the order of their inventories.
    pub(crate) async fn site(unit: &mut Unit<'_>) -> Result<Site, StoreError> {
        let zones = sqlx::query!(
            "select id, name_ko, name_en from zone
             where configured or exists (select from device where zone_id = zone.id and retired_at is null)
             order by position, id"
        )
        .fetch_all(&mut **unit)
        .await?
        .into_iter()
        .map(|row| Ok(Zone { id: read("zone", &row.id)?, name: Text { ko: row.name_ko, en: row.name_en } }))
        .collect::<Result<_, StoreError>>()?;
        let rows = sqlx::query!(
            r#"select d.id, d.agent_id, d.zone_id, d.lane_id, d.name_ko, d.name_en, d.profile_hash, p.body,
                      d.approved_at is not null as "approved!", d.retired_at is not null as "retired!"
               from device d join profile p on p.hash = d.profile_hash order by d.agent_id, d.position"#
        )
        .fetch_all(&mut **unit)
        .await?;
        let mut profiles: HashMap<String, Arc<Profile>> = HashMap::new();
        let mut devices = Vec::with_capacity(rows.len());
        for row in rows {
            let profile = match profiles.entry(row.profile_hash) {
                Entry::Occupied(known) => Arc::clone(known.get()),
                Entry::Vacant(free) => {
                    Arc::clone(free.insert(Arc::new(read_json("profile", row.body)?)))
                }
            };
            devices.push(SiteDevice {
                id: read("device", &row.id)?,
                agent: read("device", &row.agent_id)?,
                zone: read("device", &row.zone_id)?,
                lane: row
                    .lane_id
                    .as_deref()
                    .map(|lane| read("device", lane))
                    .transpose()?,
                name: Text {
                    ko: row.name_ko,
                    en: row.name_en,
                },
                profile,
                approved: row.approved,
                retired: row.retired,
            });
        }
        Ok(Site::new(zones, devices))
    }

    /// Stores an inventory: the agent, its profiles, its devices; devices that it no longer names are retired.
    /// `approved_by` approves the new ones at once.
    ///
    /// A device that another agent serves moves to this one: equipment is rewired, and the newest word counts. It must be
    /// approved anew then, as one that moves to another zone must, so that whoever has one agent's credentials cannot
    /// act for the devices of another unseen; unless the other agent had let it go before.
    pub(crate) async fn put_inventory(
        unit: &mut Unit<'_>,
        inventory: &Inventory,
        approved_by: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into agent (id, instance, epoch, version) values ($1, $2, $3, $4)
             on conflict (id) do update set instance = excluded.instance, epoch = excluded.epoch,
                 version = excluded.version, inventory_at = now()",
            inventory.agent.as_str(),
            inventory.instance.0,
            inventory.epoch.0,
            inventory.version
        )
        .execute(&mut **unit)
        .await?;
        let mut hashes = HashMap::new();
        for profile in &inventory.profiles {
            let hash = announced_hash(profile);
            sqlx::query!(
                "insert into profile (hash, id, body) values ($1, $2, $3) on conflict (hash) do nothing",
                hash,
                profile.id.as_str(),
                write_json(profile)
            )
            .execute(&mut **unit)
            .await?;
            hashes.insert(&profile.id, hash);
        }
        for (position, device) in (0i32..).zip(&inventory.devices) {
            let Some(hash) = hashes.get(&device.profile) else {
                continue; // Refused by `gateway` before it came here.
            };
            put_device(unit, &inventory.agent, device, hash, position, approved_by).await?;
        }
        let named: Vec<String> = inventory
            .devices
            .iter()
            .map(|device| device.id.to_string())
            .collect();
        sqlx::query!(
            "update device set retired_at = now() where agent_id = $1 and retired_at is null and id <> all($2)",
            inventory.agent.as_str(),
            &named
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Approves a device; false when it is not known or approved already.
    pub(crate) async fn approve_device(
        unit: &mut Unit<'_>,
        device: &DeviceId,
        person: &str,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update device set approved_at = now(), approved_by = $2 where id = $1 and approved_at is null",
            device.as_str(),
            person
        )
        .execute(&mut **unit)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

/// The name of an announced profile: what it says, and nothing that its agent claims, decides.
fn announced_hash(profile: &Profile) -> String {
    let body = serde_json::to_vec(profile).expect("a profile can be written");
    URL_SAFE_NO_PAD.encode(Sha256::digest(body))
}

async fn put_device(
    unit: &mut Unit<'_>,
    agent: &AgentId,
    device: &Device,
    profile_hash: &str,
    position: i32,
    approved_by: Option<&str>,
) -> Result<(), StoreError> {
    put_unnamed_zone(unit, &device.zone).await?;
    sqlx::query!(
        "insert into device (id, agent_id, zone_id, lane_id, name_ko, name_en, profile_hash, line_id, position,
                             approved_at, approved_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, case when $10::text is null then null else now() end, $10)
         on conflict (id) do update set agent_id = excluded.agent_id, zone_id = excluded.zone_id,
             lane_id = excluded.lane_id, name_ko = excluded.name_ko, name_en = excluded.name_en,
             profile_hash = excluded.profile_hash, line_id = excluded.line_id, position = excluded.position,
             announced_at = now(), retired_at = null,
             approved_at = case when device.retired_at is null
                     and (device.agent_id <> excluded.agent_id or device.zone_id <> excluded.zone_id) then null
                 when device.agent_id <> excluded.agent_id then excluded.approved_at
                 else coalesce(device.approved_at, excluded.approved_at) end,
             approved_by = case when device.retired_at is null
                     and (device.agent_id <> excluded.agent_id or device.zone_id <> excluded.zone_id) then null
                 when device.agent_id <> excluded.agent_id then excluded.approved_by
                 else coalesce(device.approved_by, excluded.approved_by) end",
        device.id.as_str(),
        agent.as_str(),
        device.zone.as_str(),
        device.lane.as_ref().map(contract::LaneId::as_str),
        device.name.ko,
        device.name.en,
        profile_hash,
        device.line.as_str(),
        position,
        approved_by
    )
    .execute(&mut **unit)
    .await?;
    Ok(())
}

/// A zone that only a site file knows is shown under its id, after the configured ones, instead of hiding its devices.
async fn put_unnamed_zone(unit: &mut Unit<'_>, zone: &ZoneId) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into zone (id, name_ko, name_en, position) values ($1, $1, $1, 1000000) on conflict (id) do nothing",
        zone.as_str()
    )
    .execute(&mut **unit)
    .await?;
    Ok(())
}
