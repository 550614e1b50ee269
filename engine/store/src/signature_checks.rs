//! What was found of the signatures and SBOMs attached to images, by who is believed.

use std::collections::BTreeSet;

use sqlx::Row as _;
use stella_domain::{Digest, Tenant, Timestamp};

use crate::codec::{Columns, digest, from_text, text};
use crate::{Store, StoreError};

/// What the last looks found, for one image and one authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureCheck {
    /// The image, as it is filed.
    pub image: Digest,
    /// Who is believed, and by what.
    pub authority: Digest,
    /// Whether it has a signature that counts.
    pub signed: bool,
    /// Whether it has an SBOM that counts.
    pub sbom: bool,
    /// The names of the image that its signatures are of: digests, and references that stood at one of them. Absent where they are
    /// not known yet, as no look has asked for them.
    pub signed_names: Option<BTreeSet<String>>,
    /// The same of its SBOMs.
    pub sbom_names: Option<BTreeSet<String>>,
    /// The repositories, with their registries, where its signatures lie.
    pub signed_places: BTreeSet<String>,
    /// The same of its SBOMs.
    pub sbom_places: BTreeSet<String>,
    /// Why it has none.
    pub detail: String,
    /// Why the last look told nothing; empty when it did.
    pub failure: String,
    /// Looks in a row that told nothing, or told that there is none.
    pub failures: i64,
    /// When the last look ended, whatever it told.
    pub looked_at: Timestamp,
    /// When a look last told all there is; absent while none did, and once what one told counts no more.
    pub checked_at: Option<Timestamp>,
    /// Until when what it told counts.
    pub expires_at: Timestamp,
    /// When to look again.
    pub retry_at: Timestamp,
}

/// An image that is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unchecked {
    /// The image, as it is filed.
    pub image: Digest,
    /// The reference that it was last read by.
    pub reference: Option<String>,
    /// Since when; the beginning of time for one that nobody ever looked at.
    pub since: Timestamp,
}

impl Store {
    /// Everything found of an image, by authority.
    ///
    /// # Errors
    /// When the database does not answer or a row is damaged.
    pub async fn signature_checks(&self, tenant: &Tenant, image: &Digest) -> Result<Vec<SignatureCheck>, StoreError> {
        let mut sql = self.sql(
            "SELECT digest, authority, signed, sbom, detail, failure, failures, checked_at, expires_at, retry_at,
               signed_names, sbom_names, signed_places, sbom_places, looked_at
             FROM signature_check WHERE tenant = ",
        );
        sql.push_bind(tenant.as_str()).push(" AND digest = ").push_bind(image.to_string()).push(" ORDER BY authority");
        self.look_up(sql, |row| check(row)).await
    }

