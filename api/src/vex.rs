//! What others say about whether a product is affected (VEX).

use serde::{Deserialize, Serialize};
use stella_advisory::vex::{Said, Shelf, Status, Target};
use stella_domain::{Digest, Timestamp};
use stella_inventory::purl::Purl;
use utoipa::ToSchema;

use crate::finding::Finding;

/// The statements that speak of a finding. Shown first is the one that counts most: that it is affected, else that it is
/// not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingVex {
    /// The one shown first.
    #[serde(flatten)]
    pub first: VexSaid,
    /// What other authors say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<VexSaid>,
}

/// One statement, with where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VexSaid {
    /// Names the statement: from the digest of its document and the place in it.
    pub statement_id: String,
    /// `not_affected affected fixed under_investigation`.
    pub state: String,
    /// Why the product is not affected, in OpenVEX's words.
    pub justification: Option<String>,
    /// Who says so.
    pub author: String,
    /// When it was said.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub timestamp: Option<Timestamp>,
    /// The id that the document gives itself.
    pub document: String,
    /// More about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What came of a VEX document that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VexTaken {
    /// Names the document: SHA-256 of its bytes, hex.
    pub document_id: String,
    /// The id that the document gives itself.
    pub document: String,
    /// How many statements it has.
    pub statements: usize,
    /// Products in it that nothing here can be compared with; what it says of them is without effect.
    pub unusable_products: usize,
    /// Whether it is new here.
    pub created: bool,
}

impl FindingVex {
    /// What the statements of `shelf` say of a finding in an image with these digests, its own first, of `repository`.
    #[must_use]
    pub fn of(shelf: &Shelf, finding: &Finding, digests: &[Digest], repository: Option<&str>) -> Option<Self> {
        if shelf.is_empty() {
            return None;
        }
        let package: Purl = finding.package.purl.parse().ok()?;
        let mut ids = finding.aliases.clone();
        if !ids.contains(&finding.advisory_id) {
            ids.push(finding.advisory_id.clone());
        }
        let bulletins = &finding.bulletins;
        let target = Target { vulnerability: &ids, bulletins, package: &package, within: &[], digests, repository };
        let mut said = shelf.about(&target);
        // Sorting keeps the order of documents among those of one weight.
        said.sort_by_key(|said| weight(said.statement.status));
        let mut said = said.iter().map(VexSaid::of);
        Some(Self { first: said.next()?, others: said.collect() })
    }

    /// Every statement, the one shown first at the beginning.
    pub fn all(&self) -> impl Iterator<Item = &VexSaid> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Whether somebody says that the product is not affected or fixed, and nobody that it is affected.
    #[must_use]
    pub fn clears(&self) -> bool {
        let says = |state: &str| self.all().any(|said| said.state == state);
        (says("not_affected") || says("fixed")) && !says("affected")
    }
}

impl VexSaid {
    fn of(said: &Said<'_>) -> Self {
        Self {
            statement_id: said.id.to_owned(),
            state: said.statement.status.name().to_owned(),
            justification: said.statement.justification.clone(),
            author: said.statement.author.clone(),
            timestamp: said.statement.timestamp,
            document: said.document.to_owned(),
            detail: said.statement.detail.clone(),
        }
    }
}

const fn weight(status: Status) -> u8 {
    match status {
        Status::Affected => 0,
        Status::NotAffected => 1,
        Status::Fixed => 2,
        Status::UnderInvestigation => 3,
    }
}
