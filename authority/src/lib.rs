//! Who may use the API: keys, tokens, grants, clients and users, and the audit log.
//!
//! ```text
//!   POST /connect/token ─> grant ─> client, password, refresh, service account ─> issue ─> keys
//!                            │                       │
//!                          dpop                   vault: clients, users, spent tokens, revocations
//!   any other request ──> authenticate ─> own token ──────> keys, revocations
//!                            │            another issuer's ─> external: discovery, key set
//!                            └─> Caller: scopes, tenants     (scope: which route needs what)
//!   all of it ───────────────────────────────────────────────> audit: a chain of hashes
//! ```
//!
//! Clock, randomness, the vault and the cluster's token review are handed in. The crate knows neither Kubernetes nor
//! SQL.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod audit;
mod authenticate;
mod authority;
pub mod bootstrap;
pub mod caller;
pub mod claims;
pub mod dpop;
pub mod entropy;
pub mod external;
pub mod grant;
pub mod http;
pub mod jose;
pub mod keys;
pub mod lockout;
pub mod password;
pub mod people;
mod proven;
pub mod remote;
pub mod revocation;
pub mod scope;
pub mod secret;
pub mod settings;
pub mod tenants;
pub mod vault;

pub use authority::{Authority, Parts};
pub use caller::{Caller, Refusal};
pub use http::routes;
pub use settings::Settings;
