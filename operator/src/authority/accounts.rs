//! Service accounts by TokenReview.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use stella_authority::accounts::{AccountError, ServiceAccounts};

use crate::auth::{Denied, account_of};

/// The service accounts of the cluster this process works on.
pub struct ClusterAccounts(kube::Client);

impl ClusterAccounts {
    /// Asks by `client`.
    #[must_use]
    pub fn new(client: kube::Client) -> Self {
        Self(client)
    }
}

impl ServiceAccounts for ClusterAccounts {
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<String, AccountError>> {
        let reviewed = account_of(&self.0, token).map(|result| {
            result.map_err(|denied| match denied {
                Denied::Unavailable(why) => AccountError::Unavailable(why),
                denied => AccountError::Invalid(denied.to_string()),
            })
        });
        reviewed.boxed()
    }
}
