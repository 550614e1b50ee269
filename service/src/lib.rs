//! Scaffolding that every long-running part of Stella stands on: logs, signals, supervision, probes, TLS.
//!
//! ```text
//!   telemetry, crypto        first lines of a `main`
//!   memory                   in small pages
//!   shutdown ─> supervise    a signal, or the end of any task, ends the process in order
//!   health ──> listen        probes, metrics and the application behind one accept loop
//!   certificates ─> tls      keys made and rotated by plan, served from a slot that can be swapped
//!   traces <─ spans          spans of requests and of steps below them, for a collector that the environment names
//!   files                    how many may be open
//!   clock, backoff           time and chance as arguments
//! ```
//!
//! The crate knows neither Kubernetes nor any of the product's own subjects.
#![forbid(unsafe_code)]

pub mod backoff;
pub mod certificates;
pub mod clock;
pub mod crypto;
pub mod files;
pub mod health;
pub mod listen;
pub mod memory;
mod openmetrics;
pub mod shutdown;
pub mod spans;
pub mod supervise;
pub mod telemetry;
pub mod tls;
pub mod traceparent;
pub mod traces;
pub mod version;
