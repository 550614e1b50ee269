//! Who we are to a registry: Docker's `config.json`, pull secrets of Kubernetes, and credential helpers.

mod document;
mod helper;
mod key;
mod keyring;

use std::fmt;

pub use document::{DockerConfig, Login};
pub use keyring::Keyring;

/// What lets us in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user with a password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that is exchanged for others at the token service (OAuth 2, `refresh_token`).
    Identity(Secret),
    /// A token for the registry itself.
    Token(Secret),
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the request it is meant for.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why credentials cannot be had. No message repeats what stands in the document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// Not the JSON it should be.
    #[error("malformed {what} at line {line}, column {column}")]
    Malformed {
        /// Which kind of document.
        what: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Larger than credentials are.
    #[error("{what}: more than {max} {unit}")]
    TooLarge {
        /// Which kind of document.
        what: &'static str,
        /// The limit.
        max: usize,
        /// Of what.
        unit: &'static str,
    },
    /// An entry is none.
    #[error("{what}: entry '{key}': {reason}")]
    Entry {
        /// Which kind of document.
        what: &'static str,
        /// Its key, cut to 200 characters.
        key: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A credential helper gave nothing of use.
    #[error("docker-credential-{name}: {reason}")]
    Helper {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}
