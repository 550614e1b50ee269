//! Ids of export runs: `export-run::{tenant}::{date}::{nnnn}` (export-center.md).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stella_domain::{Tenant, Timestamp};

/// Names a run by tenant, UTC day and its number on that day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    tenant: Tenant,
    date: String,
    number: u32,
}

/// A text that is no run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no run id: expected export-run::TENANT::YYYY-MM-DD::NNNN")]
pub struct RunIdError(pub String);

impl RunId {
    /// The run of `tenant` that is the `number`th, counted from 1, of the UTC day of `at`. Numbers below 1 count as 1.
    #[must_use]
    pub fn new(tenant: Tenant, at: Timestamp, number: u32) -> Self {
        let date = at.to_string().chars().take_while(|c| *c != 'T').collect();
        Self { tenant, date, number: number.max(1) }
    }

    /// Whose run.
    #[must_use]
    pub const fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The UTC day, `YYYY-MM-DD`.
    #[must_use]
    pub fn date(&self) -> &str {
        &self.date
    }

    /// The number on that day, from 1.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The name of its folder below the tenant's own: `{date}-{nnnn}`.
    #[must_use]
    pub fn folder_name(&self) -> String {
        format!("{}-{:04}", self.date, self.number)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "export-run::{}::{}::{:04}", self.tenant, self.date, self.number)
    }
}

impl FromStr for RunId {
    type Err = RunIdError;

    /// Takes only what [`RunId`] writes, so that one run has one id.
    fn from_str(text: &str) -> Result<Self, RunIdError> {
        let read = || {
            let mut parts = text.strip_prefix("export-run::")?.split("::");
            let (tenant, date, number) = (parts.next()?, parts.next()?, parts.next()?);
            let at: Timestamp = format!("{date}T00:00:00Z").parse().ok()?;
            let id = Self::new(tenant.parse().ok()?, at, number.parse().ok()?);
            (id.to_string() == text).then_some(id)
        };
        read().ok_or_else(|| RunIdError(text.chars().take(120).collect()))
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_number_has_four_digits_or_more() {
        let at: Timestamp = "2025-12-06T23:59:59.999Z".parse().unwrap();
        let id = RunId::new(Tenant::default(), at, 3);
        assert_eq!(id.to_string(), "export-run::tenant-default::2025-12-06::0003");
        assert_eq!(id.folder_name(), "2025-12-06-0003");
        assert_eq!(RunId::new(Tenant::default(), at, 12345).to_string().parse::<RunId>().unwrap().number(), 12345);
    }

    #[test]
    fn other_spellings_are_refused() {
        for wrong in [
            "",
            "export-run::t::2025-12-06::3",
            "export-run::t::2025-12-06::00003",
            "export-run::t::2025-12-06::0000",
            "export-run::t::2025-02-30::0003",
            "export-run::T::2025-12-06::0003",
            "export-run::t::2025-12-06::0003::x",
            "export-run::../t::2025-12-06::0003",
        ] {
            assert!(wrong.parse::<RunId>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(millis in -62_135_596_800_000_i64..253_402_207_200_000, number in 1_u32..) {
            let id = RunId::new(Tenant::default(), Timestamp::from_millis(millis), number);
            prop_assert_eq!(id.to_string().parse::<RunId>(), Ok(id));
        }

        #[test]
        fn foreign_text_never_panics(text in ".{0,80}") {
            let _ = text.parse::<RunId>();
            let _ = format!("export-run::{text}").parse::<RunId>();
        }
    }
}
