//! Credentials of the namespace that asked for a scan: its pull secrets, read when the image is pulled and kept nowhere.

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{Api, Client};
use stella_registry::credentials::{CredentialsError, DockerConfig, Keyring};
use stella_store::PullSecrets;

/// Secrets of one namespace that are looked at for a scan, most.
const MOST: usize = 32;
/// Bytes of a Secret's document: what the API server takes.
const MOST_BYTES: usize = 1 << 20;

/// Why a pull secret is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PullSecretError {
    /// Objects come from a folder.
    #[error(
        "Secret {namespace}/{name}: there is no cluster to read it from; give the credentials with --registry-config"
    )]
    NoCluster {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// It may not be read.
    #[error(
        "{object} may not be read: allow it with operator.registrySecrets in the chart's values, which makes a Role in {namespace}"
    )]
    Forbidden {
        /// Kind, namespace and name.
        object: String,
        /// Its namespace.
        namespace: String,
    },
    /// It is not there.
    #[error("{0} is not there")]
    Absent(String),
    /// The API server does not answer as it should.
    #[error("{object} cannot be read: {source}")]
    Api {
        /// Kind, namespace and name.
        object: String,
        /// What the client said.
        source: kube::Error,
    },
    /// It holds no credentials for registries.
    #[error("{0} is no pull secret: neither of type kubernetes.io/dockerconfigjson nor kubernetes.io/dockercfg")]
    Kind(String),
    /// Its document cannot be read.
    #[error("{object}: {source}")]
    Document {
        /// Kind, namespace and name.
        object: String,
        /// What is wrong.
        source: CredentialsError,
    },
    /// There are too many.
    #[error("namespace {namespace} names {found} pull secrets, at most {MOST} are read")]
    TooMany {
        /// The namespace.
        namespace: String,
        /// How many.
        found: usize,
    },
}

/// Adds the credentials of `named` to `keyring`.
///
/// # Errors
/// See [`PullSecretError`]: a Secret that is named and cannot be read is no reason to ask anonymously.
pub(super) async fn add(
    mut keyring: Keyring,
    cluster: Option<&Client>,
    named: &PullSecrets,
) -> Result<Keyring, PullSecretError> {
    let namespace = &named.namespace;
    let Some(client) = cluster else {
        let name = named.secrets.first().or(named.service_account.as_ref()).cloned().unwrap_or_default();
        return Err(PullSecretError::NoCluster { namespace: namespace.clone(), name });
    };
    let mut names = named.secrets.clone();
    if let Some(account) = &named.service_account {
        names.extend(of_account(client, namespace, account).await?);
    }
    names.sort();
    names.dedup();
    if names.len() > MOST {
        return Err(PullSecretError::TooMany { namespace: namespace.clone(), found: names.len() });
    }
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    for name in &names {
        let object = format!("Secret {namespace}/{name}");
        let secret = secrets.get(name).await.map_err(|error| refused(error, &object, namespace))?;
        keyring = keyring.with(&document(&secret, object)?);
    }
    Ok(keyring)
}

async fn of_account(client: &Client, namespace: &str, name: &str) -> Result<Vec<String>, PullSecretError> {
    let object = format!("ServiceAccount {namespace}/{name}");
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    let account = accounts.get(name).await.map_err(|error| refused(error, &object, namespace))?;
    let names = account.image_pull_secrets.unwrap_or_default();
    Ok(names.into_iter().map(|reference| reference.name).filter(|name| !name.is_empty()).collect())
}

fn refused(error: kube::Error, object: &str, namespace: &str) -> PullSecretError {
    let object = object.to_owned();
    match &error {
        kube::Error::Api(status) if status.code == 403 => {
            PullSecretError::Forbidden { object, namespace: namespace.to_owned() }
        }
        kube::Error::Api(status) if status.code == 404 => PullSecretError::Absent(object),
        _ => PullSecretError::Api { object, source: error },
    }
}

/// The credentials in a Secret. Its kind counts, not the key alone: a Secret of another kind was not meant for registries.
fn document(secret: &Secret, object: String) -> Result<DockerConfig, PullSecretError> {
    type Parse = fn(&[u8]) -> Result<DockerConfig, CredentialsError>;
    let (key, parse): (_, Parse) = match secret.type_.as_deref() {
        Some("kubernetes.io/dockerconfigjson") => (".dockerconfigjson", DockerConfig::parse),
        Some("kubernetes.io/dockercfg") => (".dockercfg", DockerConfig::parse_legacy),
        _ => return Err(PullSecretError::Kind(object)),
    };
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let bytes = bytes.filter(|bytes| bytes.len() <= MOST_BYTES);
    let Some(bytes) = bytes else { return Err(PullSecretError::Kind(object)) };
    parse(bytes).map_err(|source| PullSecretError::Document { object, source })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn secret(kind: &str, key: &str, text: &str) -> Secret {
        let mut secret = Secret { type_: Some(kind.to_owned()), ..Secret::default() };
        secret.metadata.name = Some("pull".to_owned());
        secret.data = Some([(key.to_owned(), ByteString(text.as_bytes().to_vec()))].into());
        secret
    }

    fn read(secret: &Secret) -> Result<DockerConfig, PullSecretError> {
        document(secret, "Secret shop/pull".to_owned())
    }

    #[test]
    fn both_kinds_of_pull_secret_are_read_and_nothing_else() {
        let modern = r#"{"auths":{"registry.example":{"username":"reader","password":"geheim"}}}"#;
        let legacy = r#"{"registry.example":{"username":"reader","password":"geheim"}}"#;
        read(&secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", modern)).unwrap();
        read(&secret("kubernetes.io/dockercfg", ".dockercfg", legacy)).unwrap();
        for other in [
            secret("Opaque", ".dockerconfigjson", modern),
            secret("kubernetes.io/dockerconfigjson", "other", modern),
            secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", &" ".repeat(MOST_BYTES + 1)),
        ] {
            assert!(matches!(read(&other), Err(PullSecretError::Kind(_))));
        }
    }

    #[test]
    fn an_unreadable_secret_is_named_without_what_is_in_it() {
        let error =
            read(&secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", "geheim")).unwrap_err().to_string();
        assert!(error.starts_with("Secret shop/pull: ") && !error.contains("geheim"), "{error}");
    }

    #[tokio::test]
    async fn without_a_cluster_the_person_is_told_what_to_do() {
        let named = PullSecrets { namespace: "shop".into(), secrets: vec!["pull".into()], service_account: None };
        let error = add(Keyring::anonymous(), None, &named).await.unwrap_err().to_string();
        assert!(error.contains("Secret shop/pull") && error.contains("--registry-config"), "{error}");
    }
}
