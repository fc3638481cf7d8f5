//! What a certificate says (RFC 5280): until when, and whose it is. Pure.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use url::Host;
use x509_cert::Certificate;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode, Tag, Tagged};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};
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

/// Whether it may make others (RFC 5280 section 4.2.1.9).
pub(super) fn is_authority(der: &[u8]) -> bool {
    let certificate = Certificate::from_der(der).ok();
    let constraints = certificate.map(|certificate| certificate.tbs_certificate.get());
    matches!(
        constraints,
        Some(Ok(Some((_, BasicConstraints { ca: true, .. }))))
    )
}

/// Whether a server of this name may show it.
pub(super) fn has_name(der: &CertificateDer<'_>, host: &Host<&str>) -> bool {
    let name = match host {
        Host::Domain(name) => ServerName::try_from(*name).ok(),
        Host::Ipv4(address) => Some(ServerName::from(IpAddr::from(*address))),
        Host::Ipv6(address) => Some(ServerName::from(IpAddr::from(*address))),
    };
    let parsed = ParsedCertificate::try_from(der);
    name.zip(parsed.ok())
        .is_some_and(|(name, certificate)| verify_server_name(&certificate, &name).is_ok())
}

/// Until when a certificate may say who else is good: it is an authority's, and holds now.
///
/// # Errors
/// What is wrong, and what to do.
pub(super) fn authority_until(der: &[u8], now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let whose = name(der).map_or_else(String::new, |name| format!(" of {name}"));
    let Some((begins, expires)) = validity(der).filter(|_| is_authority(der)) else {
        return Err(format!(
            "the certificate{whose} in it is of no authority, whose says CA:TRUE: name the certificate of whoever makes those of the agents, not one of these"
        ));
    };
    if now < begins {
        return Err(format!(
            "the authority's certificate{whose} does not hold before {begins}: put it there then, and see that this machine's clock is right"
        ));
    }
    if expires <= now {
        return Err(format!(
            "the authority's certificate{whose} has expired on {expires}: put a new one there, and give agents certificates by it"
        ));
    }
    Ok(expires)
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
    use rcgen::{CertificateParams, DnType, IsCa, KeyPair};

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

    #[track_caller]
    fn check_authority(is_ca: IsCa, years: (i32, i32), expected: &str) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = is_ca;
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let now = "2030-06-01T00:00:00Z".parse().unwrap();
        let until = authority_until(certificate.der(), now);
        let said = until.map_or_else(|wrong| wrong, |until| until.to_string());
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn an_authority_says_so_and_holds_now() {
        let ca = || IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        check_authority(ca(), (2029, 2031), "2031-01-01 00:00:00 UTC");
        check_authority(ca(), (2028, 2030), "has expired on 2030-01-01");
        check_authority(ca(), (2031, 2032), "does not hold before 2031-01-01");
        check_authority(IsCa::NoCa, (2029, 2031), "is of no authority");
        check_authority(IsCa::ExplicitNoCa, (2029, 2031), "is of no authority");
        assert!(authority_until(b"nonsense", Utc::now()).is_err());
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
