//! What a certificate says (RFC 5280): until when, and whose it is. Pure.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use x509_cert::Certificate;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

/// `id-at-commonName`.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// From when until when it holds.
pub(super) fn validity(der: &[u8]) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let certificate = Certificate::from_der(der).ok()?;
    let validity = &certificate.tbs_certificate.validity;
    let moment = |time: &Time| {
        let since: Duration = time.to_unix_duration();
        DateTime::from_timestamp(i64::try_from(since.as_secs()).ok()?, 0)
    };
    Some((moment(&validity.not_before)?, moment(&validity.not_after)?))
}

/// Whose it is: the first DNS name that it has, else its common name.
pub(super) fn name(der: &[u8]) -> Option<Arc<str>> {
    let certificate = Certificate::from_der(der).ok()?;
    let subject = &certificate.tbs_certificate;
    let names = subject.get::<SubjectAltName>().ok()?;
    let dns = names.and_then(|(_, names)| {
        names.0.into_iter().find_map(|name| match name {
            GeneralName::DnsName(name) => Some(Arc::from(name.as_str())),
            _ => None,
        })
    });
    dns.or_else(|| {
        let parts = subject.subject.0.iter();
        let mut attributes = parts.flat_map(|part| part.0.iter());
        let common = attributes.find(|attribute| attribute.oid == COMMON_NAME)?;
        let value = common.value.to_der().ok()?;
        match common.value.tag() {
            Tag::Utf8String => Some(Arc::from(Utf8StringRef::from_der(&value).ok()?.as_str())),
            Tag::PrintableString => Some(Arc::from(
                PrintableStringRef::from_der(&value).ok()?.as_str(),
            )),
            Tag::Ia5String => Some(Arc::from(Ia5StringRef::from_der(&value).ok()?.as_str())),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[track_caller]
    fn check(dns: &[&str], common: Option<&str>, expected: Option<&str>) {
        let names: Vec<String> = dns.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        assert_eq!(name(certificate.der()).as_deref(), expected);
    }

    #[test]
    fn a_dns_name_comes_before_the_common_one() {
        check(&["agent-1"], Some("someone"), Some("agent-1"));
        check(&["a", "b"], None, Some("a"));
        check(&[], Some("agent-2"), Some("agent-2"));
        check(&["10.0.0.1"], Some("agent-3"), Some("agent-3"));
        check(&[], None, None);
        assert_eq!(name(b"nonsense"), None);
    }

    #[test]
    fn the_end_is_told() {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 2);
        params.not_after = rcgen::date_time_ymd(2027, 3, 4);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (begins, expires) = validity(certificate.der()).unwrap();
        assert_eq!(begins.to_rfc3339(), "2026-01-02T00:00:00+00:00");
        assert_eq!(expires.to_rfc3339(), "2027-03-04T00:00:00+00:00");
    }
}
