//! Records of the vault.

use serde::{Deserialize, Serialize};
use stella_domain::Timestamp;

use crate::scope::{Scope, Scopes};
use crate::tenants::Tenants;

/// A program that may ask for tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// Its name.
    pub id: String,
    /// Argon2id hash of its secret.
    pub secret_hash: String,
    /// What it may ask for.
    pub scopes: Scopes,
    /// For whom it may speak.
    pub tenants: Tenants,
    /// Scans a day for each of its tokens; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_scans_per_day: Option<u32>,
    /// Whether it gets no tokens any more.
    #[serde(default)]
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its secret was made.
    pub rotated_at: Timestamp,
}

/// What a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Uses all of the API that is not for administrators.
    Operator,
    /// Does everything.
    Admin,
}

impl Role {
    /// What the role allows.
    #[must_use]
    pub fn scopes(self) -> Scopes {
        match self {
            Self::Viewer => Scopes::from_iter([
                Scope::AttestRead,
                Scope::ConsoleRead,
                Scope::ExportRead,
                Scope::PolicyRead,
                Scope::Reports,
                Scope::ScansRead,
            ]),
            Self::Operator => Scopes::from_iter([Scope::Api]),
            Self::Admin => Scopes::everything(),
        }
    }
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Its name.
    pub name: String,
    /// Argon2id hash of its password.
    pub password_hash: String,
    /// What it is.
    pub role: Role,
    /// For whom it may speak.
    pub tenants: Tenants,
    /// Whether it gets no tokens any more.
    #[serde(default)]
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A refresh token (RFC 6749, section 6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refresh {
    /// All tokens that came from one login.
    pub family: String,
    /// The client it was given to.
    pub client: String,
    /// The user it stands for.
    pub user: String,
    /// What was granted at login.
    pub scopes: Scopes,
    /// When the login was.
    pub login_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What became of a refresh token that is spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spent {
    /// Nobody knows it.
    Unknown,
    /// It was not spent before.
    Fresh(Refresh),
    /// It was spent before: somebody else has it, too.
    Again(Refresh),
}

/// What is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Every token of a client issued until then.
    Client,
    /// Every token of one login.
    Family,
    /// One token, by its `jti`.
    Token,
    /// Every token of a user issued until then.
    User,
}

impl Category {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Family => "family",
            Self::Token => "token",
            Self::User => "user",
        }
    }
}

/// Something that is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// What kind of thing.
    pub category: Category,
    /// Which one.
    pub id: String,
    /// Since when; of clients and users, tokens issued later are good.
    pub revoked_at: Timestamp,
    /// When every token it is about has expired.
    pub expires_at: Timestamp,
    /// Why.
    pub reason: String,
}
