//! Images from registries, and what is attached to them (OCI distribution specification 1.1).
//!
//! ```text
//!   Reference ─► endpoints: mirrors in order, then the registry itself
//!                  │ each with its session: anonymous, basic, or a token of its token service
//!                  ▼
//!   index ─► manifest ─► configuration ─► the wanted layers, each in a file of the work folder
//!
//!   artifact ─► blobs ─► manifest with its subject ─► the list of referrers, where the registry keeps none
//!   and back: the list, else the tag in its place, and the tags of older tools ─► manifests ─► their parts
//! ```
//!
//! Every digest and size is checked while the bytes come in, a broken download goes on where it broke off, and no
//! credential reaches a host it was not meant for, an error or a log.
#![forbid(unsafe_code)]

mod attachments;
mod blob;
mod challenge;
mod client;
mod config;
pub mod credentials;
mod document;
mod download;
mod endpoint;
mod error;
mod gathering;
mod image;
mod kin;
mod limits;
mod push;
mod reference;
mod referrer;
mod retry;
mod session;
mod token;
mod transport;

pub use attachments::Repository;
pub use client::Client;
pub use config::{ConfigError, Registries, Registry};
pub use download::{AllowedHosts, AllowedHostsError, DownloadError};
pub use error::{Attempt, PullError, RequestError};
pub use gathering::{Attachment, Attachments, Gathering};
pub use image::{BlobFolder, Image};
pub use kin::{Kin, Listing};
pub use limits::Limits;
pub use push::PushError;
pub use reference::{Reference, ReferenceError};
pub use referrer::{Artifact, ArtifactBlob, Attached};
