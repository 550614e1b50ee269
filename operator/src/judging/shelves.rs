//! The VEX statements of each tenant, ready to be asked.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use stella_advisory::vex::{self, Shelf};
use stella_domain::{Digest, Tenant};
use stella_store::{Store, StoreError, VexStamp};

/// Statements as they were read last, by tenant.
#[derive(Debug, Default)]
pub struct Shelves(RwLock<BTreeMap<Tenant, (VexStamp, Arc<Shelf>)>>);

impl Shelves {
    /// The statements of a tenant as they are now.
    ///
    /// # Errors
    /// When the database does not answer. A stored document that cannot be read any more is left out, and said.
    pub async fn of(&self, store: &Store, tenant: &Tenant) -> Result<Arc<Shelf>, StoreError> {
        let stamp = store.vex_stamp(tenant).await?;
        if let Some((known, shelf)) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(tenant)
            && *known == stamp
        {
            return Ok(Arc::clone(shelf));
        }
        let mut shelf = Shelf::default();
        for document in store.vex_documents(tenant).await? {
            match vex::read(document.body.as_bytes()) {
                Ok(read) => shelf.put(&Digest::of(&document.body), read),
                Err(error) => tracing::error!(document = document.id, %error, "a stored VEX document cannot be used"),
            }
        }
        let shelf = Arc::new(shelf);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(tenant.clone(), (stamp, Arc::clone(&shelf)));
        Ok(shelf)
    }
}
