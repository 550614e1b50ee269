//! Places for what is large and lies beside the database (decision 039): a folder, or a bucket of an S3 server.
//!
//! Both keep bytes under their SHA-256 and know nothing else of them; naming them by it, and checking them when they are read, is
//! done in one place for both, by [`stella_store::Blobs`].
#![forbid(unsafe_code)]

mod bucket;
mod folder;
mod signature;

use std::path::PathBuf;

use stella_store::Blobs;

pub use bucket::{Bucket, BucketSettings};
pub use folder::Folder;
pub use signature::Credentials;

/// Bytes that one blob may have.
pub const MOST: u64 = 512 * 1024 * 1024;

/// What the mark of the owner is called, beside the blobs. No blob has such a name.
const OWNER: &str = "owner";
/// Bytes that the mark may have.
const LONGEST_MARK: u64 = 1024;

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is neither a folder nor a bucket.
    #[error("a place for blobs is a folder, or s3://BUCKET/PREFIX; '{0}' is neither")]
    Scheme(String),
    /// The bucket's name, or the prefix, has letters that would have to be written otherwise in a URL.
    #[error("s3://{0}: bucket and prefix are made of letters, digits, '.', '_' and '-', with '/' between")]
    Bucket(String),
    /// A variable that has to be there.
    #[error("a place for blobs in S3 needs the environment variable {0}")]
    Missing(&'static str),
    /// The server's address.
    #[error("AWS_ENDPOINT_URL_S3 is not http:// or https:// with a host, and neither user nor path")]
    Endpoint,
    /// The authorities cannot be read.
    #[error("AWS_CA_BUNDLE: cannot read {path}: {source}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error("the client for S3: {0}")]
    Client(#[from] reqwest::Error),
}

/// The place of that name: a folder, which is made when something is kept, or `s3://BUCKET/PREFIX`, whose server and credentials are
/// those of the environment ([`BucketSettings::from_environment`]).
///
/// # Errors
/// See [`OpenError`]. Whether the place answers shows when it is used.
pub fn open(place: &str) -> Result<Blobs, OpenError> {
    match place.split_once("://") {
        None => Ok(Blobs::new(Folder::new(place))),
        Some(("file", path)) => Ok(Blobs::new(Folder::new(path))),
        Some(("s3", bucket)) => Ok(Blobs::new(Bucket::new(BucketSettings::from_environment(bucket)?)?)),
        Some((scheme, _)) => Err(OpenError::Scheme(format!("{scheme}://..."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_of_another_kind_is_refused_without_repeating_what_may_be_a_secret() {
        let error = open("https://user:secret@host/x").unwrap_err().to_string();
        assert!(error.contains("https://") && !error.contains("secret"), "{error}");
        assert!(open("blobs").is_ok() && open("file:///var/lib/stella/blobs").is_ok());
    }
}
