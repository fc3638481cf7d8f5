//! The one way in which the site changes: one change at a time, stored and shown together.

use std::sync::Arc;

use broker::Publisher;
use contract::DeviceId;
use contract::inventory::Inventory;
use tokio::sync::{Mutex, watch};

use crate::alarm::{Actor, AlarmHandle};
use crate::announce::{Announcer, Topic};
use crate::site::Site;
use crate::store::audit::AuditEntry;
use crate::store::{Store, StoreError, Unit};

/// Changes the site, and hands out what it is now.
pub(crate) struct SiteKeeper {
    store: Store,
    shown: watch::Sender<Arc<Site>>,
    alarms: AlarmHandle,
    announcer: Announcer,
    publisher: Publisher,
    /// Held from the first write of a change until everybody sees it, so that an older site never replaces a newer one.
    turn: Mutex<()>,
}

impl SiteKeeper {
    /// A keeper of the site that `shown` holds.
    pub(crate) fn new(
        store: Store,
        shown: watch::Sender<Arc<Site>>,
        alarms: AlarmHandle,
        announcer: Announcer,
        publisher: Publisher,
    ) -> Self {
        Self {
            store,
            shown,
            alarms,
            announcer,
            publisher,
            turn: Mutex::new(()),
        }
    }

    /// The site as it is now.
    pub(crate) fn site(&self) -> Arc<Site> {
        Arc::clone(&self.shown.borrow())
    }

    /// The site as it is now and will be.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Site>> {
        self.shown.subscribe()
    }

    /// An agent announced its devices.
    pub(crate) async fn put_inventory(
        &self,
        inventory: &Inventory,
        approved_by: Option<&str>,
    ) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let mut unit = self.store.begin().await?;
        Store::put_inventory(&mut unit, inventory, approved_by).await?;
        self.show(unit, None).await
    }

    /// A person approves a device; one that is approved already stays as it is.
    pub(crate) async fn approve(&self, device: &DeviceId, actor: &Actor) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let mut unit = self.store.begin().await?;
        let person = &actor.principal.subject;
        if !Store::approve_device(&mut unit, device, person).await? {
            return Ok(());
        }
        let entry = AuditEntry::by(actor, "device.approve", device.as_str());
        self.show(unit, Some(entry)).await
    }

    /// Reads the site with the change in it, writes down who made it, commits, and shows it: what is shown is what is
    /// stored.
    async fn show(
        &self,
        mut unit: Unit<'_>,
        entry: Option<AuditEntry<'_>>,
    ) -> Result<(), StoreError> {
        let site = Arc::new(Store::site(&mut unit).await?);
        if let Some(entry) = entry {
            Store::audit(&mut unit, entry).await?;
        }
        unit.commit().await?;
        let earlier = self.shown.send_replace(Arc::clone(&site));
        if !site.keeps_places_of(&earlier) {
            // Who may hear a device depends on its zone.
            self.publisher.all_rights_changed();
        }
        self.alarms.site_changed().await;
        for zone in site.zones() {
            self.announcer.changed(&zone.id, &Topic::Devices);
        }
        Ok(())
    }
}
