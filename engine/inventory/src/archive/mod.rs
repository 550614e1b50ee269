//! A streaming walk over a tar archive (POSIX.1-2017 pax, ustar, GNU) that copies nothing nobody asked for.
//!
//! ```text
//!   ByteSource ──► TarReader ──► Entry, Entry, ...
//!                     └────────► Body of the entry at hand (skipped unless read)
//! ```

mod extended;
mod header;
mod path;
mod reader;
mod source;

pub use header::EntryKind;
pub(crate) use path::{join, normalise, resolve_target};
pub use reader::{Body, Entry, TarReader};
pub(crate) use source::DEFAULT_BUFFER;
pub use source::{ByteSource, FileSlice};

/// Why an archive cannot be walked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The source failed.
    #[error("cannot read the archive after entry '{after}': {source}")]
    Read {
        /// The last entry met, empty at the start.
        after: String,
        /// What the source said.
        source: std::io::Error,
    },
    /// The source ended within a header or a body.
    #[error("the archive is truncated in or after entry '{after}'")]
    Truncated {
        /// The last entry met, empty at the start.
        after: String,
    },
    /// A header that is no header.
    #[error("bad tar header at byte {offset}, after entry '{after}': {reason}")]
    Header {
        /// Where the header begins.
        offset: u64,
        /// The last entry met, empty at the start.
        after: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name that leads out of the root.
    #[error("entry '{entry}' leads out of the root")]
    Traversal {
        /// The name as written.
        entry: String,
    },
    /// A name that is not UTF-8, where those are refused.
    #[error("entry '{entry}' has a name that is not UTF-8")]
    NotUtf8 {
        /// The name with replacement characters.
        entry: String,
    },
    /// More than the limits allow.
    #[error("entry '{entry}' exceeds the limit of {max} {what}")]
    Limit {
        /// The entry at hand.
        entry: String,
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        max: u64,
    },
}
