//! What a caller may ask for: requests a second, scans a day.
//!
//! ```text
//!   entrance ─> rates ─> slice held here ──(used up)──> bucket: in the store where replicas share it, else here
//!          └──> quota ─> the store, once a scan
//! ```

mod bucket;
mod quota;
mod rates;

pub use bucket::Bucket;
pub use quota::{Quota, midnight_after, midnight_before};
pub use rates::{Allowed, Rates};