    /// Keeps what was found in place of `held`, what was read before. Whether it did: where somebody else wrote one of these rows
    /// meanwhile, or asked for another look, nothing is kept.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn put_signature_checks(
        &self,
        tenant: &Tenant,
        held: &[SignatureCheck],
        checks: &[SignatureCheck],
    ) -> Result<bool, StoreError> {
        let names = |names: Option<&BTreeSet<String>>| names.map(|names| text("signature check", names)).transpose();
        let mut tx = self.begin().await?;
        for check in checks {
            let old = held.iter().find(|old| (old.image, old.authority) == (check.image, check.authority));
            let kept = sqlx::query(
                "INSERT INTO signature_check
                   (tenant, digest, authority, signed, sbom, detail, failure, failures, checked_at, expires_at, retry_at,
                    signed_names, sbom_names, signed_places, sbom_places, looked_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
                 ON CONFLICT (tenant, digest, authority) DO UPDATE SET signed = excluded.signed, sbom = excluded.sbom,
                   detail = excluded.detail, failure = excluded.failure, failures = excluded.failures,
                   checked_at = excluded.checked_at, expires_at = excluded.expires_at, retry_at = excluded.retry_at,
                   signed_names = excluded.signed_names, sbom_names = excluded.sbom_names,
                   signed_places = excluded.signed_places, sbom_places = excluded.sbom_places,
                   looked_at = excluded.looked_at
                 WHERE signature_check.looked_at = $17 AND signature_check.retry_at = $18
                   AND signature_check.failures = $19",
            )
            .bind(tenant.as_str())
            .bind(check.image.to_string())
            .bind(check.authority.hex())
            .bind(i64::from(check.signed))
            .bind(i64::from(check.sbom))
            .bind(&check.detail)
            .bind(&check.failure)
            .bind(check.failures)
            .bind(check.checked_at.map_or(0, Timestamp::as_millis))
            .bind(check.expires_at.as_millis())
            .bind(check.retry_at.as_millis())
            .bind(names(check.signed_names.as_ref())?)
            .bind(names(check.sbom_names.as_ref())?)
            .bind(text("signature check", &check.signed_places)?)
            .bind(text("signature check", &check.sbom_places)?)
            .bind(check.looked_at.as_millis())
            // No row is like this: where none was read, none is written over.
            .bind(old.map_or(-1, |old| old.looked_at.as_millis()))
            .bind(old.map_or(-1, |old| old.retry_at.as_millis()))
            .bind(old.map_or(-1, |old| old.failures))
            .execute(&mut *tx)
            .await?;
            if kept.rows_affected() == 0 {
                tx.rollback().await?;
                return Ok(false);
            }
        }
        tx.commit().await?;
        Ok(true)
    }

    /// At most `limit` images of a tenant that were matched and are to be looked at for `authority` by `now`, those that come behind
    /// `after`: those that never were go first, then those that wait longest.
    ///
    /// # Errors
    /// When the database does not answer or a row is damaged.
    pub async fn unchecked_images(
        &self,
        tenant: &Tenant,
        authority: &Digest,
        now: Timestamp,
        after: Option<&Unchecked>,
        limit: i64,
    ) -> Result<Vec<Unchecked>, StoreError> {
        let (since, image) = after.map_or((-1, String::new()), |it| (it.since.as_millis(), it.image.to_string()));
        let rows = sqlx::query(
            "SELECT i.digest, i.reference, coalesce(c.retry_at, 0) FROM image i
             LEFT JOIN signature_check c ON c.tenant = i.tenant AND c.digest = i.digest AND c.authority = $2
             WHERE i.tenant = $1 AND i.matched_generation IS NOT NULL AND (c.digest IS NULL OR c.retry_at <= $3)
               AND (coalesce(c.retry_at, 0) > $4 OR (coalesce(c.retry_at, 0) = $4 AND i.digest > $5))
             ORDER BY coalesce(c.retry_at, 0), i.digest LIMIT $6",
        )
        .bind(tenant.as_str())
        .bind(authority.hex())
        .bind(now.as_millis())
        .bind(since)
        .bind(image)
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        let unchecked = rows.iter().map(|row| {
            Ok(Unchecked {
                image: digest("image", row.get(0))?,
                reference: row.get(1),
                since: Timestamp::from_millis(row.get(2)),
            })
        });
        unchecked.collect()
    }

    /// Lets an image be looked at again at `now`, whoever is believed. What is due already keeps its turn, but for a millisecond, so that
    /// a look which is under way does not pass for the one that is asked for here.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn recheck_image(&self, tenant: &Tenant, image: &Digest, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE signature_check SET failures = 0, retry_at = CASE WHEN retry_at > $3 THEN $3 ELSE retry_at - 1 END
             WHERE tenant = $1 AND digest = $2",
        )
        .bind(tenant.as_str())
        .bind(image.to_string())
        .bind(now.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets what was to be looked at again before `before` and was not: nobody asks for that authority any more. Gives how many
    /// went.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn forget_signature_checks(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let gone = sqlx::query("DELETE FROM signature_check WHERE retry_at < $1")
            .bind(before.as_millis())
            .execute(&mut *tx)
            .await?
            .rows_affected();
        tx.commit().await?;
        Ok(gone)
    }
}

fn check(row: &(impl Columns + ?Sized)) -> Result<SignatureCheck, StoreError> {
    let checked_at = row.number(7)?;
    let names = |at: usize| -> Result<Option<BTreeSet<String>>, StoreError> {
        row.optional(at)?.map(|names| from_text("signature check", names)).transpose()
    };
    Ok(SignatureCheck {
        image: digest("signature check", row.text(0)?)?,
        authority: digest("signature check", &format!("sha256:{}", row.text(1)?))?,
        signed: row.number(2)? != 0,
        sbom: row.number(3)? != 0,
        detail: row.text(4)?.to_owned(),
        failure: row.text(5)?.to_owned(),
        failures: row.number(6)?,
        checked_at: (checked_at > 0).then(|| Timestamp::from_millis(checked_at)),
        expires_at: Timestamp::from_millis(row.number(8)?),
        retry_at: Timestamp::from_millis(row.number(9)?),
        signed_names: names(10)?,
        sbom_names: names(11)?,
        signed_places: from_text("signature check", row.text(12)?)?,
        sbom_places: from_text("signature check", row.text(13)?)?,
        looked_at: Timestamp::from_millis(row.number(14)?),
    })
}
