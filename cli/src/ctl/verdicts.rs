//! `stellopsctl verdicts export|import`: signed bundles of verdicts for webhooks without a server.

use std::path::{Path, PathBuf};

use stella_api::client::Client;
use stella_attest::VerifyingKey;
use stella_attest::key_file::{self, KeyFileError};
use stella_service::clock::Clock;
use stella_webhook::verdicts::{self, Bundle, BundleError, BundleFeed, StreamError};

use super::CtlError;
use super::args::KeyArg;
use crate::exit::Outcome;
use crate::terminal;

const DAY: i64 = 24 * 60 * 60;
/// What is waited for a whole snapshot.
const SNAPSHOT: std::time::Duration = std::time::Duration::from_secs(120);

/// Why a bundle could not be made or taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerdictsError {
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The bundle is of no use.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The server sends no verdicts.
    #[error("fetching verdicts failed")]
    Stream(#[from] StreamError),
    /// No snapshot was whole in time.
    #[error("no snapshot of verdicts within {} s", SNAPSHOT.as_secs())]
    Slow,
}

/// What a bundle is to be.
pub(super) struct Wanted<'a> {
    /// The private key, and its name in the signature.
    pub(super) key: &'a KeyArg,
    /// For how long it may be used.
    pub(super) valid_days: u32,
    /// The file to write.
    pub(super) output: &'a Path,
}

/// Fetches a snapshot, signs it and writes it.
pub(super) async fn export(client: &Client, wanted: &Wanted<'_>, json: bool) -> Result<Outcome, CtlError> {
    let key = key_file::load(&wanted.key.path, wanted.key.id.as_deref().unwrap_or("verdicts"))
        .map_err(VerdictsError::from)?;
    let feeds = client.feeds().await?.into_iter().map(|feed| BundleFeed { name: feed.name, date: feed.date }).collect();
    let clock = Clock::system();
    let fetched = tokio::time::timeout(SNAPSHOT, verdicts::fetch(client, &clock)).await;
    let held = fetched.map_err(|_| VerdictsError::Slow)?.map_err(VerdictsError::from)?;
    let valid = i64::from(wanted.valid_days) * DAY;
    let bundle = Bundle::of(&held, feeds, clock.now(), valid).map_err(VerdictsError::from)?;
    let bytes = bundle.signed(&key).map_err(VerdictsError::from)?;
    verdicts::write_bundle(wanted.output, &bytes).map_err(VerdictsError::from)?;
    tell(&bundle, json)
}

/// Checks a bundle and puts it where the webhook looks for it. One that does not hold is the answer no.
pub(super) fn import(bundle: &Path, keys: &[KeyArg], to: &Path, json: bool) -> Result<Outcome, CtlError> {
    let known = load(keys).map_err(VerdictsError::from)?;
    let bytes = verdicts::read_bundle(bundle).map_err(VerdictsError::from)?;
    match checked(&bytes, to, &known) {
        Ok(read) => {
            verdicts::write_bundle(to, &bytes).map_err(VerdictsError::from)?;
            tell(&read, json)
        }
        Err(error) => {
            terminal::note(format!("refused: {error}"));
            Ok(Outcome::Failed)
        }
    }
}

/// A bundle that may be used now. One at its place that is newer stays; one that nobody can use does not stand in the way.
fn checked(bytes: &[u8], to: &Path, keys: &[VerifyingKey]) -> Result<Bundle, BundleError> {
    let read = Bundle::verified(bytes, keys)?;
    let now = Clock::system().now();
    let there = verdicts::read_bundle(to).and_then(|bytes| Bundle::verified(&bytes, keys)).ok();
    let there = there.filter(|bundle| !matches!(bundle.check(None, now), Err(BundleError::Early(_))));
    read.check(there.map(|bundle| bundle.issued_at), now)?;
    Ok(read)
}

/// The public keys of these files.
pub(super) fn load(keys: &[KeyArg]) -> Result<Vec<VerifyingKey>, KeyFileError> {
    let mut known = Vec::new();
    for KeyArg { id, path } in keys {
        known.extend(key_file::load_verifying(path, id.as_deref().unwrap_or("verdicts"))?);
    }
    Ok(known)
}

fn tell(bundle: &Bundle, json: bool) -> Result<Outcome, CtlError> {
    let Bundle { issued_at, expires_at, policy_revision, .. } = bundle;
    let (images, namespaces) = (bundle.images.len(), bundle.namespaces.len());
    if json {
        terminal::print_json(&serde_json::json!({
            "issuedAt": issued_at, "expiresAt": expires_at, "policyRevision": policy_revision,
            "feeds": bundle.feeds, "images": images, "namespaces": namespaces,
        }))?;
    } else {
        let revision = terminal::printable(policy_revision);
        let text = format!(
            "issued {issued_at}, expires {expires_at}, policies {revision}: {images} verdicts, {namespaces} namespaces\n"
        );
        terminal::print(text.as_bytes())?;
    }
    Ok(Outcome::Passed)
}

/// Where a bundle goes without `-o`.
pub(super) fn default_output() -> PathBuf {
    PathBuf::from("verdicts.bundle.json")
}
