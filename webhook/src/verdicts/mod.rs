//! The verdicts this process holds: fed by the operator's stream, kept on disk, read without waiting.
//!
//! ```text
//!   stream ──updates──> feed ──publishes──> cache ──View──> decisions
//!                        │  ^
//!                        v  │ at start
//!                       disk              bundle file ──> cache, beside them
//! ```

mod bundle;
mod bundle_file;
mod cache;
mod disk;
mod feed;
mod holding;
mod keep;
mod stream;
mod view;

pub use bundle::{
    BUNDLE_SCHEMA, BUNDLE_TYPE, Bundle, BundleError, BundleFeed, Bundled, LARGEST_BUNDLE, read_bundle, write_bundle,
};
pub use bundle_file::BundleFile;
pub use cache::{Cache, Held};
pub use disk::{DiskError, load, parse, save};
pub use feed::{Feed, FeedError};
pub use holding::{Holding, holding};
pub use keep::keep;
pub use stream::{Stream, StreamError, StreamSettings, fetch};
pub use view::{KnownImage, View};
