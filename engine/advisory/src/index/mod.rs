//! The index: one immutable file, mapped into memory, that answers "what is known about this package".
//!
//! ```text
//!   magic (8) | sha256 of the rest (32) | lengths of the five sections (5 × u64, little endian)
//!   header    feeds and counts (postcard)
//!   keys      fst: ecosystem \0 name → offset into postings
//!   postings  u32 length and entries (postcard), one list a key
//!   places    u64 a group: offset into groups, and one more for the end
//!   groups    one group each (postcard)
//! ```
//!
//! The same feeds give the same bytes. A reader checks the digest once, at opening; after that nothing is parsed but
//! what a question needs.

mod build;
mod read;

pub use build::{build, write};
pub use read::{Index, IndexError, IndexInfo};

use serde::{Deserialize, Serialize};

use crate::feed::FeedInfo;
use crate::range::VersionRange;

const MAGIC: &[u8; 8] = b"STLAIDX1";
const SECTIONS: usize = 5;
const FIXED: usize = 8 + 32 + SECTIONS * 8;

/// What the header section holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    feeds: Vec<FeedInfo>,
    groups: u32,
}

/// What one record says about one package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Number of the vulnerability's group.
    pub group: u32,
    /// The feed.
    pub source: String,
    /// Ranges of affected versions.
    pub ranges: Vec<VersionRange>,
    /// Affected versions, one by one, sorted.
    pub versions: Vec<String>,
}

/// The key of a package: ecosystem as OSV spells it, and the name as the ecosystem compares it.
fn key(ecosystem: &str, name: &str) -> Vec<u8> {
    let mut key = ecosystem.as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(comparable_name(ecosystem, name).as_bytes());
    key
}

/// PyPI compares by PEP 503, NuGet, Packagist and the like without case; others to the letter.
fn comparable_name(ecosystem: &str, name: &str) -> String {
    match ecosystem {
        "PyPI" => {
            let mut normal = String::with_capacity(name.len());
            for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
                if !normal.is_empty() {
                    normal.push('-');
                }
                normal.push_str(&part.to_ascii_lowercase());
            }
            normal
        }
        "NuGet" | "Packagist" => name.to_ascii_lowercase(),
        _ => name.to_owned(),
    }
}
