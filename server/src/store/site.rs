//! Zones, agents, profiles and devices as they were announced.

use contract::inventory::{Device, Inventory, Profile};
use contract::{AgentId, DeviceId, Text, ZoneId};

use super::{Store, StoreError, Unit, read, read_json, write_json};
use crate::site::{Site, SiteDevice, Zone};

impl Store {
    /// Writes the configured zones, in their order; zones that are no longer configured stay, for the devices in them.
    pub(crate) async fn put_zones(&self, zones: &[Zone]) -> Result<(), StoreError> {
        let mut unit = self.begin().await?;
        for (position, zone) in (0i32..).zip(zones) {
            sqlx::query!(
                "insert into zone (id, name_ko, name_en, position) values ($1, $2, $3, $4)
                 on conflict (id) do update set name_ko = excluded.name_ko, name_en = excluded.name_en, position = excluded.position",
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

    /// The whole site: zones in their order, devices (without retired ones) in the order of their inventories.
    pub(crate) async fn site(&self) -> Result<Site, StoreError> {
        let zones = sqlx::query!("select id, name_ko, name_en from zone order by position, id")
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(|row| {
                Ok(Zone {
                    id: read("zone", &row.id)?,
                    name: Text {
                        ko: row.name_ko,
                        en: row.name_en,
                    },
                })
            })
            .collect::<Result<_, StoreError>>()?;
        let profiles = sqlx::query!(
            "select body from profile where hash in (select profile_hash from device where retired_at is null)"
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| read_json::<Profile>("profile", row.body))
        .collect::<Result<_, StoreError>>()?;
        let devices = sqlx::query!(
            r#"select id, agent_id, zone_id, lane_id, name_ko, name_en, profile_hash, line_id,
                      approved_at is not null as "approved!"
               from device where retired_at is null order by agent_id, position"#
        )
        .fetch_all(&self.pool)
        .await?;
        let devices = devices
            .into_iter()
            .map(|row| {
                Ok(SiteDevice {
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
                    profile_hash: row.profile_hash,
                    approved: row.approved,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Site::new(zones, profiles, devices))
    }

    /// Stores an inventory: the agent, its profiles, its devices; devices that it no longer names are retired.
    /// `approved_by` approves the new ones at once.
    ///
    /// A device that another agent serves moves to this one: equipment is rewired, and the newest word counts. It must be
    /// approved anew then, so that whoever has one agent's credentials cannot act for the devices of another unseen.
    pub(crate) async fn put_inventory(
        &self,
        inventory: &Inventory,
        approved_by: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut unit = self.begin().await?;
        sqlx::query!(
            "insert into agent (id, instance, epoch, version) values ($1, $2, $3, $4)
             on conflict (id) do update set instance = excluded.instance, epoch = excluded.epoch,
                 version = excluded.version, inventory_at = now()",
            inventory.agent.as_str(),
            inventory.instance.0,
            inventory.epoch.0,
            inventory.version
        )
        .execute(&mut *unit)
        .await?;
        for profile in &inventory.profiles {
            sqlx::query!(
                "insert into profile (hash, id, body) values ($1, $2, $3)
                 on conflict (hash) do update set body = excluded.body where profile.body <> excluded.body",
                profile.hash,
                profile.id.as_str(),
                write_json(profile)
            )
            .execute(&mut *unit)
            .await?;
        }
        for (position, device) in (0i32..).zip(&inventory.devices) {
            let Some(profile) = inventory
                .profiles
                .iter()
                .find(|profile| profile.id == device.profile)
            else {
                continue; // Refused by `ingest` before it came here.
            };
            put_device(
                &mut unit,
                &inventory.agent,
                device,
                &profile.hash,
                position,
                approved_by,
            )
            .await?;
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
        .execute(&mut *unit)
        .await?;
        Ok(unit.commit().await?)
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
             approved_at = case when device.agent_id = excluded.agent_id
                 then coalesce(device.approved_at, excluded.approved_at) else excluded.approved_at end,
             approved_by = case when device.agent_id = excluded.agent_id
                 then coalesce(device.approved_by, excluded.approved_by) else excluded.approved_by end",
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
