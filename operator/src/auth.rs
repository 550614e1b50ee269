//! Who is asking: service accounts of the cluster, a static token, or anybody where that is switched on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::Api;
use kube::api::PostParams;
use stella_authority::Authority;
use stella_authority::scope::{Scope, Scopes};
use stella_authority::settings::AccountRule;
use stella_authority::tenants::Tenants;
use stella_domain::Digest;

/// The audience that tokens for the API carry.
pub const AUDIENCE: &str = "stella-ops";
/// How long the answer to a token review is believed.
const BELIEVED: Duration = Duration::from_secs(60);
/// The most answers that are kept.
const MAX_KEPT: usize = 10_000;

/// How callers are told apart.
#[derive(Clone, Default)]
pub struct Authenticator {
    reviews: Option<Arc<Reviews>>,
    static_token: Option<PathBuf>,
    anonymous: bool,
    authority: Option<Authority>,
    /// Service accounts that may do what is not for administrators, `namespace/name`, or `namespace/*`.
    writers: BTreeSet<String>,
}

struct Reviews {
    client: kube::Client,
    /// Service accounts that are let in, `namespace/name`, or `namespace/*`.
    allowed: BTreeSet<String>,
    kept: Mutex<Answers>,
}

/// Answers by digest of the token, with the moment of asking.
type Answers = BTreeMap<Digest, (Instant, Result<String, Denied>)>;

/// Someone who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name for logs and histories.
    pub subject: String,
    /// For whom it may speak.
    pub tenants: Tenants,
    /// What it may do.
    pub scopes: Scopes,
}

/// Why someone was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No credential was sent.
    #[error("a bearer token is needed")]
    Missing,
    /// The credential is not valid.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// The credential is valid, and its owner is not let in.
    #[error("service account {0} may not use this API")]
    NotAllowed(String),
    /// Nobody can tell.
    #[error("tokens cannot be checked now: {0}")]
    Unavailable(String),
}

impl Authenticator {
    /// Nobody is let in until something is switched on.
    #[must_use]
    pub fn new(static_token: Option<PathBuf>, anonymous: bool) -> Self {
        Self { static_token, anonymous, ..Self::default() }
    }

    /// Lets service accounts in: those of `allowed`, as `namespace/name` or `namespace/*`.
    #[must_use]
    pub fn with_service_accounts(self, client: kube::Client, allowed: BTreeSet<String>) -> Self {
        Self { reviews: Some(Arc::new(Reviews { client, allowed, kept: Mutex::default() })), ..self }
    }

    /// Lets the service accounts of `writers` change what policies say: rules, waivers, VEX documents.
    #[must_use]
    pub fn with_writers(self, writers: BTreeSet<String>) -> Self {
        Self { writers, ..self }
    }

    /// Lets in whom `authority` lets in, besides.
    #[must_use]
    pub fn with_authority(self, authority: Authority) -> Self {
        Self { authority: Some(authority), ..self }
    }

    /// The authority, where there is one.
    #[must_use]
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    fn account(&self, account: String) -> Identity {
        let rules = self.authority.as_ref().map_or(&[][..], |authority| &authority.settings.service_accounts);
        let (scopes, tenants) = rights(rules, &self.writers, &account);
        Identity { subject: account, tenants, scopes }
    }

    /// Whether callers without a credential are let in.
    #[must_use]
    pub fn allows_anonymous(&self) -> bool {
        self.anonymous
    }

    /// Who sent `token`.
    ///
    /// # Errors
    /// Why they are not let in.
    pub async fn identify(&self, token: Option<&str>) -> Result<Identity, Denied> {
        let Some(token) = token else {
            return if self.anonymous { Ok(everything("anonymous")) } else { Err(Denied::Missing) };
        };
        if let Some(path) = &self.static_token {
            // Read each time: a mounted Secret changes under us.
            let wanted = tokio::fs::read_to_string(path).await.map_err(|e| Denied::Unavailable(e.to_string()))?;
            if same(wanted.trim(), token) {
                return Ok(everything("static-token"));
            }
        }
        match &self.reviews {
            Some(reviews) => Ok(self.account(reviews.identify(token).await?)),
            None if self.anonymous => Ok(everything("anonymous")),
            None => Err(Denied::Invalid("it is not the configured one".to_owned())),
        }
    }
}

fn everything(subject: &str) -> Identity {
    Identity { subject: subject.to_owned(), tenants: Tenants::All, scopes: Scopes::everything() }
}

/// What the service account `account` may do, and for whom: as the first rule says that fits. Without one it may read and send
/// all there is, but change what policies say only where it is one of `writers`: a stolen token of an agent opens no cluster.
fn rights(rules: &[AccountRule], writers: &BTreeSet<String>, account: &str) -> (Scopes, Tenants) {
    if let Some(rule) = rules.iter().find(|rule| rule.fits(account)) {
        return (rule.scopes.clone(), rule.tenants.clone());
    }
    let but = [Scope::Admin, Scope::Api, Scope::PolicyWrite, Scope::ConsoleWrite];
    let scopes = if is_of(writers, account) {
        Scopes::from_iter([Scope::Api])
    } else {
        Scope::ALL.iter().copied().filter(|scope| !but.contains(scope)).collect()
    };
    (scopes, Tenants::All)
}

