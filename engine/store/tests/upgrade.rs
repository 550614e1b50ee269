//! A database of every earlier schema, with rows in it, opens and has its rows still.

use sqlx::SqlitePool;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use stella_domain::{Digest, Reachability, Tenant, Timestamp};
use stella_inventory::{Inventory, Provenance};
use stella_store::{FindingQuery, FindingRow, Store};

static ALL: Migrator = sqlx::migrate!("./migrations");

/// What the first schema can hold. Later columns get what their migration gives them.
async fn fill(pool: &SqlitePool) {
    let inventory =
        Inventory { provenance: Provenance::Sbom, os: None, layers: vec![], components: vec![], problems: vec![] };
    let packed = zstd::bulk::compress(&serde_json::to_vec(&inventory).unwrap(), 3).unwrap();
    let image = Digest::of("image").to_string();
    sqlx::query(
        "INSERT INTO image (tenant, digest, reference, way, inventory, read_at, matched_generation, matched_at)
         VALUES ('a', $1, 'app:1', 'sbom', $2, 1000, 'g1', 2000)",
    )
    .bind(&image)
    .bind(packed)
    .execute(pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO finding (tenant, id, digest, rank, severity, advisory_id, names, component, purl, kev, fixed, reach,
           reach_reason, evidence, badge, verdict, body)
         VALUES ('a', 'f1', $1, 7, 'High', 'CVE-1', 'CVE-1', 0, 'pkg:pypi/a@1', 1, 0, 'runtime', '', '[]', 'pass', '{}', '{}')",
    )
    .bind(&image)
    .execute(pool)
    .await
    .unwrap();
    for sql in [
        "INSERT INTO event (tenant, id, at, body) VALUES ('a', 'e1', 1000, '{}')",
        "INSERT INTO loaded VALUES ('a', 'c1', '/lib/a.so', 1000, '{}')",
        "INSERT INTO scan VALUES ('a', 's1', 1, 'Running', 'app:1', NULL, NULL, 'auto', NULL, 0, '{}', NULL, 1, 1, 9)",
        "INSERT INTO scan_event VALUES ('a', 's1', 1, 'Pending', 'queued', 1, '{}')",
        "INSERT INTO policy_rev (tenant, number, name, digest, source, actor, at, priority, body, active)
           VALUES ('a', 1, 'ns/p', 'd', 's', 'someone', 1, 0, '{}', 1)",
        "INSERT INTO report (tenant, id, digest, at, body) VALUES ('a', 'r1', 'd', 1, '{}')",
    ] {
        sqlx::query(sql).execute(pool).await.unwrap();
    }
}

/// When the finding appeared, and one that is gone.
async fn seen(pool: &SqlitePool, is_with_the_finding: bool) {
    let texts = if is_with_the_finding {
        ["UPDATE finding SET first_seen = 1500", "INSERT INTO finding_gone VALUES ('a', 'f2', 1400)"]
    } else {
        ["INSERT INTO finding_seen VALUES ('a', 'f1', 1500)", "INSERT INTO finding_seen VALUES ('a', 'f2', 1400)"]
    };
    for sql in texts {
        sqlx::query(sql).execute(pool).await.unwrap();
    }
}

/// What a schema that counts findings holds with those rows.
async fn count(pool: &SqlitePool) {
    for sql in [
        "INSERT INTO finding_count SELECT tenant, digest, severity, badge, reach, 1 FROM finding",
        "INSERT INTO finding_total SELECT tenant, severity, badge, reach, 1 FROM finding",
    ] {
        sqlx::query(sql).execute(pool).await.unwrap();
    }
}

#[tokio::test]
async fn every_earlier_schema_is_brought_up_to_date_with_its_rows() {
    let tenant: Tenant = "a".parse().unwrap();
    let migrations: Vec<_> = ALL.iter().cloned().collect();
    for known in 1..=migrations.len() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("stella.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        Migrator::with_migrations(migrations[..known].to_vec()).run(&pool).await.unwrap();
        fill(&pool).await;
        let has = |description| migrations[..known].iter().any(|migration| migration.description == description);
        seen(&pool, has("first seen")).await;
        if has("finding counts") {
            count(&pool).await;
        }
        pool.close().await;

        let store = Store::open(folder.path()).await.unwrap();
        let findings = store.findings(&tenant, &FindingQuery { limit: 9, ..FindingQuery::default() }).await.unwrap();
        let found = &findings[0];
        assert_eq!((found.id.as_str(), found.first_seen), ("f1", Timestamp::from_millis(1500)), "schema {known}");
        assert!(found.kev && !found.fixed);
        let facets = store.facets(&tenant, &FindingQuery::default()).await.unwrap();
        assert_eq!((facets.severity["High"], facets.badge["pass"]), (1, 1), "schema {known}");
        assert_eq!((found.reach, found.inherited_reach), (Reachability::Runtime, Reachability::Unknown));
        assert!(store.image(&tenant, &Digest::of("image")).await.unwrap().is_some());
        assert_eq!(store.events(&tenant, 9).await.unwrap().len(), 1);
        assert_eq!(store.loaded_by(&tenant, "c1").await.unwrap().len(), 1);
        assert_eq!(store.open_scans().await.unwrap()[0].id, "s1");
        assert_eq!(store.scan_events(&tenant, "s1", 0).await.unwrap().len(), 1);
        assert_eq!(store.active_policies().await.unwrap().len(), 1);
        assert!(store.report(&tenant, "r1").await.unwrap().is_some());
        let now = Timestamp::from_millis(3000);
        assert_eq!(store.forget_layers(now, now, 10).await.unwrap(), 0, "what images consist of is read from them");
        let back = FindingRow { id: "f2".into(), ..found.clone() };
        store.replace_findings(&tenant, &found.digest, "g2", &[back], Timestamp::from_millis(3000)).await.unwrap();
        let back = store.image_findings(&tenant, &found.digest).await.unwrap();
        assert_eq!((back[0].id.as_str(), back[0].first_seen), ("f2", Timestamp::from_millis(1400)), "schema {known}");
    }
}

#[tokio::test]
async fn a_schema_of_a_later_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).await.unwrap());
    let options = SqliteConnectOptions::new().filename(folder.path().join("stella.db"));
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let later = "INSERT INTO _sqlx_migrations VALUES (9999, 'later', CURRENT_TIMESTAMP, 1, x'00', 1)";
    sqlx::query(later).execute(&pool).await.unwrap();
    pool.close().await;
    let error = Store::open(folder.path()).await.unwrap_err().to_string();
    assert!(error.contains("stella.db") && error.contains("9999"), "{error}");
}
