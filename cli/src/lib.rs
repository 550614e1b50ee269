//! The command lines of Stella.
//!
//! ```text
//!   stella ──┬─ local   engine in this process: subject × index ──► findings ─┐
//!            └─ remote  client ──► POST /scan ──► findings ───────────────────┼─ policy ─► gate ─► exit code
//!                                                                             └─ render: table, json, sarif, cyclonedx, spdx
//!   stellopsctl ── client ──► what the server knows ──► render
//! ```
//!
//! Nothing here decides what is vulnerable or what a policy says: that is the engine's. No SQL and no Kubernetes.
#![forbid(unsafe_code)]

pub mod client;
pub mod ctl;
pub mod exit;
pub mod interrupt;
pub mod render;
pub mod stella;
pub mod terminal;
