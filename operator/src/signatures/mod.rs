//! Signatures and SBOMs that policies demand of images (decision 032): looked for ahead of admission, never while anybody waits.
//!
//! ```text
//!   policy ─► demand ─► authorities (a key, an identity by the trust root)
//!   image × authority that is due ─► registry: what is attached ─► evidence ─► store, with an expiry
//!   findings' verdict + demand + what is in store ─► verdict for the webhooks, under the names that it all is of
//! ```

mod demand;
mod evidence;
mod gather;
mod kept;
mod look;
mod standing;
mod trust;
mod worker;

pub use demand::{Authority, Demand};
pub use look::{has_further_names, look_again};
pub use standing::{Names, Provenance};
pub use trust::{Signatures, TrustError};
pub use worker::run;
