//! The index: one immutable file, mapped into memory, that answers "what is known about this package".
//!
//! ```text
//!   magic (8) | sha256 of the head (32) | length of the head (u64, little endian)
//!   head      length (u32) and header (postcard): feeds, sources, lengths of the sections; then a sum for each block
//!   buckets   u32 each and one more: which slots hold the hashes that begin with these bits
//!   slots     one a package key, by hash: hash (u64), place in lists (u64), sum of what is known (16)
//!   lists     one a package key: its length (u32), the length of what follows (u32), the key, entries
//!   places    u64 a group: offset into groups, and one more for the end
//!   groups    one group each (postcard)
//! ```
//!
//! The same feeds give the same bytes. Opening checks the head, whatever the size of the file; a block of the rest is
//! checked when it is first touched, and all of them when an index is written or [verified](Index::verify).

mod blocks;
mod build;
mod changes;
mod entry;
mod layout;
mod read;

pub use build::{build, write};
pub use changes::changed_keys;
pub(crate) use entry::encode_said;
pub use entry::{Entry, Versions};
pub use read::{Index, IndexError, IndexInfo};
