//! All credentials at hand, and those that fit a repository.

use std::collections::BTreeMap;
use std::time::Duration;

use super::document::DockerConfig;
use super::helper;
use super::key::Key;
use super::{Credential, CredentialsError};

/// Credentials that are tried for one repository.
const MOST_TRIED: usize = 8;
/// How long a credential helper may take.
const HELPER_TIME: Duration = Duration::from_secs(10);

/// Credentials for registries, from any number of documents.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    logins: Vec<(Key, Credential)>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
}

impl Keyring {
    /// No credentials: everything is asked for anonymously.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Adds the logins of a document; its credential helpers are not run.
    #[must_use]
    pub fn with(mut self, config: &DockerConfig) -> Self {
        let logins = config.logins.iter().map(|login| (Key::read(&login.key), login.credential.clone()));
        self.logins.extend(logins);
        self.logins.sort_by_key(|(key, _)| std::cmp::Reverse(key.narrowness()));
        self
    }

    /// Adds the logins of a document and runs its credential helpers when their host is asked for: programs
    /// `docker-credential-NAME` in the path. Only for documents of the person who runs this process.
    #[must_use]
    pub fn with_helpers(mut self, config: &DockerConfig) -> Self {
        self = self.with(config);
        self.helpers.extend(config.helpers.clone());
        self.store = config.store.clone().or(self.store);
        self
    }

    /// The credentials for a repository, those of the longest path first.
    ///
    /// # Errors
    /// When a credential helper fails; that it knows nothing is no failure.
    pub(crate) async fn find(&self, host: &str, repository: &str) -> Result<Vec<Credential>, CredentialsError> {
        let helper = self.helpers.iter().find(|(key, _)| Key::read(key).is_for(host, repository)).map(|(_, name)| name);
        let mut found = Vec::new();
        if let Some(name) = helper.or(self.store.as_ref()) {
            found.extend(helper::get(name, host, HELPER_TIME).await?);
        }
        let logins = self.logins.iter().filter(|(key, _)| key.is_for(host, repository));
        for (_, credential) in logins {
            if !found.contains(credential) {
                found.push(credential.clone());
            }
        }
        found.truncate(MOST_TRIED);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Secret;

    fn config(users: &[(&str, &str)]) -> DockerConfig {
        let entries: serde_json::Map<_, _> = users
            .iter()
            .map(|(key, user)| ((*key).to_owned(), serde_json::json!({"username": user, "password": "pass"})))
            .collect();
        DockerConfig::parse(serde_json::json!({ "auths": entries }).to_string().as_bytes()).unwrap()
    }

    async fn users(keyring: &Keyring, host: &str, repository: &str) -> Vec<String> {
        let found = keyring.find(host, repository).await.unwrap();
        let user = |credential| match credential {
            Credential::Basic { username, .. } => username,
            other => panic!("{other:?}"),
        };
        found.into_iter().map(user).collect()
    }

    #[tokio::test]
    async fn the_longest_path_comes_first_and_others_after_it() {
        let keyring = Keyring::anonymous()
            .with(&config(&[
                ("r.example", "all"),
                ("*.example", "star"),
                ("r.example/team", "team"),
                ("s.example", "other"),
            ]))
            .with(&config(&[("r.example/team/app", "app"), ("r.example", "second")]));
        assert_eq!(users(&keyring, "r.example", "team/app").await, ["app", "team", "all", "second", "star"]);
        assert_eq!(users(&keyring, "r.example", "x").await, ["all", "second", "star"]);
        assert!(users(&keyring, "r.other", "x").await.is_empty());
    }

    #[tokio::test]
    async fn helpers_run_only_where_they_may() {
        let config = DockerConfig::parse(
            br#"{"credHelpers":{"r.example":"stella-no-such-helper"},"auths":{"r.example":{"auth":"dTpw"}}}"#,
        )
        .unwrap();
        let found = Keyring::anonymous().with(&config).find("r.example", "x").await.unwrap();
        assert_eq!(found, [Credential::Basic { username: "u".into(), password: Secret::new("p".into()) }]);
        let keyring = Keyring::anonymous().with_helpers(&config);
        assert!(matches!(keyring.find("r.example", "x").await, Err(CredentialsError::Helper { .. })));
        assert!(keyring.find("s.example", "x").await.unwrap().is_empty());
    }
}
