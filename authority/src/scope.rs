//! What a token allows, and what each route needs (authority.md).

mod routes;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use routes::{Need, ROUTES, need};

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// One right.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Scope { $($(#[$doc])* $name,)* }

        impl Scope {
            /// Every scope, by name.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in tokens.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

scopes! {
    /// Attestations and their log.
    AttestRead = "attest.read",
    /// Making attestations.
    AttestWrite = "attest.write",
    /// Jobs and feeds.
    Jobs = "concelier.jobs.trigger",
    /// Workspaces.
    ConsoleRead = "console:read",
    /// Tickets, and the intake of VEX.
    ConsoleWrite = "console:write",
    /// Export center.
    ExportRead = "export:read",
    /// Starting exports.
    ExportWrite = "export:write",
    /// Export, history and validation of policies.
    PolicyRead = "policy.read",
    /// Import of policies.
    PolicyWrite = "policy.write",
    /// Reports, and preview, diagnostics and schema of policies.
    Reports = "scanner.reports",
    /// The agent.
    RuntimeIngest = "scanner.runtime.ingest",
    /// The webhook.
    RuntimePolicy = "scanner.runtime.policy",
    /// Asking for scans.
    ScansEnqueue = "scanner.scans.enqueue",
    /// Reading scans and their events.
    ScansRead = "scanner.scans.read",
    /// Users, clients, tenants, offline tokens, import of offline kits.
    Admin = "stella.admin",
    /// All of the API that is not for administrators.
    Api = "stella.api",
}

impl Scope {
    /// Whether who holds `self` holds `other` too.
    #[must_use]
    pub fn implies(self, other: Self) -> bool {
        self == other || (self == Self::Api && other != Self::Admin)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no scope")]
pub struct UnknownScope(pub String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let found = Self::ALL.iter().find(|scope| scope.as_str() == text);
        found.copied().ok_or_else(|| UnknownScope(text.chars().take(60).collect()))
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A set of rights.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Every right there is.
    #[must_use]
    pub fn everything() -> Self {
        Self(BTreeSet::from([Scope::Admin, Scope::Api]))
    }

    /// Reads scopes with blanks between them (RFC 6749, section 3.3).
    ///
    /// # Errors
    /// The first one that is not known.
    pub fn parse(text: &str) -> Result<Self, UnknownScope> {
        text.split(' ').filter(|name| !name.is_empty()).map(str::parse).collect::<Result<_, _>>().map(Self)
    }

    /// The scopes of `text` that are known here; other issuers have others, too.
    #[must_use]
    pub fn known(text: &str) -> Self {
        text.split(' ').filter_map(|name| name.parse().ok()).collect()
    }

    /// Whether the set allows what needs `scope`.
    #[must_use]
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.iter().any(|held| held.implies(scope))
    }

    /// The first scope of `asked` that this set does not allow.
    #[must_use]
    pub fn lacks(&self, asked: &Self) -> Option<Scope> {
        asked.0.iter().copied().find(|scope| !self.allow(*scope))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes that both allow.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let either = self.0.iter().filter(|scope| other.allow(**scope));
        either.chain(other.0.iter().filter(|scope| self.allow(**scope))).copied().collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|scope| scope.as_str()).collect();
        f.write_str(&names.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_api_is_all_but_administration() {
        let api = Scopes::from_iter([Scope::Api]);
        for scope in Scope::ALL {
            assert_eq!(api.allow(*scope), *scope != Scope::Admin, "{scope}");
            assert_eq!(scope.as_str().parse(), Ok(*scope));
        }
        assert!(!Scopes::from_iter([Scope::Admin]).allow(Scope::PolicyRead));
        assert!(!Scopes::from_iter([Scope::ConsoleWrite]).allow(Scope::ConsoleRead));
    }

    #[test]
    fn scopes_are_read_in_any_order_and_written_in_one() {
        let scopes = Scopes::parse("stella.api  attest.read stella.api").unwrap();
        assert_eq!(scopes.to_string(), "attest.read stella.api");
        assert_eq!(Scopes::parse("openid"), Err(UnknownScope("openid".to_owned())));
        assert_eq!(Scopes::known("openid stella.api").to_string(), "stella.api");
        let narrow = Scopes::from_iter([Scope::PolicyRead, Scope::Admin]);
        assert_eq!(Scopes::from_iter([Scope::Api]).common(&narrow).to_string(), "policy.read");
        assert_eq!(Scopes::from_iter([Scope::Api]).lacks(&narrow), Some(Scope::Admin));
    }
}
