//! A database of every earlier schema, with rows in it, opens and has its rows still.

mod database;

use database::TestDatabase;
use sqlx::migrate::{Migration, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AnyPool, AssertSqlSafe, SqlSafeStr as _, SqlitePool};
use stella_domain::{Digest, Reachability, Tenant, Timestamp};
use stella_inventory::{Inventory, Provenance};
use stella_store::{FindingQuery, FindingRow, Installation, Store};

static ALL: Migrator = sqlx::migrate!("./migrations");

/// What the first schema can hold. Later columns get what their migration gives them.
async fn fill(pool: &AnyPool) {
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
async fn seen(pool: &AnyPool, is_with_the_finding: bool) {
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
async fn count(pool: &AnyPool) {
    for sql in [
        "INSERT INTO finding_count SELECT tenant, digest, severity, badge, reach, 1 FROM finding",
        "INSERT INTO finding_total SELECT tenant, severity, badge, reach, 1 FROM finding",
    ] {
        sqlx::query(sql).execute(pool).await.unwrap();
    }
}

/// When a signature was found, and for how long that counts, both in milliseconds.
const SIGNED_AT: i64 = 5_000_000;
const GOOD_FOR: i64 = 604_800_000;

/// What a schema that knows signatures, but not what names they are of, holds of that image: one was found, by another none.
async fn sign(pool: &AnyPool) {
    for (authority, signed) in [("signer", 1_i64), ("other", 0)] {
        sqlx::query("INSERT INTO signature_check VALUES ('a', $1, $2, $3, 0, '', '', 0, $4, $5, $6)")
            .bind(Digest::of("image").to_string())
            .bind(Digest::of(authority).hex())
            .bind(signed)
            .bind(SIGNED_AT)
            .bind(SIGNED_AT + GOOD_FOR)
            .bind(SIGNED_AT + GOOD_FOR / 2)
            .execute(pool)
            .await
            .unwrap();
    }
}

/// What was found counts on, of all names, and is looked for anew at once; what was not found waits for its time.
async fn is_signed_and_due(store: &Store, tenant: &Tenant) {
    let (image, signer) = (Digest::of("image"), Digest::of("signer"));
    let checks = store.signature_checks(tenant, &image).await.unwrap();
    let check = checks.iter().find(|check| check.authority == signer).unwrap();
    let at = Timestamp::from_millis;
    assert!(check.signed && check.signed_names.is_none() && check.sbom_names.is_none(), "of all names: {check:?}");
    assert!(check.signed_places.is_empty() && check.sbom_places.is_empty(), "{check:?}");
    assert_eq!((check.looked_at, check.checked_at), (at(SIGNED_AT), Some(at(SIGNED_AT))));
    assert_eq!(check.expires_at, at(SIGNED_AT + GOOD_FOR), "it counts as long as before");
    let due = store.unchecked_images(tenant, &signer, at(SIGNED_AT), None, 9).await.unwrap();
    assert_eq!(due.iter().map(|due| (due.image, due.since)).collect::<Vec<_>>(), [(image, at(SIGNED_AT))]);
    let later = store.unchecked_images(tenant, &Digest::of("other"), at(SIGNED_AT), None, 9).await.unwrap();
    assert!(later.is_empty(), "{later:?}");
}

/// A migration as PostgreSQL got it.
fn for_postgresql(migration: &Migration) -> Migration {
    let text = migration.sql.as_str().replace(" INTEGER", " BIGINT").replace(" BLOB", " BYTEA");
    let text = text.replace(" TEXT", " TEXT COLLATE \"C\"").replace(" WITHOUT ROWID", "");
    Migration { sql: AssertSqlSafe(text).into_sql_str(), ..migration.clone() }
}

#[tokio::test]
async fn every_earlier_schema_is_brought_up_to_date_with_its_rows_on_sqlite() {
    for known in 1..=ALL.iter().count() {
        let database = TestDatabase::sqlite();
        let TestDatabase::Sqlite(folder) = &database else { panic!("another database") };
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("stella.db").display());
        is_brought_up_to_date(&database, &url, ALL.iter().take(known).cloned().collect()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_earlier_schema_is_brought_up_to_date_with_its_rows_on_postgresql() {
    for known in 1..=ALL.iter().count() {
        let database = TestDatabase::postgres().await;
        let TestDatabase::Postgres(url) = &database else { panic!("another database") };
        is_brought_up_to_date(&database, url, ALL.iter().take(known).map(for_postgresql).collect()).await;
    }
}

/// A database with these migrations only, at that URL.
async fn is_brought_up_to_date(database: &TestDatabase, url: &str, migrations: Vec<Migration>) {
    let tenant: Tenant = "a".parse().unwrap();
    let known = migrations.len();
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(url).await.unwrap();
    if url.starts_with("sqlite:") {
        sqlx::query("PRAGMA journal_mode = WAL").execute(&pool).await.unwrap();
    }
    let has = |description| migrations.iter().any(|migration| migration.description == description);
    let (with_first_seen, with_counts) = (has("first seen"), has("finding counts"));
    let is_signed_by_no_name = has("signature checks") && !has("signed names");
    Migrator::with_migrations(migrations).run(&pool).await.unwrap();
    fill(&pool).await;
    seen(&pool, with_first_seen).await;
    if with_counts {
        count(&pool).await;
    }
    if is_signed_by_no_name {
        sign(&pool).await;
    }
    pool.close().await;

    let store = database.open().await;
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
    if is_signed_by_no_name {
        is_signed_and_due(&store, &tenant).await;
    }
    assert_eq!(store.installation().await.unwrap(), None, "its first start is to come");
    store.name_installation(Installation::new(1)).await.unwrap();
    assert_eq!(store.installation().await.unwrap(), Some(Installation::new(1)));
    let now = Timestamp::from_millis(3000);
    assert_eq!(store.forget_layers(now, now, 10).await.unwrap(), 0, "what images consist of is read from them");
    let back = FindingRow { id: "f2".into(), ..found.clone() };
    store.replace_findings(&tenant, &found.digest, "g2", &[back], Timestamp::from_millis(3000)).await.unwrap();
    let back = store.image_findings(&tenant, &found.digest).await.unwrap();
    assert_eq!((back[0].id.as_str(), back[0].first_seen), ("f2", Timestamp::from_millis(1400)), "schema {known}");
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
