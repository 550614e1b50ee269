//! Statements of others about whether a product is affected (VEX), from three formats into one model.
//!
//! ```text
//!   OpenVEX, CSAF 2.0, CycloneDX ──read──► Document (statements) ──applicable(target)──► statements that speak of it
//! ```
//!
//! A statement never applies more widely than it says: what it says about a version, an image or a product that cannot be
//! told from the target does not apply.

mod apply;
mod csaf;
mod cyclonedx;
mod openvex;
mod product;
mod shelf;
mod vers;

pub use apply::{Target, applicable};
pub use product::{Product, Selector, Versions};
pub use shelf::{Said, Shelf};
pub use vers::{Vers, VersError};

use serde_json::Value;
use stella_domain::Timestamp;

/// The largest document that is read, in bytes.
pub const MAX_DOCUMENT: usize = 16 * 1024 * 1024;
/// The most pairs of statement and product that one document may have.
pub const MAX_PRODUCTS: usize = 1_000_000;

/// What a statement says (OpenVEX specification v0.2.0, "Status Labels").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// The vulnerability does not touch the product.
    NotAffected,
    /// It does.
    Affected,
    /// The product contains the fix.
    Fixed,
    /// Nobody knows yet.
    UnderInvestigation,
}

impl Status {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotAffected => "not_affected",
            Self::Affected => "affected",
            Self::Fixed => "fixed",
            Self::UnderInvestigation => "under_investigation",
        }
    }

    /// Whether it says that the product is safe.
    #[must_use]
    pub fn clears(self) -> bool {
        matches!(self, Self::NotAffected | Self::Fixed)
    }
}

/// One thing that a document says.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Ids of the vulnerability, its name first.
    pub vulnerability: Vec<String>,
    /// What it says.
    pub status: Status,
    /// Why the product is not affected, in OpenVEX's words where there is one.
    pub justification: Option<String>,
    /// More about it, for people.
    pub detail: Option<String>,
    /// Who says so.
    pub author: String,
    /// When it was said.
    pub timestamp: Option<Timestamp>,
    /// About what.
    pub products: Vec<Product>,
}

/// A document as read.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its id, for people.
    pub id: String,
    /// Its statements, in its order.
    pub statements: Vec<Statement>,
    /// Products that nothing here can be compared with, such as those that have only a CPE. They never apply.
    pub unusable: usize,
}

/// Why a document could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VexError {
    /// It is too large.
    #[error("larger than {MAX_DOCUMENT} bytes")]
    TooLarge,
    /// It is no JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// It is JSON of another kind.
    #[error("neither OpenVEX, CSAF nor CycloneDX with vulnerabilities")]
    UnknownFormat,
    /// Something in it is malformed.
    #[error("{place}: {reason}")]
    Malformed {
        /// Where.
        place: String,
        /// What is wrong there.
        reason: String,
    },
    /// It has more statements about products than are read.
    #[error("more than {MAX_PRODUCTS} pairs of statement and product")]
    TooMany,
}

/// Reads a document of any of the formats, told apart by its content.
///
/// # Errors
/// When it is too large, of no known format, or malformed. A document that is malformed in one place is not used in part.
pub fn read(bytes: &[u8]) -> Result<Document, VexError> {
    if bytes.len() > MAX_DOCUMENT {
        return Err(VexError::TooLarge);
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|e| VexError::Json(e.to_string()))?;
    let is_openvex = value["@context"].as_str().is_some_and(|context| context.contains("openvex"));
    let document = if is_openvex {
        openvex::read(value)
    } else if value["document"]["csaf_version"].is_string() {
        csaf::read(value)
    } else if value["bomFormat"] == "CycloneDX" && value["vulnerabilities"].is_array() {
        cyclonedx::read(value)
    } else {
        Err(VexError::UnknownFormat)
    }?;
    Ok(document)
}

fn malformed(place: impl Into<String>, reason: impl Into<String>) -> VexError {
    VexError::Malformed { place: place.into(), reason: reason.into() }
}

/// A date that may be absent, but not malformed.
fn timestamp(place: &str, text: Option<&str>) -> Result<Option<Timestamp>, VexError> {
    text.map(|text| text.parse().map_err(|reason: String| malformed(place, reason))).transpose()
}

/// Counts pairs of statement and product against the limit.
struct Budget(usize);

impl Budget {
    fn new() -> Self {
        Self(MAX_PRODUCTS)
    }

    fn spend(&mut self) -> Result<(), VexError> {
        self.0 = self.0.checked_sub(1).ok_or(VexError::TooMany)?;
        Ok(())
    }
}
