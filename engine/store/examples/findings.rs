//! A page of 50 findings and the counts over all, of many rows: `findings FOLDER|URL [ROWS]`

use std::time::Instant;

use stella_domain::{Digest, Reachability, Severity, Tenant, Timestamp};
use stella_store::{FindingQuery, FindingRow, Store, StoreError};

/// Findings of an image.
const EACH: usize = 1000;
/// How often each question is asked.
const TIMES: usize = 20;

/// The finding with this number; ranks, levels and badges are spread over all images.
fn finding(image: &Digest, number: usize) -> FindingRow {
    let severity = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low][number % 4];
    let reach = [Reachability::Unknown, Reachability::Runtime, Reachability::Unreachable][number % 3];
    let advisory = format!("CVE-2024-{:05}", number % 40_000);
    FindingRow {
        id: Digest::of(format!("finding {number}")).hex()[..32].to_owned(),
        digest: *image,
        rank: (number % 4 * 1_000_000 + number * 7919 % 1_000_000) as i64,
        severity,
        names: vec![advisory.clone()],
        advisory_id: advisory,
        component: (number % EACH) as i64,
        purl: format!("pkg:npm/sample-{}@1.0.0", number % 5000),
        kev: number.is_multiple_of(100),
        fixed: number.is_multiple_of(2),
        reach,
        reach_reason: String::new(),
        evidence: "[]".to_owned(),
        inherited_reach: Reachability::Unknown,
        inherited: "[]".to_owned(),
        badge: ["pass", "warn", "fail"][number / 4 % 3].to_owned(),
        verdict: "{}".to_owned(),
        body: format!("{{\"details\":\"{}\"}}", "x".repeat(600)),
        first_seen: Timestamp::from_millis(0),
    }
}

/// The database that `place` names.
async fn open(place: &str) -> Result<Store, StoreError> {
    if place.starts_with("postgres") {
        return Store::connect(place).await;
    }
    Store::open(std::path::Path::new(place)).await
}

/// Milliseconds of the middle of `TIMES` askings, and of the slowest.
async fn times<T, F: Future<Output = Result<T, StoreError>>>(ask: impl Fn() -> F) -> Result<[f64; 2], StoreError> {
    let mut taken = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        ask().await?;
        taken.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    taken.sort_by(f64::total_cmp);
    Ok([taken[TIMES / 2], taken[TIMES - 1]])
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = std::env::args().nth(1).ok_or("usage: findings FOLDER|URL [ROWS]")?;
    let rows: usize = std::env::args().nth(2).map_or(Ok(1_000_000), |text| text.parse())?;
    let store = open(&place).await?;
    let tenant = Tenant::default();
    for first in (0..rows).step_by(EACH) {
        let image = Digest::of(format!("image {first}"));
        let findings: Vec<_> = (first..rows.min(first + EACH)).map(|number| finding(&image, number)).collect();
        store.replace_findings(&tenant, &image, "bench", &findings, Timestamp::from_millis(0)).await?;
    }
    let first = FindingQuery { limit: 50, ..FindingQuery::default() };
    let deep = FindingQuery { after: Some((2_500_000, String::new())), ..first.clone() };
    let high = FindingQuery { severity: vec![Severity::High], badge: vec!["fail".to_owned()], ..first.clone() };
    for (name, query) in [("first page", &first), ("deep page", &deep), ("page of two filters", &high)] {
        let [middle, slowest] = times(|| store.findings(&tenant, query)).await?;
        println!("{name}\t{middle:.2}\t{slowest:.2}");
    }
    for (name, query) in [("facets", &first), ("facets of two filters", &high)] {
        let [middle, slowest] = times(|| store.facets(&tenant, query)).await?;
        println!("{name}\t{middle:.2}\t{slowest:.2}");
    }
    for query in [&first, &high] {
        for plan in store.finding_plans(&tenant, query).await? {
            eprintln!("{plan}\n");
        }
    }
    Ok(())
}
