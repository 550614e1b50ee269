//! Pages and counts of findings are what a look at every row gives, whatever was asked and whatever changed before.

mod database;

use database::TestDatabase;
use stella_domain::{Digest, Reachability, Severity, Tenant, Timestamp};
use stella_store::{Facets, FindingQuery, FindingRow, ReachUpdate, Store, VerdictUpdate};

on_both!(pages_and_counts_are_those_of_the_rows);

const SEVERITIES: [Severity; 3] = [Severity::Critical, Severity::High, Severity::Low];
const BADGES: [&str; 3] = ["fail", "pass", "waived"];
const USES: [Reachability; 3] = [Reachability::Entrypoint, Reachability::Unknown, Reachability::Unreachable];

fn finding(image: &Digest, number: usize) -> FindingRow {
    FindingRow {
        id: Digest::of(format!("{image} {number}")).hex(),
        digest: *image,
        rank: (number * 7919 % 50) as i64,
        severity: SEVERITIES[number % 3],
        advisory_id: format!("CVE-2024-{number}"),
        names: vec![format!("CVE-2024-{number}"), format!("GHSA-{}", number % 5)],
        component: (number % 10) as i64,
        purl: format!("pkg:npm/sample@{}", number % 4),
        kev: false,
        fixed: true,
        reach: USES[number / 3 % 3],
        reach_reason: String::new(),
        evidence: "[]".to_owned(),
        inherited_reach: Reachability::Unknown,
        inherited: "[]".to_owned(),
        badge: BADGES[number / 9 % 3].to_owned(),
        verdict: "{}".to_owned(),
        body: "{}".to_owned(),
        first_seen: Timestamp::from_millis(0),
    }
}

/// What the store holds, as a list of rows.
#[derive(Default)]
struct Model(Vec<FindingRow>);

impl Model {
    fn asked<'a>(&'a self, query: &'a FindingQuery) -> impl Iterator<Item = &'a FindingRow> {
        let one_of = |wanted: &[String], value: &str| wanted.is_empty() || wanted.iter().any(|one| one == value);
        self.0.iter().filter(move |row| {
            (query.severity.is_empty() || query.severity.contains(&row.severity))
                && (query.reach.is_empty() || query.reach.contains(&row.reach))
                && one_of(&query.badge, &row.badge)
                && query.images.as_ref().is_none_or(|images| images.contains(&row.digest))
                && (one_of(&query.product, &row.purl) || one_of(&query.product, &row.digest.to_string()))
                && query.search.as_ref().is_none_or(|part| row.names.iter().any(|name| name.contains(part.as_str())))
        })
    }

    fn facets(&self, query: &FindingQuery) -> Facets {
        let mut facets = Facets::default();
        for row in self.asked(query) {
            *facets.severity.entry(row.severity.name().to_owned()).or_default() += 1;
            *facets.badge.entry(row.badge.clone()).or_default() += 1;
            *facets.reach.entry(row.reach.name().to_owned()).or_default() += 1;
        }
        facets
    }

    fn order(&self, query: &FindingQuery) -> Vec<(i64, String)> {
        let mut rows: Vec<_> = self.asked(query).map(|row| (row.rank, row.id.clone())).collect();
        rows.sort();
        rows
    }
}

fn queries(images: &[Digest]) -> Vec<FindingQuery> {
    let all = FindingQuery { limit: 7, ..FindingQuery::default() };
    vec![
        all.clone(),
        FindingQuery { severity: vec![Severity::High], ..all.clone() },
        FindingQuery { severity: vec![Severity::Low, Severity::High], badge: vec!["fail".into()], ..all.clone() },
        FindingQuery { badge: vec!["warn".into()], ..all.clone() },
        FindingQuery { reach: vec![Reachability::Runtime, Reachability::Unknown], ..all.clone() },
        FindingQuery { search: Some("GHSA-3".into()), ..all.clone() },
        FindingQuery { product: vec!["pkg:npm/sample@2".into(), images[1].to_string()], ..all.clone() },
        FindingQuery { images: Some(vec![images[0]]), badge: vec!["pass".into()], ..all.clone() },
        FindingQuery { images: Some(Vec::new()), ..all },
    ]
}

