//! A new index: which images have to be matched again.

use std::collections::{BTreeMap, HashSet};

use futures::StreamExt as _;
use stella_advisory::index::changed_keys;
use stella_advisory::naming::key_hash;
use stella_advisory::{Index, IndexError};
use stella_domain::{Digest, Tenant};
use stella_store::{StaleImage, StoreError};

use super::matching::{confirmed, match_image};
use crate::app::App;

/// The most images of a tenant that are looked at before other work gets its turn.
const BATCH: i64 = 256;
/// The most that are matched in one turn, those included that cannot be; each costs milliseconds.
const MATCHES: usize = 16;
/// Images that are matched at the same time: one waits for the database while another is matched.
const TOGETHER: usize = 3;

/// How far through the images of each tenant matching anew has come. What failed is behind it, and waits for the next round
/// instead of keeping others from their turn.
#[derive(Debug, Default)]
pub(super) struct Round {
    generation: String,
    after: BTreeMap<Tenant, Digest>,
}

impl Round {
    /// The round of a generation: a new one begins with its first image.
    fn of(&mut self, generation: &str) -> &mut BTreeMap<Tenant, Digest> {
        if self.generation != generation {
            *self = Self { generation: generation.to_owned(), after: BTreeMap::new() };
        }
        &mut self.after
    }
}

/// What differs between the index in use and the one before it.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    from: String,
    to: String,
    keys: HashSet<u64>,
}

impl Changes {
    /// Compares two generations.
    ///
    /// # Errors
    /// When one of the files is damaged.
    pub fn between(old: &Index, new: &Index) -> Result<Self, IndexError> {
        let keys = changed_keys(old, new)?.iter().map(|key| key_hash(key)).collect();
        Ok(Self { from: old.info().generation.hex(), to: new.info().generation.hex(), keys })
    }

    /// How many packages have other advisories now.
    #[must_use]
    pub fn packages(&self) -> usize {
        self.keys.len()
    }

    /// Whether the findings of an image are the same in the new generation: it was matched against the old one, and nothing
    /// changed for any of its packages.
    fn spare(&self, image: &StaleImage, generation: &str) -> bool {
        self.to == generation
            && image.matched_generation.as_ref() == Some(&self.from)
            && image.package_keys.as_ref().is_some_and(|keys| !keys.iter().any(|key| self.keys.contains(key)))
    }
}

/// Goes on matching what was matched against an older index; says whether there is more to do in this round. The next call after
/// the end of one begins another.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn rematch(app: &App, round: &mut Round) -> Result<bool, StoreError> {
    let Some(index) = app.index() else { return Ok(false) };
    let generation = index.info().generation.hex();
    let after = round.of(&generation);
    for tenant in app.store.tenants().await? {
        if let Some(last) = of_tenant(app, &tenant, &generation, after.remove(&tenant)).await? {
            after.insert(tenant, last);
        }
    }
    Ok(!after.is_empty())
}

/// Looks at some of a tenant's images, those after `after`. The last of them, where others follow it.
async fn of_tenant(
    app: &App,
    tenant: &Tenant,
    generation: &str,
    after: Option<Digest>,
) -> Result<Option<Digest>, StoreError> {
    let stale = app.store.stale_images(tenant, generation, after.as_ref(), BATCH).await?;
    let changes = app.changes();
    let (spared, changed): (Vec<_>, Vec<_>) = stale.iter().partition(|image| changes.spare(image, generation));
    if !spared.is_empty() {
        let digests: Vec<_> = spared.iter().map(|image| image.digest).collect();
        app.store.confirm_matches(tenant, &digests, generation, app.clock.now()).await?;
        confirmed(app, tenant, &digests);
    }
    let matching = futures::stream::iter(changed.iter().take(MATCHES));
    matching
        .for_each_concurrent(TOGETHER, |image| async move {
            if let Err(error) = match_image(app, tenant, &image.digest).await {
                tracing::warn!(image = %image.digest, %error, "an image could not be matched again");
            }
        })
        .await;
    let last = if changed.len() > MATCHES { changed.get(MATCHES - 1).copied() } else { stale.last() };
    let others_follow = changed.len() > MATCHES || i64::try_from(stale.len()).is_ok_and(|read| read == BATCH);
    Ok(last.filter(|_| others_follow).map(|image| image.digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_generation_begins_another_round() {
        let (mut round, tenant) = (Round::default(), Tenant::default());
        round.of("g1").insert(tenant.clone(), Digest::of("image"));
        assert_eq!(round.of("g1").get(&tenant), Some(&Digest::of("image")));
        assert!(round.of("g2").is_empty());
    }

    #[test]
    fn only_what_was_matched_against_the_generation_before_is_spared() {
        let changes = Changes { from: "g1".into(), to: "g2".into(), keys: HashSet::from([7]) };
        let image = |generation: Option<&str>, keys: Option<&[u64]>| StaleImage {
            digest: Digest::of("image"),
            matched_generation: generation.map(str::to_owned),
            package_keys: keys.map(<[u64]>::to_vec),
        };
        assert!(changes.spare(&image(Some("g1"), Some(&[1, 2])), "g2"));
        for (image, generation) in [
            (image(Some("g1"), Some(&[1, 7])), "g2"),
            (image(Some("g0"), Some(&[1, 2])), "g2"),
            (image(Some("g1"), Some(&[1, 2])), "g3"),
            (image(Some("g1"), None), "g2"),
            (image(None, Some(&[1, 2])), "g2"),
        ] {
            assert!(!changes.spare(&image, generation), "{image:?} {generation}");
        }
    }
}
