//! Limits as people set them: `entries=500000,layer-bytes=8GiB`.

use std::fmt;
use std::str::FromStr;

use super::Limits;

/// Why a setting of limits is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    /// Not of the form `NAME=VALUE`.
    #[error("'{0}' is not of the form NAME=VALUE")]
    Form(String),
    /// No limit of that name.
    #[error("there is no limit '{name}'; there are {there}")]
    Unknown {
        /// As given.
        name: String,
        /// Those there are.
        there: String,
    },
    /// Set twice.
    #[error("the limit '{0}' is set twice")]
    Twice(String),
    /// A value it cannot have.
    #[error("the limit '{name}' cannot be '{value}': {reason}")]
    Value {
        /// The limit.
        name: &'static str,
        /// As given.
        value: String,
        /// What is wrong.
        reason: String,
    },
}

/// One limit: its name, the least and most it may be, and its place.
struct Setting {
    name: &'static str,
    least: u64,
    most: u64,
    set: fn(&mut Limits, u64),
    get: fn(&Limits) -> u64,
}

const KIB: u64 = 1 << 10;
const TIB: u64 = 1 << 40;
/// What is held in memory at once.
const MOST_HELD: u64 = 4 << 30;

macro_rules! setting {
    ($name:literal, $field:ident: $kind:ty, $least:expr, $most:expr) => {
        Setting {
            name: $name,
            least: $least,
            most: $most,
            set: |limits, value| limits.$field = <$kind>::try_from(value).unwrap_or(<$kind>::MAX),
            get: |limits| limits.$field as u64,
        }
    };
}

const SETTINGS: [Setting; 18] = [
    setting!("layers", max_layers: usize, 1, 4096),
    setting!("layer-bytes", max_layer_bytes: u64, KIB, TIB),
    setting!("total-bytes", max_total_bytes: u64, KIB, TIB),
    setting!("ratio", max_ratio: u64, 2, 100_000),
    setting!("entries", max_entries: u64, 1, 100_000_000),
    setting!("path-bytes", max_path_bytes: usize, 16, 64 * KIB),
    setting!("path-depth", max_path_depth: usize, 1, 1024),
    setting!("metadata-bytes", max_metadata_bytes: u64, KIB, MOST_HELD),
    setting!("database-bytes", max_database_bytes: u64, KIB, MOST_HELD),
    setting!("executable-bytes", max_executable_bytes: u64, KIB, MOST_HELD),
    setting!("document-bytes", max_document_bytes: u64, KIB, MOST_HELD),
    setting!("document-objects", max_document_objects: usize, 1, 100_000_000),
    setting!("inventory-bytes", max_inventory_bytes: u64, KIB, 16 * MOST_HELD),
    setting!("archive-depth", max_archive_depth: usize, 1, 64),
    setting!("archive-entries", max_archive_entries: usize, 1, 100_000_000),
    setting!("archive-entry-bytes", max_archive_entry_bytes: u64, KIB, MOST_HELD),
    setting!("archive-bytes", max_archive_bytes: u64, KIB, MOST_HELD),
    setting!("xml-depth", max_xml_depth: usize, 1, 1024),
];

/// Levels that are visited by recursion stay as they are, but for the few of archives; this one is no number.
const NON_UTF8: &str = "non-utf8";

impl FromStr for Limits {
    type Err = LimitsError;

    /// Reads `NAME=VALUE,...`; what is not named keeps its default. Bytes may end in `KiB`, `MiB`, `GiB` or `TiB`, and
    /// `non-utf8` is `refuse` or `replace`.
    fn from_str(text: &str) -> Result<Self, LimitsError> {
        let mut limits = Self::default();
        let mut seen = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let short: String = part.chars().take(100).collect();
            let (name, value) = part.split_once('=').ok_or(LimitsError::Form(short))?;
            let (name, value) = (name.trim(), value.trim());
            if seen.contains(&name) {
                return Err(LimitsError::Twice(name.to_owned()));
            }
            seen.push(name);
            limits.set(name, value)?;
        }
        Ok(limits)
    }
}

impl Limits {
    fn set(&mut self, name: &str, value: &str) -> Result<(), LimitsError> {
        let wrong = |name, reason: String| LimitsError::Value { name, value: value.to_owned(), reason };
        if name == NON_UTF8 {
            self.refuse_non_utf8 = match value {
                "refuse" => true,
                "replace" => false,
                _ => return Err(wrong(NON_UTF8, "it is 'refuse' or 'replace'".into())),
            };
            return Ok(());
        }
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
            let there = SETTINGS.iter().map(|setting| setting.name).chain([NON_UTF8]).collect::<Vec<_>>().join(", ");
            return Err(LimitsError::Unknown { name: name.chars().take(100).collect(), there });
        };
        let number = number(value).ok_or_else(|| wrong(setting.name, "it is no whole number".into()))?;
        if !(setting.least..=setting.most).contains(&number) {
            return Err(wrong(setting.name, format!("it is between {} and {}", setting.least, setting.most)));
        }
        (setting.set)(self, number);
        Ok(())
    }
}

fn number(text: &str) -> Option<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let unit = units.iter().find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, 1u64 << bits)));
    let (digits, factor) = unit.unwrap_or((text, 1));
    let digits = digits.trim_end();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

impl fmt::Display for Limits {
    /// As [`FromStr`] reads it, every limit named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for setting in &SETTINGS {
            write!(f, "{}={},", setting.name, (setting.get)(self))?;
        }
        write!(f, "{NON_UTF8}={}", if self.refuse_non_utf8 { "refuse" } else { "replace" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_set_and_the_rest_stays() {
        let limits: Limits = " entries=10_0 ".replace('_', "").parse().unwrap();
        assert_eq!(limits, Limits { max_entries: 100, ..Limits::default() });
        let limits: Limits = "layer-bytes=8GiB, ratio=1000,non-utf8=replace,".parse().unwrap();
        let wanted = Limits { max_layer_bytes: 8 << 30, max_ratio: 1000, refuse_non_utf8: false, ..Limits::default() };
        assert_eq!(limits, wanted);
        let limits: Limits = "archive-depth=2,archive-bytes=1GiB,xml-depth=9".parse().unwrap();
        let wanted = Limits { max_archive_depth: 2, max_archive_bytes: 1 << 30, max_xml_depth: 9, ..Limits::default() };
        assert_eq!(limits, wanted);
        assert_eq!("".parse::<Limits>().unwrap(), Limits::default());
        assert_eq!(limits.to_string().parse::<Limits>().unwrap(), limits);
        assert_eq!(Limits::default().to_string().parse::<Limits>().unwrap(), Limits::default());
    }

    #[test]
    fn nonsense_is_named() {
        for (text, says) in [
            ("entries", "'entries' is not of the form NAME=VALUE"),
            ("entrys=1", "there is no limit 'entrys'; there are layers, layer-bytes,"),
            ("entries=1,entries=2", "the limit 'entries' is set twice"),
            ("entries=0", "the limit 'entries' cannot be '0': it is between 1 and 100000000"),
            ("ratio=-3", "the limit 'ratio' cannot be '-3': it is no whole number"),
            ("ratio=99999999999999999999TiB", "it is no whole number"),
            ("metadata-bytes=1TiB", "it is between 1024 and 4294967296"),
            ("non-utf8=yes", "the limit 'non-utf8' cannot be 'yes': it is 'refuse' or 'replace'"),
        ] {
            let error = text.parse::<Limits>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