/// Whatever is asked of SQLite, no step looks at all findings of the tenant, unless rows have to be counted.
#[tokio::test]
async fn pages_and_counts_pass_over_no_rows() {
    let database = TestDatabase::sqlite();
    let store = database.open().await;
    let tenant: Tenant = "a".parse().unwrap();
    let images = ["one", "two"].map(Digest::of);
    for image in &images {
        let rows: Vec<_> = (0..60).map(|number| finding(image, number)).collect();
        store.replace_findings(&tenant, image, "g1", &rows, Timestamp::from_millis(1)).await.unwrap();
    }
    for query in queries(&images) {
        let [page, counts] = store.finding_plans(&tenant, &query).await.unwrap();
        // Of no images nothing is looked at, whatever the plan says.
        let of_none = query.images.as_ref().is_some_and(Vec::is_empty);
        assert!(of_none || !page.lines().any(|step| step.ends_with("(tenant=?)")), "{query:?}\n{page}");
        // Counts that are kept lie by their primary key.
        let kept = query.search.is_none() && query.product.is_empty();
        assert!(!kept || counts.contains("PRIMARY KEY"), "{query:?}\n{counts}");
    }
}

async fn agree(store: &Store, tenant: &Tenant, model: &Model, images: &[Digest], when: &str) {
    for mut query in queries(images) {
        assert_eq!(store.facets(tenant, &query).await.unwrap(), model.facets(&query), "{when}: {query:?}");
        let mut paged = Vec::new();
        loop {
            let page = store.findings(tenant, &query).await.unwrap();
            paged.extend(page.iter().map(|row| (row.rank, row.id.clone())));
            query.after = paged.last().cloned();
            if page.len() < 7 {
                break;
            }
        }
        assert_eq!(paged, model.order(&query), "{when}: {query:?}");
    }
}

async fn pages_and_counts_are_those_of_the_rows(database: TestDatabase) {
    let store = database.open().await;
    let [tenant, other]: [Tenant; 2] = ["a", "b"].map(|name| name.parse().unwrap());
    let images = ["one", "two", "three"].map(Digest::of);
    let now = Timestamp::from_millis(1);
    let mut model = Model::default();
    for image in &images {
        let rows: Vec<_> = (0..60).map(|number| finding(image, number)).collect();
        store.replace_findings(&tenant, image, "g1", &rows, now).await.unwrap();
        model.0.extend(rows);
    }
    let foreign = [finding(&images[0], 1000)];
    store.replace_findings(&other, &images[0], "g1", &foreign, now).await.unwrap();
    agree(&store, &tenant, &model, &images, "at first").await;

    let used = |component, reach| ReachUpdate { component, reach, reason: String::new(), evidence: "[]".to_owned() };
    let updates = [used(3, Reachability::Runtime), used(4, Reachability::Unreachable)];
    store.set_reach(&tenant, &images[1], &updates).await.unwrap();
    for row in model.0.iter_mut().filter(|row| row.digest == images[1]) {
        let update = updates.iter().find(|update| update.component == row.component);
        row.reach = update.map_or(row.reach, |update| update.reach);
    }
    agree(&store, &tenant, &model, &images, "after new use").await;

    let mut updates = Vec::new();
    for row in model.0.iter_mut().filter(|row| row.digest == images[2]).skip(5) {
        row.badge = "warn".to_owned();
        updates.push(VerdictUpdate {
            id: row.id.clone(),
            badge: row.badge.clone(),
            verdict: "{\"it's\":1}".to_owned(),
        });
    }
    let of_another = finding(&images[1], 9);
    let foreign_update =
        VerdictUpdate { id: of_another.id.clone(), badge: "warn".to_owned(), verdict: "{}".to_owned() };
    updates.push(foreign_update);
    store.set_verdicts(&tenant, &images[2], &updates).await.unwrap();
    let untouched = store.finding(&tenant, &of_another.id).await.unwrap().unwrap();
    assert_eq!(untouched.badge, of_another.badge, "a finding of another image");
    assert_eq!(store.finding(&tenant, &updates[9].id).await.unwrap().unwrap().verdict, "{\"it's\":1}");
    agree(&store, &tenant, &model, &images, "after new verdicts").await;

    store.replace_findings(&tenant, &images[0], "g2", &[], now).await.unwrap();
    model.0.retain(|row| row.digest != images[0]);
    agree(&store, &tenant, &model, &images, "after an image lost its findings").await;
    assert_eq!(store.facets(&other, &FindingQuery::default()).await.unwrap().badge.values().sum::<i64>(), 1);
}
