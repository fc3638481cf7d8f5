//! Authorities and certificates that are made for a test.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::OwnCertificate;

/// Who makes certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// The first of January: certificates that hold today do so from 2020 to 2100.
pub(crate) type Years = (i32, i32);

pub(crate) const TODAY: Years = (2020, 2100);

fn params(name: &str, years: Years) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    params
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::with_key(name, KeyPair::generate().unwrap())
    }

    pub(crate) fn with_key(name: &str, key: KeyPair) -> Self {
        let mut params = params(name, TODAY);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn pair(&self, name: &str, years: Years) -> Pair {
        let key = KeyPair::generate().unwrap();
        Pair {
            certificate: params(name, years).signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Pair {
    /// A certificate that is nobody's but its own.
    pub(crate) fn self_signed(name: &str, is_ca: bool) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(name, TODAY);
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        Self {
            certificate: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn write(&self, directory: &Path) -> OwnCertificate {
        let own = OwnCertificate {
            certificate: directory.join("cert.pem"),
            key: directory.join("key.pem"),
        };
        std::fs::write(&own.certificate, &self.certificate).unwrap();
        std::fs::write(&own.key, &self.key).unwrap();
        own
    }
}
