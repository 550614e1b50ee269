//! Where the findings of an image lie.

use crate::{Digest, Hasher, Tenant};

/// What the ids of all findings of a tenant's image begin with: ten hex digits.
#[must_use]
pub fn finding_place(tenant: &Tenant, image: &Digest) -> String {
    let mut hasher = Hasher::new();
    hasher.field(tenant.as_str());
    hasher.field(image.as_bytes());
    hasher.finish().hex()[..10].to_owned()
}
