//! Decisions of webhooks, on real databases of both kinds.

mod database;

use database::TestDatabase;
use stella_domain::{Tenant, Timestamp};
use stella_store::{DecisionBounds, DecisionRow, Store};

on_both!(
    a_record_is_kept_once_and_given_back_as_it_came,
    old_records_are_forgotten,
    a_tenant_keeps_its_newest_within_its_bounds,
);

fn unbounded() -> DecisionBounds {
    DecisionBounds { before: at(0), most: i64::MAX, most_bytes: i64::MAX }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn row(tenant: &str, second: i64, body: &str) -> DecisionRow {
    DecisionRow { tenant: tenant.parse().unwrap(), at: at(second), body: body.to_owned() }
}

async fn bodies(store: &Store, tenant: &str) -> Vec<String> {
    let tenant: Tenant = tenant.parse().unwrap();
    let rows = store.decisions(&tenant, (at(0), ""), 10_000).await.unwrap();
    rows.into_iter().map(|row| row.body).collect()
}

async fn a_record_is_kept_once_and_given_back_as_it_came(database: TestDatabase) {
    let store = database.open().await;
    let rows = [row("a", 2, "{\"x\": \"ü\"}"), row("a", 1, "{ }"), row("b", 1, "{}"), row("a", 2, "{\"x\": 2}")];
    assert_eq!(store.keep_decisions(&rows).await.unwrap(), 4);
    assert_eq!(store.keep_decisions(&rows).await.unwrap(), 0, "sent again");
    assert_eq!(store.keep_decisions(&[]).await.unwrap(), 0);
    let tenant: Tenant = "a".parse().unwrap();
    let (mut after, mut seen) = ((at(0), String::new()), Vec::new());
    loop {
        let mut page = store.decisions(&tenant, (after.0, after.1.as_str()), 1).await.unwrap();
        let Some(row) = page.pop() else { break };
        after = (row.at, row.id());
        seen.push(row);
    }
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0], rows[1]);
    assert!(seen.contains(&rows[0]) && seen.contains(&rows[3]));
    assert_eq!(bodies(&store, "b").await, ["{}"]);
}

async fn old_records_are_forgotten(database: TestDatabase) {
    let store = database.open().await;
    let rows: Vec<DecisionRow> = (1..=5000).map(|second| row("a", second, &second.to_string())).collect();
    store.keep_decisions(&rows).await.unwrap();
    store.keep_decisions(&[row("b", 4000, "b"), row("b", 5000, "b")]).await.unwrap();
    let bounds = DecisionBounds { before: at(4999), ..unbounded() };
    assert_eq!(store.forget_decisions(&bounds).await.unwrap(), 4999);
    assert_eq!(store.forget_decisions(&bounds).await.unwrap(), 0);
    assert_eq!(bodies(&store, "a").await, ["4999", "5000"]);
    assert_eq!(bodies(&store, "b").await, ["b"]);
}

async fn a_tenant_keeps_its_newest_within_its_bounds(database: TestDatabase) {
    let store = database.open().await;
    let rows: Vec<DecisionRow> = (1..=9).map(|second| row("a", second, &second.to_string().repeat(10))).collect();
    store.keep_decisions(&rows).await.unwrap();
    store.keep_decisions(&[row("b", 1, "b")]).await.unwrap();
    assert_eq!(store.forget_decisions(&unbounded()).await.unwrap(), 0);
    assert_eq!(store.forget_decisions(&DecisionBounds { most: 7, ..unbounded() }).await.unwrap(), 2);
    assert_eq!(bodies(&store, "a").await.len(), 7);
    assert_eq!(store.forget_decisions(&DecisionBounds { most_bytes: 39, ..unbounded() }).await.unwrap(), 4);
    assert_eq!(bodies(&store, "a").await, ["7".repeat(10), "8".repeat(10), "9".repeat(10)]);
    assert_eq!(bodies(&store, "b").await, ["b"], "another has its own bounds");
}
