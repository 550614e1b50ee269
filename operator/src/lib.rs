//! The operator: controllers and the HTTP API over one store.
//!
//! ```text
//!   cluster or folder ──► controllers ──┐                       ┌──► status of objects
//!   HTTP ───────────────► handlers ─────┤                       │
//!                                       ▼                       │
//!        queue ──► findings ──► use (reach) ──► verdicts (judging) ──► webhooks
//! ```
#![forbid(unsafe_code)]

pub mod app;
pub mod attestations;
pub mod auth;
pub mod authority;
pub mod backup;
pub mod certificate;
pub mod cli;
pub mod controllers;
mod coverage;
mod decisions;
pub mod drift;
pub mod enforcing;
pub mod events;
pub mod exporting;
pub mod feeds;
pub mod gate;
pub mod http;
mod installation;
pub mod judging;
pub mod limits;
pub mod metrics;
pub mod namespaces;
pub mod page_token;
pub mod reach;
pub mod reports;
mod retention;
pub mod runtime_policy;
pub mod scanning;
pub mod serve;
pub mod signatures;
pub mod signing;
