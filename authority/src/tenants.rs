//! The tenants that somebody may speak for.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stella_domain::Tenant;

/// Tenants of a token. In JSON a list of names, or `["*"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenants {
    /// Every tenant; without a name in the request, the default one.
    All,
    /// These; the first is the one a request is for that names none.
    Named(Vec<Tenant>),
}

impl Tenants {
    /// Whether `tenant` is one of them.
    #[must_use]
    pub fn contain(&self, tenant: &Tenant) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(tenant),
        }
    }

    /// The tenants of both; none when they have none in common.
    #[must_use]
    pub fn common(&self, other: &Self) -> Option<Self> {
        let both = match (self, other) {
            (Self::All, all) | (all, Self::All) => all.clone(),
            (Self::Named(ours), other) => {
                Self::Named(ours.iter().filter(|tenant| other.contain(tenant)).cloned().collect())
            }
        };
        both.own().is_some().then_some(both)
    }

    /// The tenant of a request that names none.
    #[must_use]
    pub fn own(&self) -> Option<Tenant> {
        match self {
            Self::All => Some(Tenant::default()),
            Self::Named(names) => names.first().cloned(),
        }
    }
}

impl Default for Tenants {
    fn default() -> Self {
        Self::Named(vec![Tenant::default()])
    }
}

impl Serialize for Tenants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => ["*"].serialize(serializer),
            Self::Named(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Tenants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        if names.iter().any(|name| name == "*") {
            return Ok(Self::All);
        }
        let named = names.iter().map(|name| name.parse()).collect::<Result<Vec<Tenant>, _>>();
        named.map(Self::Named).map_err(serde::de::Error::custom)
    }
}
