//! Images that nobody uses any more.

use std::collections::BTreeSet;

use stella_domain::{Digest, Tenant, Timestamp, finding_place};

use super::{keys, owner};
use crate::codec::digest;
use crate::finding_counts::forget_counts;
use crate::sql::{Batch, Sql};
use crate::{Store, StoreError};

/// What is said of a scan whose image is gone, and that has to stay because a report tells of it.
const GONE: &str = "nobody used the image any more and it was forgotten; scan it again";

impl Store {
    /// Images after `after` that nobody used since `before`, by tenant and digest, at most `most`. The newest of a repository may be
    /// among them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn unused_images(
        &self,
        before: Timestamp,
        after: Option<&(Tenant, Digest)>,
        most: i64,
    ) -> Result<Vec<(Tenant, Digest)>, StoreError> {
        let (tenant, image) =
            after.map(|(tenant, image)| (tenant.as_str().to_owned(), image.to_string())).unwrap_or_default();
        let mut sql = self.sql("SELECT i.tenant, i.digest FROM image i WHERE (i.tenant, i.digest) > (");
        sql.push_bind(tenant).push(", ").push_bind(image).push(") AND ");
        push_unused(&mut sql, before);
        sql.push(" ORDER BY i.tenant, i.digest LIMIT ").push_bind(most);
        let rows = sql.build().fetch_all(self.reader()).await?;
        keys(&rows).iter().map(|(tenant, image)| Ok((owner("image", tenant)?, digest("image", image)?))).collect()
    }

    /// Forgets an image with its findings, names, verdicts and scans, unless somebody used it since `before`, or it is the one that
    /// was read last of a repository. `false` when it stays. All of it goes at once: with half of its findings it would be a lie.
    /// Scans that a report tells of stay, as failed.
    ///
    /// # Errors
    /// When the database does not take it; then the image stays.
    pub async fn forget_image(
        &self,
        tenant: &Tenant,
        image: &Digest,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if self.is_newest(tenant, image).await? {
            return Ok(false);
        }
        let mut tx = self.begin_alone(&["image", tenant.as_str()]).await?;
        self.be_alone(&mut tx, &["findings", tenant.as_str()]).await?;
        let mut sql = self.sql("SELECT 1 FROM image i WHERE i.tenant = ");
        sql.push_bind(tenant.as_str()).push(" AND i.digest = ").push_bind(image.to_string()).push(" AND ");
        push_unused(&mut sql, before);
        if sql.build().fetch_optional(&mut *tx).await?.is_none() {
            tx.rollback().await?;
            return Ok(false);
        }
        let mut batch = Batch::on(&tx);
        push_forget_findings(&mut batch, tenant, image);
        push_forget_scans(&mut batch, tenant, image, now);
        for table in ["verdict", "signature_check", "image_alias", "image"] {
            push_delete(&mut batch, table, tenant, image);
        }
        batch.run(&mut tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Whether no image of one of its repositories was read later.
    async fn is_newest(&self, tenant: &Tenant, image: &Digest) -> Result<bool, StoreError> {
        let names = self.image_names(tenant, image).await?;
        let repositories: BTreeSet<&str> = names.iter().filter_map(|name| repository(name)).collect();
        for repository in repositories {
            if self.images_of_repository(tenant, repository, 1).await?.first() == Some(image) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The repository of a reference, as it is written there; a digest has none.
fn repository(name: &str) -> Option<&str> {
    if name.parse::<Digest>().is_ok() {
        return None;
    }
    let tagged = name.split('@').next().unwrap_or_default();
    let last = tagged.rfind('/').map_or(0, |slash| slash + 1);
    Some(tagged[last..].find(':').map_or(tagged, |colon| &tagged[..last + colon]))
}

/// That nobody used the image `i` since `before`: it was not read, runs nowhere and did not, nobody asked for it, for a scan of it
/// or for a report about it, and no scan that has not ended may end with it.
fn push_unused(sql: &mut Sql, before: Timestamp) {
    let before = before.as_millis();
    sql.push("i.read_at < ").push_bind(before);
    sql.push(
        " AND NOT EXISTS (SELECT 1 FROM scan s WHERE s.tenant = i.tenant AND s.digest = i.digest
            AND (s.status IN ('Pending', 'Running') OR s.updated_at >= ",
    );
    sql.push_bind(before).push("))");
    sql.push(
        " AND NOT EXISTS (SELECT 1 FROM report r WHERE r.tenant = i.tenant AND r.digest = i.digest AND r.asked_at >= ",
    );
    sql.push_bind(before).push(")");
    sql.push(" AND NOT EXISTS (SELECT 1 FROM image_alias a WHERE a.tenant = i.tenant AND a.digest = i.digest AND (a.seen_at >= ");
    sql.push_bind(before);
    sql.push(
        " OR EXISTS (SELECT 1 FROM observed o WHERE o.tenant = a.tenant AND o.image = a.name
            AND (o.stopped_at IS NULL OR o.stopped_at >= ",
    );
    sql.push_bind(before).push("))");
    // Joined to nothing the tenant is no key to look up, so that only open scans are read and not all of a tenant.
    sql.push(
        " OR EXISTS (SELECT 1 FROM scan s WHERE s.status IN ('Pending', 'Running') AND s.tenant || '' = a.tenant
            AND (s.reference = a.name OR s.asked_digest = a.name))))",
    );
}

/// Forgets the findings of an image, also those that are gone and remembered, and takes them out of the sums.
pub(super) fn push_forget_findings(batch: &mut Batch, tenant: &Tenant, image: &Digest) {
    push_delete(batch, "finding", tenant, image);
    forget_counts(batch, tenant, &image.to_string());
    let place = finding_place(tenant, image);
    let sql = batch.next("DELETE FROM finding_gone WHERE tenant = ").push_bind(tenant.as_str());
    // 'g' follows every hex digit.
    sql.push(" AND id >= ").push_bind(place.as_str()).push(" AND id < ").push_bind(format!("{place}g"));
}

/// Forgets the scans of an image, or lets them fail where a report tells of them. When they ended stays: reports repeat it.
fn push_forget_scans(batch: &mut Batch, tenant: &Tenant, image: &Digest, now: Timestamp) {
    const UNTOLD: &str =
        " AND NOT EXISTS (SELECT 1 FROM report r WHERE r.tenant = s.tenant AND r.scan = s.id AND r.scan <> '')";
    for table in ["scan_event", "scan_lease", "scan_pull_secrets"] {
        let sql = batch.next(format_args!("DELETE FROM {table} WHERE tenant = ")).push_bind(tenant.as_str());
        sql.push(" AND scan IN (SELECT s.id FROM scan s WHERE ");
        push_of_image(sql, tenant, image);
        sql.push(UNTOLD).push(")");
    }
    let sql = batch.next("DELETE FROM scan AS s WHERE ");
    push_of_image(sql, tenant, image);
    sql.push(UNTOLD);
    let sql = batch.next(
        "INSERT INTO scan_event (tenant, scan, sequence, state, message, at, data)
         SELECT s.tenant, s.id, (SELECT coalesce(max(e.sequence), 0) + 1 FROM scan_event e
           WHERE e.tenant = s.tenant AND e.scan = s.id), 'Failed', ",
    );
    sql.push_bind(GONE).push(", ").push_bind(now.as_millis());
    sql.push(", '{}' FROM scan s WHERE s.status = 'Succeeded' AND ");
    push_of_image(sql, tenant, image);
    let sql = batch.next("UPDATE scan AS s SET status = 'Failed', failure = ").push_bind(GONE);
    sql.push(" WHERE s.status = 'Succeeded' AND ");
    push_of_image(sql, tenant, image);
}

/// That the scan `s` is of the image.
fn push_of_image(sql: &mut Sql, tenant: &Tenant, image: &Digest) {
    sql.push("s.tenant = ").push_bind(tenant.as_str()).push(" AND s.digest = ").push_bind(image.to_string());
}

/// Deletes the rows of an image.
fn push_delete(batch: &mut Batch, table: &'static str, tenant: &Tenant, image: &Digest) {
    let sql = batch.next(format_args!("DELETE FROM {table} WHERE tenant = ")).push_bind(tenant.as_str());
    sql.push(" AND digest = ").push_bind(image.to_string());
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    #[test]
    fn the_repository_of_a_reference_is_what_stands_before_tag_and_digest() {
        let digest = Digest::of("image");
        let (tagged, untagged) = (format!("r.example/app:1@{digest}"), format!("r.example/app@{digest}"));
        for (name, wanted) in [
            ("app", "app"),
            ("app:1", "app"),
            ("r.example:5000/shop/app", "r.example:5000/shop/app"),
            ("r.example:5000/shop/app:1", "r.example:5000/shop/app"),
            (tagged.as_str(), "r.example/app"),
            (untagged.as_str(), "r.example/app"),
        ] {
            assert_eq!(repository(name), Some(wanted), "{name}");
        }
        assert_eq!(repository(&digest.to_string()), None);
    }

    #[tokio::test]
    async fn whether_an_image_is_used_is_found_without_reading_all_scans() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let mut sql =
            store.sql("EXPLAIN QUERY PLAN SELECT 1 FROM image i WHERE i.tenant = 'a' AND i.digest = 'b' AND ");
        push_unused(&mut sql, Timestamp::from_millis(1));
        let rows = sql.build().fetch_all(store.reader()).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(3)).collect();
        for wanted in
            ["scan_image (tenant=? AND digest=?", "scan_open (status=?", "observed_image (tenant=? AND image=?"]
        {
            assert!(plan.iter().any(|step| step.contains(wanted)), "{wanted}: {plan:#?}");
        }
        assert!(!plan.iter().any(|step| step.contains("SCAN")), "{plan:#?}");
    }
}
