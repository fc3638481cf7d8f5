//! Patterns of destinations with claims in them, and what they cover. Pure.
//!
//! A rule covers what is asked for only if it covers *all* of it: `*` and `**` in a SUBSCRIBE are compared with the rule
//! segment by segment, never by their beginning. What is not written exactly as destinations are written is covered by
//! nothing.

use std::fmt;

use contract::destination::TOPICS_OF_ONE_ZONE;
use contract::{DeviceId, Language, ZoneId};

use super::permission::list;
use crate::identity::principal::Zones;

/// More segments than any destination has: the broker refuses longer ones too.
const SEGMENTS_MAX: usize = 32;

/// Placeholders of claims, as they stand in a policy file.
const CLAIMS: [&str; 4] = ["{zone}", "{device}", "{subject}", "{language}"];

/// One segment of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// `*`
    Any,
    /// `**`, at the end only.
    Rest,
    Zone,
    Device,
    Subject,
    Language,
}

/// A pattern of destinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    segments: Vec<Segment>,
    every_zone: bool,
}

/// Where devices stand.
pub trait Places {
    /// The zone of a device that is known.
    fn zone_of(&self, device: &str) -> Option<&ZoneId>;
}

/// Whose claims are put into a pattern.
#[derive(Clone, Copy)]
pub(crate) struct Claims<'a> {
    pub(crate) subject: &'a str,
    pub(crate) zones: &'a Zones,
    pub(crate) places: &'a dyn Places,
}

/// Why a pattern does not cover what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// It is about something else.
    Elsewhere,
    /// What is asked for has a wildcard where the rule is narrower.
    Wider,
    /// The zone is none of theirs.
    Zone,
    /// A wildcard instead of a zone or a device, or a rule for all zones: both need every zone.
    EveryZone,
    /// The device stands in another zone.
    DeviceElsewhere,
    /// Nobody knows in which zone the device stands.
    DeviceUnknown,
    /// It is somebody else's.
    Subject,
    /// There is no such language.
    Language,
}

impl Pattern {
    /// Reads a pattern. `every_zone`: it is for those only who have all zones.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub(crate) fn parse(text: &str, every_zone: bool) -> Result<Self, String> {
        let mut segments = Vec::new();
        let parts: Vec<&str> = parts(text)?.collect();
        for (place, part) in parts.iter().enumerate() {
            segments.push(match *part {
                "*" => Segment::Any,
                "**" if place + 1 == parts.len() => Segment::Rest,
                "**" => return Err("** stands for the rest and only at the end".to_owned()),
                "{zone}" => Segment::Zone,
                "{device}" => Segment::Device,
                "{subject}" => Segment::Subject,
                "{language}" => Segment::Language,
                other if other.contains(['{', '}']) => {
                    return Err(format!(
                        "{other:?} is no placeholder: use {} as a whole segment",
                        list(CLAIMS)
                    ));
                }
                other => Segment::Literal(other.to_owned()),
            });
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
            every_zone,
        })
    }

    /// As it stands in the file.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is for those only who have all zones.
    pub(crate) fn needs_every_zone(&self) -> bool {
        self.every_zone
    }

    /// Whether it begins with one of these paths, each of whole segments without wildcards.
    pub(super) fn is_below(&self, paths: &[&str]) -> bool {
        paths.iter().any(|path| {
            let mut wanted = path.split('/').skip(1);
            let mut own = self.segments.iter();
            wanted.all(|part| matches!(own.next(), Some(Segment::Literal(text)) if text == part))
                && own.next().is_some()
        })
    }

    /// Whether zones bind it: it names the zone or device where topics of one zone do, or is for all zones.
    pub(super) fn is_bound_to_zones(&self) -> bool {
        self.every_zone
            || TOPICS_OF_ONE_ZONE.iter().any(|topic| {
                let mut own = self.segments.iter();
                topic.split('/').skip(1).all(|part| match own.next() {
                    Some(Segment::Zone) => part == "{zone}",
                    Some(Segment::Device) => part == "{device}",
                    Some(Segment::Literal(text)) => part == "*" || part == text,
                    Some(Segment::Any | Segment::Language | Segment::Subject) => part == "*",
                    Some(Segment::Rest) | None => false,
                })
            })
    }

    /// Whether it covers all of a destination or pattern that is written as such (see [`is_well_formed`]).
    ///
    /// # Errors
    /// Why not, and how many segments are covered.
    pub(crate) fn covers(&self, asked: &str, claims: Claims<'_>) -> Result<(), (usize, Lack)> {
        let mut parts = asked.split('/').skip(1);
        for (place, segment) in self.segments.iter().enumerate() {
            if *segment == Segment::Rest {
                return self.zones_suffice(claims).map_err(|lack| (place, lack));
            }
            let part = parts.next().ok_or((place, Lack::Elsewhere))?;
            segment.covers(part, claims).map_err(|lack| (place, lack))?;
        }
        let places = self.segments.len();
        match parts.next() {
            None => self.zones_suffice(claims).map_err(|lack| (places, lack)),
            Some("**") => Err((places, Lack::Wider)),
            Some(_) => Err((places, Lack::Elsewhere)),
        }
    }

    fn zones_suffice(&self, claims: Claims<'_>) -> Result<(), Lack> {
        if self.every_zone && *claims.zones != Zones::All {
            return Err(Lack::EveryZone);
        }
        Ok(())
    }
}

