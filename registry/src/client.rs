//! The way in: settings and limits once, then any number of images.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use stella_domain::Digest;
use stella_inventory::image::Platform;

use crate::attachments::Repository;
use crate::config::{ConfigError, Registries, Registry};
use crate::credentials::Keyring;
use crate::download::{self, AllowedHosts, DownloadError};
use crate::error::PullError;
use crate::gathering::{Attachments, Gathering};
use crate::image::{self, Image};
use crate::limits::Limits;
use crate::push::{self, PushError};
use crate::reference::Reference;
use crate::referrer::{self, Artifact, Attached};
use crate::transport::Transport;

/// Pulls images as the settings say. Cloning it is cheap. TLS needs a process-wide crypto provider of rustls.
#[derive(Debug, Clone)]
pub struct Client(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    transport: Arc<Transport>,
    registries: BTreeMap<String, Registry>,
}

impl Client {
    /// A client with these settings. Files of authorities are read now.
    ///
    /// # Errors
    /// [`ConfigError`] naming the entry or the file.
    pub fn new(registries: &Registries, limits: Limits) -> Result<Self, ConfigError> {
        let transport = Arc::new(Transport::new(registries, limits)?);
        let by_host = registries.by_host()?;
        let registries = by_host.into_iter().map(|(host, registry)| (host.to_owned(), registry.clone())).collect();
        Ok(Self(Arc::new(Parts { transport, registries })))
    }

    /// Finds the image of a platform: its manifest and configuration, no layers yet.
    ///
    /// # Errors
    /// [`PullError`] with what each host said.
    pub async fn find(
        &self,
        reference: &Reference,
        platform: &Platform,
        keyring: &Keyring,
    ) -> Result<Image, PullError> {
        let registry = self.0.registries.get(reference.registry());
        image::find(&self.0.transport, registry, reference, platform, keyring).await
    }

    /// The digest that `reference` names now, without fetching the image. Of an image for several platforms it is that of its
    /// index, which is among [`Image::digests`] of what [`Self::find`] gives.
    ///
    /// # Errors
    /// [`PullError`] with what each host said. None is asked twice.
    pub async fn digest(&self, reference: &Reference, keyring: &Keyring) -> Result<Digest, PullError> {
        let registry = self.0.registries.get(reference.registry());
        image::digest(&self.0.transport, registry, reference, keyring).await
    }

    /// The repository of `reference`, to be asked about what is attached to its images. Nobody is asked yet.
    ///
    /// # Errors
    /// [`PullError`] when its hosts cannot be asked.
    pub fn repository<'a>(&self, reference: &'a Reference, keyring: &Keyring) -> Result<Repository<'a>, PullError> {
        let registry = self.0.registries.get(reference.registry());
        Repository::new(&self.0.transport, registry, reference, keyring)
    }

    /// What is attached to the image with the digest `image` in the repository of `reference`, of the kinds that `wants` takes: by
    /// the API of referrers (OCI distribution 1.1) or the tag in its place, and under the tags where cosign before version 3
    /// looks. That there is nothing is no error. Each is verified against its digest and nothing else.
    ///
    /// # Errors
    /// [`PullError`] with what each host said, when it cannot be told what is attached.
    pub async fn attachments(
        &self,
        reference: &Reference,
        image: Digest,
        keyring: &Keyring,
        wants: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<Attachments, PullError> {
        let gathering = Gathering::of(1);
        let mut repository = self.repository(reference, keyring)?;
        repository.gather(image, &gathering, wants).await?;
        Ok(gathering.finish())
    }

    /// Checks that the file at `url` may be fetched, without asking for it.
    ///
    /// # Errors
    /// [`DownloadError`] when it is not of `hosts`, or not by TLS from a host that is not set as insecure.
    pub fn may_download(&self, url: &str, hosts: &AllowedHosts) -> Result<(), DownloadError> {
        download::check(&self.0.transport, url, hosts).map(drop)
    }

    /// Fetches the file at `url` into `path`, without credentials, and gives its size in bytes. Redirects lead to `hosts` only.
    /// What was written before a failure stays.
    ///
    /// # Errors
    /// [`DownloadError`]; also when it has more than `most` bytes.
    pub async fn download(
        &self,
        url: &str,
        hosts: &AllowedHosts,
        path: &Path,
        most: u64,
    ) -> Result<u64, DownloadError> {
        let url = download::check(&self.0.transport, url, hosts)?;
        download::download(&self.0.transport, url, hosts, path, most).await
    }

    /// Attaches `artifact` to the image with the digest `subject` in the repository of `reference`, as a referrer (OCI
    /// distribution 1.1). A registry without the referrers API gets the list of referrers as a tag. The same artifact again
    /// changes nothing.
    ///
    /// # Errors
    /// [`PushError`] naming what was not taken.
    pub async fn attach(
        &self,
        reference: &Reference,
        subject: Digest,
        artifact: &Artifact,
        keyring: &Keyring,
    ) -> Result<Attached, PushError> {
        let pusher = push::Pusher::new(&self.0.transport, reference, keyring)?;
        referrer::attach(&pusher, subject, artifact).await
    }

    /// Adds `envelope`, a DSSE envelope of an in-toto statement, to the tag where cosign before version 3 looks for
    /// attestations of the image with the digest `subject`. Those that are there already stay.
    ///
    /// # Errors
    /// [`PushError`] naming what was not taken.
    pub async fn attach_for_old_cosign(
        &self,
        reference: &Reference,
        subject: Digest,
        envelope: &[u8],
        predicate_type: &str,
        keyring: &Keyring,
    ) -> Result<Digest, PushError> {
        let pusher = push::Pusher::new(&self.0.transport, reference, keyring)?;
        referrer::attach_for_old_cosign(&pusher, subject, envelope, predicate_type).await
    }
}
