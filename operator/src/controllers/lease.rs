//! One writer to the cluster at a time: a Lease, held by whoever writes (Kubernetes, coordination.k8s.io/v1).

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio_util::sync::CancellationToken;

/// Seconds after which others may take a lease that was not renewed.
const HOLD: i32 = 15;
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(4);
/// A holder that could not renew for this long stops writing, before others may begin.
const GIVE_UP: Duration = Duration::from_secs(10);
/// The longest a question to the API server may take.
const DEADLINE: Duration = Duration::from_secs(4);

/// Why the lease is not held any more.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// It could not be renewed in time.
    #[error("the lease could not be renewed for {GIVE_UP:?}: {0}")]
    Lost(String),
    /// Somebody else holds it.
    #[error("the lease was taken over by {0}")]
    Taken(String),
}

/// A lease and who wants it.
#[derive(Clone)]
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
}

impl Election {
    /// An election for the lease `name` in `namespace`, as `identity`.
    #[must_use]
    pub fn new(client: kube::Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned(), identity: identity.to_owned() }
    }

    /// Waits until the lease is ours, or `token` is cancelled (then `false`).
    pub async fn acquire(&self, token: &CancellationToken) -> bool {
        loop {
            match self.take().await {
                Ok(None) => return true,
                Ok(Some(holder)) => tracing::debug!(holder, "another replica writes to the cluster"),
                Err(error) => tracing::warn!(error, "the lease cannot be asked for"),
            }
            tokio::select! {
                () = token.cancelled() => return false,
                () = tokio::time::sleep(RENEW) => {}
            }
        }
    }

    /// Renews the lease until `token` is cancelled, and gives it back then.
    ///
    /// # Errors
    /// When it is lost; then nothing may be written any more.
    pub async fn hold(self, token: CancellationToken) -> Result<(), LeaseError> {
        let mut renewed = tokio::time::Instant::now();
        loop {
            tokio::select! {
                () = token.cancelled() => {
                    self.release().await;
                    return Ok(());
                }
                () = tokio::time::sleep(RENEW) => {}
            }
            match self.take().await {
                Ok(None) => renewed = tokio::time::Instant::now(),
                Ok(Some(holder)) => return Err(LeaseError::Taken(holder)),
                Err(error) if renewed.elapsed() >= GIVE_UP => return Err(LeaseError::Lost(error)),
                Err(error) => tracing::warn!(error, "the lease could not be renewed"),
            }
        }
    }

    /// Takes or renews the lease; the holder's name when it is somebody else's.
    async fn take(&self) -> Result<Option<String>, String> {
        let asked = tokio::time::timeout(DEADLINE, self.api.get_opt(&self.name)).await;
        let present = asked.map_err(|_| "no answer in time".to_owned())?.map_err(|e| e.to_string())?;
        let now = Timestamp::now();
        if let Some(holder) = present.as_ref().and_then(|lease| held_by_other(lease, &self.identity, now)) {
            return Ok(Some(holder));
        }
        let lease = self.mine(present.as_ref(), now);
        let parameters = PostParams::default();
        let written = match present {
            // The resource version makes sure that nobody took it in between.
            Some(_) => tokio::time::timeout(DEADLINE, self.api.replace(&self.name, &parameters, &lease)).await,
            None => tokio::time::timeout(DEADLINE, self.api.create(&parameters, &lease)).await,
        };
        written.map_err(|_| "no answer in time".to_owned())?.map(|_| None).map_err(|e| e.to_string())
    }

    fn mine(&self, present: Option<&Lease>, now: Timestamp) -> Lease {
        let old = present.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let ours = old.holder_identity.as_deref() == Some(&self.identity);
        let transitions = old.lease_transitions.unwrap_or(0) + i32::from(!ours && present.is_some());
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: present.and_then(|lease| lease.metadata.resource_version.clone()),
                labels: present.and_then(|lease| lease.metadata.labels.clone()),
                annotations: present.and_then(|lease| lease.metadata.annotations.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(HOLD),
                acquire_time: if ours { old.acquire_time } else { Some(MicroTime(now)) },
                renew_time: Some(MicroTime(now)),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }

    async fn release(&self) {
        let Ok(Ok(Some(mut lease))) = tokio::time::timeout(DEADLINE, self.api.get_opt(&self.name)).await else {
            return;
        };
        let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.identity))
        else {
            return;
        };
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        let parameters = PostParams::default();
        if tokio::time::timeout(DEADLINE, self.api.replace(&self.name, &parameters, &lease)).await.is_err() {
            tracing::debug!("the lease was not given back; it ends by itself");
        }
    }
}

/// Who else holds a lease that has not ended.
fn held_by_other(lease: &Lease, identity: &str, now: Timestamp) -> Option<String> {
    let spec = lease.spec.as_ref()?;
    let holder = spec.holder_identity.as_deref().filter(|holder| !holder.is_empty() && *holder != identity)?;
    let seconds = i64::from(spec.lease_duration_seconds.unwrap_or(HOLD));
    let ends = spec.renew_time.as_ref().map_or(0, |renewed| renewed.0.as_second() + seconds);
    (ends > now.as_second()).then(|| holder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_somebody_elses_until_it_ends() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let lease = Lease {
            metadata: ObjectMeta::default(),
            spec: Some(LeaseSpec {
                holder_identity: Some("a".into()),
                lease_duration_seconds: Some(15),
                renew_time: Some(MicroTime(at(100))),
                ..LeaseSpec::default()
            }),
        };
        assert_eq!(held_by_other(&lease, "b", at(114)).as_deref(), Some("a"));
        assert_eq!(held_by_other(&lease, "b", at(115)), None);
        assert_eq!(held_by_other(&lease, "a", at(101)), None);
    }
}