/// Whether `account` is in `accounts`, by its name or with its whole namespace.
fn is_of(accounts: &BTreeSet<String>, account: &str) -> bool {
    let whole = account.split('/').next().map(|namespace| format!("{namespace}/*"));
    accounts.contains(account) || whole.is_some_and(|whole| accounts.contains(&whole))
}

/// Compares digests, so that the time taken tells nothing about the token.
fn same(a: &str, b: &str) -> bool {
    !a.is_empty() && Digest::of(a) == Digest::of(b)
}

impl Reviews {
    /// The service account that sent `token`, as `namespace/name`.
    async fn identify(&self, token: &str) -> Result<String, Denied> {
        let key = Digest::of(token);
        if let Some((at, answer)) = self.kept().get(&key)
            && at.elapsed() < BELIEVED
        {
            return answer.clone();
        }
        let answer = self.review(token).await;
        if !matches!(answer, Err(Denied::Unavailable(_))) {
            let mut kept = self.kept();
            kept.retain(|_, (at, _)| at.elapsed() < BELIEVED);
            if kept.len() < MAX_KEPT {
                kept.insert(key, (Instant::now(), answer.clone()));
            }
        }
        answer
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn review(&self, token: &str) -> Result<String, Denied> {
        let account = account_of(&self.client, token).await?;
        if is_of(&self.allowed, &account) { Ok(account) } else { Err(Denied::NotAllowed(account)) }
    }
}

/// The service account that `token` is of, as `namespace/name`, by a TokenReview.
///
/// # Errors
/// When the API server does not know it, or does not answer.
pub async fn account_of(client: &kube::Client, token: &str) -> Result<String, Denied> {
    let review = TokenReview {
        spec: TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![AUDIENCE.to_owned()]) },
        ..TokenReview::default()
    };
    let api = Api::<TokenReview>::all(client.clone());
    let asked = tokio::time::timeout(Duration::from_secs(10), api.create(&PostParams::default(), &review)).await;
    let unavailable = |reason: String| Denied::Unavailable(reason);
    let review = asked.map_err(|_| unavailable("the API server does not answer".to_owned()))?;
    let status = review.map_err(|e| unavailable(e.to_string()))?.status.unwrap_or_default();
    let right_audience = status.audiences.iter().flatten().any(|audience| audience == AUDIENCE);
    if status.authenticated != Some(true) || !right_audience {
        return Err(Denied::Invalid(status.error.unwrap_or_else(|| format!("it is not for the audience {AUDIENCE}"))));
    }
    let user = status.user.and_then(|user| user.username).unwrap_or_default();
    let account = user.strip_prefix("system:serviceaccount:").map(|name| name.replacen(':', "/", 1));
    account.ok_or(Denied::NotAllowed(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_may_do_what_its_rule_says_and_writes_no_policies_without_being_named() {
        let writers = BTreeSet::from(["ci/release".to_owned(), "gitops/*".to_owned()]);
        let rules = [AccountRule {
            account: "stella-system/agent".to_owned(),
            scopes: Scopes::from_iter([Scope::RuntimeIngest]),
            tenants: Tenants::Named(vec!["shop".parse().unwrap()]),
        }];
        for (account, ingests, reads, writes, administers) in [
            ("ci/release", true, true, true, false),
            ("gitops/anything", true, true, true, false),
            ("ci/other", true, true, false, false),
            ("stella-system/agent", true, false, false, false),
        ] {
            let (scopes, tenants) = rights(&rules, &writers, account);
            let may = |scope| scopes.allow(scope);
            assert_eq!(may(Scope::RuntimeIngest), ingests, "{account}");
            assert_eq!((may(Scope::PolicyRead), may(Scope::ConsoleRead)), (reads, reads), "{account}");
            assert_eq!((may(Scope::PolicyWrite), may(Scope::ConsoleWrite)), (writes, writes), "{account}");
            assert_eq!(may(Scope::Admin), administers, "{account}");
            assert_eq!(tenants == Tenants::All, account != "stella-system/agent", "{account}");
        }
    }

    #[tokio::test]
    async fn the_static_token_is_read_from_its_file_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "first\n").unwrap();
        let auth = Authenticator::new(Some(path.clone()), false);
        assert!(auth.identify(Some("first")).await.is_ok());
        assert!(matches!(auth.identify(Some("second")).await, Err(Denied::Invalid(_))));
        assert_eq!(auth.identify(None).await, Err(Denied::Missing));
        std::fs::write(&path, "second\n").unwrap();
        assert!(auth.identify(Some("second")).await.is_ok());
        std::fs::write(&path, "").unwrap();
        assert!(auth.identify(Some("")).await.is_err(), "an empty file lets nobody in");
    }
}
