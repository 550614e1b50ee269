//! A keyring in a Secret that all replicas share. Whoever finds something due does it; the API server's check of
//! `resourceVersion` makes sure that only one of them does, and the others read what it wrote.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use stella_domain::Timestamp;
use stella_service::certificates::{Keyring, Lifetimes, Pair, Step, apply, plan};

use super::SourceError;

/// For each request to the API server; its client would retry for longer.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// A rotation has two steps at most; the rest is for losing to other replicas.
const ATTEMPTS: usize = 8;

const AUTHORITY: (&str, &str) = ("ca.crt", "ca.key");
const SERVING: (&str, &str) = ("tls.crt", "tls.key");
const NEXT: (&str, &str) = ("next-ca.crt", "next-ca.key");
const PREVIOUS: &str = "previous-ca.crt";

/// The Secret, and what its keyring is for.
#[derive(Clone)]
pub struct SharedSecret {
    api: Api<Secret>,
    name: String,
    names: Vec<String>,
    lifetimes: Lifetimes,
}

impl SharedSecret {
    /// The Secret `name` in `namespace`, with certificates for the DNS `names`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, names: Vec<String>) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), names, lifetimes: Lifetimes::default() }
    }

    /// The keyring after everything that is due at `now` was done, by this replica or another.
    ///
    /// # Errors
    /// The API server refuses or does not answer; or others keep changing the Secret.
    pub async fn current(&self, now: Timestamp) -> Result<Keyring, SourceError> {
        for _ in 0..ATTEMPTS {
            let stored = self.ask(self.api.get_opt(&self.name)).await?;
            let keyring = stored.as_ref().and_then(read);
            let step = plan(keyring.as_ref(), &self.names, &self.lifetimes, now);
            if let (Step::Keep, Some(keyring)) = (step, &keyring) {
                return Ok(keyring.clone());
            }
            tracing::info!(?step, secret = self.name, "rotating certificates");
            let next = apply(step, keyring, &self.names, &self.lifetimes, now)?;
            self.write(stored, &next).await?;
        }
        Err(SourceError::Contended(self.object()))
    }

    /// Writes a keyring, unless the Secret has changed since it was read; then nothing is written and all is well: the
    /// next look finds what the other one wrote.
    async fn write(&self, stored: Option<Secret>, keyring: &Keyring) -> Result<(), SourceError> {
        let parameters = PostParams::default();
        let secret = self.secret(stored.as_ref(), keyring);
        let written = match stored {
            None => self.ask(self.api.create(&parameters, &secret)).await,
            Some(_) => self.ask(self.api.replace(&self.name, &parameters, &secret)).await,
        };
        match written {
            Err(SourceError::Cluster { source, .. }) if lost_to_another(&source) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    fn secret(&self, stored: Option<&Secret>, keyring: &Keyring) -> Secret {
        let mut secret = stored.cloned().unwrap_or_else(|| Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(label("app.kubernetes.io/managed-by", "stella-webhook")),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            ..Secret::default()
        });
        secret.data = Some(data(keyring));
        secret
    }

    async fn ask<T>(&self, asked: impl Future<Output = kube::Result<T>>) -> Result<T, SourceError> {
        answered(asked, || self.object()).await
    }

    fn object(&self) -> String {
        format!("secret {}", self.name)
    }
}

/// An answer of the API server, with a deadline of our own.
pub(super) async fn answered<T>(
    asked: impl Future<Output = kube::Result<T>>,
    object: impl Fn() -> String,
) -> Result<T, SourceError> {
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(answer) => answer.map_err(|source| SourceError::Cluster { object: object(), source: Box::new(source) }),
        Err(_) => Err(SourceError::Timeout { object: object(), seconds: ANSWER.as_secs() }),
    }
}

/// 409: changed since it was read, made meanwhile, or deleted (404).
fn lost_to_another(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 404 | 409))
}

fn label(key: &str, value: &str) -> BTreeMap<String, String> {
    [(key.to_owned(), value.to_owned())].into()
}

fn data(keyring: &Keyring) -> BTreeMap<String, ByteString> {
    let pairs =
        [(AUTHORITY, Some(&keyring.authority)), (SERVING, Some(&keyring.serving)), (NEXT, keyring.next.as_ref())];
    let files = pairs.into_iter().filter_map(|(names, pair)| Some((names, pair?)));
    let files = files.flat_map(|(names, pair)| [(names.0, &pair.certificate), (names.1, &pair.key)]);
    let previous = keyring.previous.as_ref().map(|certificate| (PREVIOUS, certificate));
    files.chain(previous).map(|(name, pem)| (name.to_owned(), ByteString(pem.clone().into_bytes()))).collect()
}

/// The keyring of a Secret; `None` when something is missing, and then all is made anew.
fn read(secret: &Secret) -> Option<Keyring> {
    let data = secret.data.as_ref()?;
    let file = |name: &str| String::from_utf8(data.get(name)?.0.clone()).ok();
    let pair = |names: (&str, &str)| Some(Pair { certificate: file(names.0)?, key: file(names.1)? });
    Some(Keyring { authority: pair(AUTHORITY)?, serving: pair(SERVING)?, next: pair(NEXT), previous: file(PREVIOUS) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_keyring_survives_the_secret() {
        let names = ["stella-webhook.stella.svc".to_owned()];
        let lifetimes = Lifetimes::default();
        let mut keyring = Keyring::make(&names, &lifetimes, fixture::now()).unwrap();
        for step in [Step::Keep, Step::Announce, Step::Switch] {
            keyring = apply(step, Some(keyring), &names, &lifetimes, fixture::now()).unwrap();
            let secret = Secret { data: Some(data(&keyring)), ..Secret::default() };
            assert_eq!(read(&secret).as_ref(), Some(&keyring), "{step:?}");
        }
        assert_eq!(read(&Secret::default()), None);
    }
}
