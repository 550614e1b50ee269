//! One line of the log.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stella_domain::{Digest, Timestamp};

use crate::scope::Scopes;

/// The most characters of a name that somebody sent.
const MAX_NAME: usize = 200;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The log began.
    Started,
    /// The log was opened again, and its end was not whole.
    Recovered,
    /// Somebody asked for a token.
    Token,
    /// A refresh token was used twice, and its family ended.
    RefreshReused,
    /// A request carried a token or proof that does not hold, or one without the right.
    Refused,
    /// A request was answered without a token.
    Unauthenticated,
    /// An offline token was made.
    OfflineToken,
    /// A client was made, changed or given a new secret.
    Client,
    /// A user was made or changed.
    User,
    /// Another key signs.
    KeyRotated,
    /// The list of revocations was handed out.
    RevocationsExported,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As asked.
    Success,
    /// It was refused.
    Refused,
}

/// What is told of something that happened. Names that somebody sent are cut to 200 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub what: What,
    /// How it ended.
    pub outcome: Outcome,
    /// Whom it is about.
    pub subject: Option<String>,
    /// The client that asked.
    pub client: Option<String>,
    /// Scopes that were asked for or given.
    pub scopes: Scopes,
    /// The address that asked.
    pub remote: Option<String>,
    /// The trace of the request.
    pub trace: Option<String>,
    /// More, for people.
    pub detail: Option<String>,
}

impl Event {
    /// An event without further particulars.
    #[must_use]
    pub fn new(what: What, outcome: Outcome) -> Self {
        Self {
            what,
            outcome,
            subject: None,
            client: None,
            scopes: Scopes::default(),
            remote: None,
            trace: None,
            detail: None,
        }
    }

    /// About `subject`.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// With more for people.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// Number and hash of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number, from 1.
    pub seq: u64,
    /// The hash, 64 hex digits.
    pub hash: String,
}

impl Head {
    /// Before the first line.
    #[must_use]
    pub fn start() -> Self {
        Self { seq: 0, hash: "0".repeat(64) }
    }
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// The client that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// More, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What happened.
    pub event: What,
    /// SHA-256 of the line's canonical JSON without this member.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Hash of the line before.
    pub prev: String,
    /// The address that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Scopes.
    #[serde(default, skip_serializing_if = "Scopes::is_empty")]
    pub scopes: Scopes,
    /// Number of the line, from 1.
    pub seq: u64,
    /// Whom it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Trace of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl Entry {
    /// The line that follows `last`.
    #[must_use]
    pub fn after(last: &Head, event: Event, at: Timestamp) -> Self {
        let cut = |text: Option<String>| text.map(|text| text.chars().take(MAX_NAME).collect::<String>());
        let mut entry = Self {
            at,
            client: cut(event.client),
            detail: cut(event.detail),
            event: event.what,
            hash: String::new(),
            outcome: event.outcome,
            prev: last.hash.clone(),
            remote: cut(event.remote),
            scopes: event.scopes,
            seq: last.seq + 1,
            subject: cut(event.subject),
            trace: cut(event.trace),
        };
        entry.hash = hash(&serde_json::to_value(&entry).unwrap_or_default());
        entry
    }

    /// Its number and hash.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash.clone() }
    }

    /// The line, with its end.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut line = canonical(&serde_json::to_value(self).unwrap_or_default());
        line.push(b'\n');
        line
    }
}

pub(super) fn canonical(value: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).unwrap_or_default()
}

/// The hash of a line: of everything but the hash.
pub(super) fn hash(value: &Value) -> String {
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut() {
        object.remove("hash");
    }
    Digest::of(canonical(&value)).hex()
}
