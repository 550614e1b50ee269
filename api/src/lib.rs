//! Wire types of the HTTP API and the typed client that agent, webhook and command lines use.
//!
//! Declared without a server or a store in sight: the OpenAPI document is made from these types.
#![forbid(unsafe_code)]

pub mod admission;
pub mod node;
pub mod runtime;
