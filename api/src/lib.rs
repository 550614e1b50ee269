//! Wire types of the HTTP API that agent, webhook and command lines share with the server.
//!
//! Declared without a server or a store in sight: the OpenAPI document is made from these types. What asks for them over HTTP is
//! `client`, behind a feature of that name.
#![forbid(unsafe_code)]

pub mod admission;
#[cfg(feature = "client")]
pub mod client;
pub mod console;
pub mod export;
pub mod finding;
pub mod node;
pub mod node_status;
pub mod policy;
pub mod probe;
pub mod problem;
pub mod report;
pub mod runtime;
pub mod scan;
pub mod token;
pub mod trace;
pub mod vex;
pub mod waiver;
