//! The unit of isolation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// The name of a tenant: 1 to 63 of `a-z 0-9 -`, beginning and ending with a letter or digit
/// (a DNS label, RFC 1123, so that it fits a Kubernetes label value).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Tenant(String);

/// A text that is no tenant name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a tenant: expected 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit")]
pub struct TenantError(pub String);

impl Tenant {
    /// The namespace label that assigns a namespace to a tenant.
    pub const LABEL: &'static str = "stella-ops.org/tenant";

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    /// The tenant of namespaces that name none.
    fn default() -> Self {
        Self("tenant-default".to_owned())
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tenant {
    type Err = TenantError;

    fn from_str(text: &str) -> Result<Self, TenantError> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let edges = !text.starts_with('-') && !text.ends_with('-');
        if (1..=63).contains(&text.len()) && edges && text.bytes().all(inner) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TenantError(text.chars().take(80).collect()))
        }
    }
}

impl<'de> Deserialize<'de> for Tenant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_dns_labels_only() {
        assert!("tenant-default".parse::<Tenant>().is_ok());
        for wrong in ["", "-a", "a-", "A", "a/b", "a.b", &"a".repeat(64)] {
            assert!(wrong.parse::<Tenant>().is_err(), "{wrong}");
        }
    }
}
