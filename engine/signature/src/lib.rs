//! Signatures and attestations of images, as cosign and sigstore make them: read, and verified against keys and identities.
//!
//! ```text
//!   bundle v0.3 ──────────────┐                    ┌─ by a key ───────────────────► its signature
//!   payload with annotations ─┼─► Signed ─ is_by ──┤
//!   envelope with annotations ┘     │              └─ by an identity ─► certificate ─► authority of the trust root
//!                                   │                                    ▲   │ at the time of
//!                                   └─ claim: of which image, and what   │   ├── entry of a transparency log
//!                                                 promised to be listed ─┘   └── time stamp of an authority
//! ```
//!
//! Everything here is foreign: sizes, counts and depths are bounded, and nothing is believed before it is verified. There is no
//! network and no clock: the time at which a certificate has to hold comes from the log or from an authority for time stamps.
#![forbid(unsafe_code)]

mod asn1;
mod certificate;
mod claim;
mod entry;
mod key;
mod merkle;
mod signed;
mod signer;
mod stamp;
mod transparency;
mod trust_root;

pub use claim::{Claim, SIGNATURE_TYPE, cut};
pub use key::{PublicKey, PublicKeyError};
pub use signed::{BUNDLE_TYPE, CERTIFICATE_NOTE, ENTRY_NOTE, ReadError, SIGNATURE_NOTE, SIMPLE_SIGNING_TYPE, Signed};
pub use signer::{Pattern, Refusal, Signer, SignerError};
pub use trust_root::{TrustRoot, TrustRootError};

#[cfg(test)]
mod made;
