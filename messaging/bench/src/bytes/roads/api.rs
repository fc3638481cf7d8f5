//! Asking for the value, once for each: in truth whoever asks does not know when it changes, and asks more often.

use anyhow::ensure;

use super::request::{self, From};
use super::{Road, Way};
use crate::bytes::counted::{Count, Counted};
use crate::bytes::site::{DEVICE, Site};

pub(super) struct Api {
    wire: Counted,
    request: Vec<u8>,
}

impl Api {
    pub(super) fn open(way: Way, site: &Site) -> anyhow::Result<Self> {
        let path = format!("/api/v1/devices/{DEVICE}");
        let token = format!("Authorization: Bearer {}\r\n", site.token);
        Ok(Self {
            wire: Counted::open(site.address)?,
            request: match way {
                Way::ApiCurl => request::curl(site.address, &path, &token),
                _ => request::get(site.address, &path, From::Script, &token),
            },
        })
    }
}

impl Road for Api {
    fn next(&mut self) -> anyhow::Result<String> {
        self.wire.write(&self.request)?;
        let (status, body) = self.wire.answer()?;
        ensure!(status == 200, "answered {status}: {body}");
        Ok(body)
    }

    fn counted(&self) -> Count {
        self.wire.count
    }
}