impl Segment {
    fn covers(&self, part: &str, claims: Claims<'_>) -> Result<(), Lack> {
        let has_every_zone = *claims.zones == Zones::All;
        match (self, part) {
            (_, "**") => Err(Lack::Wider),
            (Self::Any, _) => Ok(()),
            // Of somebody with every zone, nothing more is asked: also of zones and devices that come later.
            (Self::Zone | Self::Device, "*") if has_every_zone => Ok(()),
            (Self::Zone | Self::Device, "*") => Err(Lack::EveryZone),
            (_, "*") => Err(Lack::Wider),
            (Self::Literal(text), _) if text == part => Ok(()),
            (Self::Literal(_) | Self::Rest, _) => Err(Lack::Elsewhere),
            (Self::Zone, _) => match part.parse::<ZoneId>() {
                Ok(zone) if claims.zones.contains(&zone) => Ok(()),
                Ok(_) | Err(_) => Err(Lack::Zone),
            },
            (Self::Device, _) if part.parse::<DeviceId>().is_err() => Err(Lack::DeviceUnknown),
            (Self::Device, _) if has_every_zone => Ok(()),
            (Self::Device, _) => match claims.places.zone_of(part) {
                Some(zone) if claims.zones.contains(zone) => Ok(()),
                Some(_) => Err(Lack::DeviceElsewhere),
                None => Err(Lack::DeviceUnknown),
            },
            (Self::Subject, _) if part == claims.subject => Ok(()),
            (Self::Subject, _) => Err(Lack::Subject),
            (Self::Language, _) if part.parse::<Language>().is_ok() => Ok(()),
            (Self::Language, _) => Err(Lack::Language),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)?;
        if self.every_zone {
            f.write_str(" (for all zones)")?;
        }
        Ok(())
    }
}

/// Whether a text is written as destinations are: no empty segment, no way up, nothing encoded, wildcards only as whole
/// segments and `**` only at the end.
pub(crate) fn is_well_formed(asked: &str) -> bool {
    parts(asked).is_ok_and(|parts| {
        let parts: Vec<&str> = parts.collect();
        let inner = parts.split_last().map_or(&[][..], |(_, inner)| inner);
        parts
            .iter()
            .all(|part| matches!(*part, "*" | "**") || !part.contains(['*', '{', '}']))
            && !inner.contains(&"**")
    })
}

/// Whether it has wildcards.
pub(crate) fn has_wildcard(asked: &str) -> bool {
    asked.split('/').any(|part| matches!(part, "*" | "**"))
}

fn parts(text: &str) -> Result<impl Iterator<Item = &str>, String> {
    let Some(path) = text.strip_prefix('/') else {
        return Err("it must begin with a slash".to_owned());
    };
    let is_odd = |part: &str| {
        part.is_empty()
            || part == "."
            || part == ".."
            || part.contains(|letter: char| "%\\".contains(letter) || letter.is_control())
            || (part.contains('*') && part != "*" && part != "**")
    };
    if path.split('/').any(is_odd) {
        return Err(
            "its segments are separated by single slashes, none is empty, . or .., none has %, \\ or control characters, and * stands for one whole segment, ** for the rest".to_owned(),
        );
    }
    if path.split('/').count() > SEGMENTS_MAX {
        return Err(format!("it has more than {SEGMENTS_MAX} segments"));
    }
    Ok(path.split('/'))
}
