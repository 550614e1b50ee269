//! The console's findings.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use stella_api::console::{
    ConsoleEvidence, ConsoleFacets, ConsoleFinding, ConsoleFindings, ConsoleReachability, ConsoleTimestamps,
    ConsoleVex, Coordinates, FacetCount,
};
use stella_api::finding::Finding;
use stella_domain::{Digest, Reachability, Severity, Tenant};
use stella_service::spans::{Kind, step};
use stella_store::{FindingQuery, FindingRow};

use super::caller::Caller;
use super::error::ApiError;
use super::paging::Page;
use crate::app::App;

/// Version of the rules behind the levels of use.
const SIGNALS_VERSION: &str = "1";

/// Findings of the tenant, worst first, with counts over everything asked for.
#[utoipa::path(get, path = "/console/vuln/findings", tag = "console",
    params(("severity" = Option<Vec<String>>, Query), ("product" = Option<Vec<String>>, Query),
        ("policyBadge" = Option<Vec<String>>, Query), ("reachability" = Option<Vec<String>>, Query),
        ("search" = Option<String>, Query), ("namespace" = Option<String>, Query), ("image" = Option<String>, Query),
        ("pageSize" = Option<u32>, Query, minimum = 1, maximum = 200), ("pageToken" = Option<String>, Query)),
    responses((status = 200, body = ConsoleFindings), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn findings(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<ConsoleFindings>, ApiError> {
    let tenant = caller.named_tenant()?.clone();
    let asked = Asked::read(query.as_deref().unwrap_or_default())?;
    let page = Page::of(&app, asked.bound_to(&tenant), Some(asked.page_size), asked.page_token.as_deref())?;
    let mut wanted = FindingQuery { after: page.after.clone(), limit: page.limit, ..asked.query.clone() };
    wanted.images = images(&app, &tenant, &asked).await?;
    let facets = step(Kind::Client, "store: count findings", app.store.facets(&tenant, &wanted)).await?;
    let mut rows = step(Kind::Client, "store: page findings", app.store.findings(&tenant, &wanted)).await?;
    let next_page_token = page.cut(&mut rows, |last| (last.rank, last.id.clone()));
    let mut references = BTreeMap::new();
    for row in &rows {
        if let Entry::Vacant(unknown) = references.entry(row.digest) {
            let image = app.store.image_summary(&tenant, &row.digest).await?;
            unknown.insert(image.and_then(|image| image.reference));
        }
    }
    let revision = app.board.revision();
    let told = crate::judging::explained(&app, &tenant, &rows).await?;
    let item = |(row, finding): (&FindingRow, Option<Finding>)| {
        Some(wire(row, finding?, references.get(&row.digest).cloned().flatten(), &revision))
    };
    Ok(Json(ConsoleFindings {
        items: rows.iter().zip(told).filter_map(item).collect(),
        facets: ConsoleFacets {
            severity: counts(&facets.severity, severity_word),
            policy_badge: counts(&facets.badge, str::to_owned),
            reachability: counts(&facets.reach, |level| console_word(level).to_owned()),
        },
        next_page_token,
    }))
}

/// One finding of the tenant.
#[utoipa::path(get, path = "/console/vuln/findings/{id}", tag = "console", params(("id" = String, Path)),
    responses((status = 200, body = ConsoleFinding), (status = 404, body = stella_api::problem::Problem)))]
pub(super) async fn finding(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ConsoleFinding>, ApiError> {
    let tenant = caller.named_tenant()?;
    let row = step(Kind::Client, "store: read a finding", app.store.finding(tenant, &id)).await?;
    let row = row.ok_or_else(|| ApiError::not_found(format!("there is no finding {id}")))?;
    let reference = app.store.image_summary(tenant, &row.digest).await?.and_then(|image| image.reference);
    let told = crate::judging::explained(&app, tenant, std::slice::from_ref(&row)).await?.pop().flatten();
    let finding = told.ok_or_else(|| ApiError::internal("a stored finding is damaged"))?;
    Ok(Json(wire(&row, finding, reference, &app.board.revision())))
}

/// What is asked for.
#[derive(Debug, Default)]
struct Asked {
    query: FindingQuery,
    namespace: Option<String>,
    image: Option<String>,
    page_size: i64,
    page_token: Option<String>,
}

impl Asked {
    /// Values may be repeated, or separated by commas.
    fn read(query: &str) -> Result<Self, ApiError> {
        let mut asked = Self { page_size: 50, ..Self::default() };
        for (key, value) in url_pairs(query)? {
            let values = || value.split(',').map(str::trim).filter(|value| !value.is_empty());
            let wrong = |message: String| ApiError::field(format!("$.{key}"), message);
            match key.as_str() {
                "severity" => {
                    for word in values() {
                        asked.query.severity.push(word.parse::<Severity>().map_err(|e| wrong(e.to_string()))?);
                    }
                }
                "reachability" => {
                    for word in values() {
                        asked
                            .query
                            .reach
                            .extend(levels(word).ok_or_else(|| wrong(format!("Invalid reachability '{word}'")))?);
                    }
                }
                "policyBadge" => {
                    for word in values() {
                        if !["pass", "warn", "fail", "waived"].contains(&word) {
                            return Err(wrong(format!("Invalid badge '{word}'")));
                        }
                        asked.query.badge.push(word.to_owned());
                    }
                }
                "product" => asked.query.product.push(value),
                "search" => asked.query.search = Some(value),
                "namespace" => asked.namespace = Some(value),
                "image" => asked.image = Some(value),
                "pageToken" => asked.page_token = Some(value),
                "pageSize" => {
                    let size = value.parse().ok().filter(|size| (1..=200).contains(size));
                    asked.page_size = size.ok_or_else(|| wrong("1 to 200 is taken".to_owned()))?;
                }
                _ => return Err(wrong("there is no such parameter".to_owned())),
            }
        }
        Ok(asked)
    }

    /// What a page token is bound to: everything but the page.
    fn bound_to(&self, tenant: &Tenant) -> String {
        format!("{tenant} {:?} {:?} {:?}", self.query, self.namespace, self.image)
    }
}

fn url_pairs(query: &str) -> Result<Vec<(String, String)>, ApiError> {
    let uri: axum::http::Uri =
        format!("/?{query}").parse().map_err(|_| ApiError::invalid("the query is not a query string"))?;
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri);
    pairs.map(|pairs| pairs.0).map_err(ApiError::from)
}

/// The levels that a word of the console, or a level's own name, stands for.
fn levels(word: &str) -> Option<Vec<Reachability>> {
    if word == "reachable" {
        return Some(Reachability::ALL.into_iter().filter(|level| level.console_word() == "reachable").collect());
    }
    word.parse().ok().map(|level| vec![level])
}

/// The images asked for by namespace or name; `None` when neither is asked for.
async fn images(app: &App, tenant: &Tenant, asked: &Asked) -> Result<Option<Vec<Digest>>, ApiError> {
    let mut found: Option<Vec<Digest>> = None;
    if let Some(namespace) = &asked.namespace {
        let mut digests = Vec::new();
        for container in app.store.running_containers(tenant).await? {
            if container.namespace == *namespace {
                digests.extend(app.store.resolve_image(tenant, &container.image).await?);
            }
        }
        digests.sort();
        digests.dedup();
        found = Some(digests);
    }
    if let Some(image) = &asked.image {
        let digest = app.store.resolve_image(tenant, image).await?;
        found = Some(match found {
            Some(digests) => digests.into_iter().filter(|d| Some(*d) == digest).collect(),
            None => digest.into_iter().collect(),
        });
    }
    Ok(found)
}

fn wire(row: &FindingRow, finding: Finding, reference: Option<String>, revision: &str) -> ConsoleFinding {
    let vex = finding.vex.as_ref().map(|vex| ConsoleVex {
        statement_id: vex.first.statement_id.clone(),
        state: vex.first.state.clone(),
        justification: vex.first.justification.clone(),
    });
    let evidence = finding.reachability.evidence;
    ConsoleFinding {
        finding_id: finding.finding_id,
        coordinates: Coordinates {
            advisory_id: finding.advisory_id,
            package: finding.package.purl,
            component: finding.package.name,
            image: reference.unwrap_or_else(|| row.digest.to_string()),
            image_digest: row.digest,
        },
        summary: finding.summary,
        severity: severity_word(finding.severity.name()),
        cvss: finding.cvss,
        kev: finding.kev,
        policy_badge: row.badge.clone(),
        vex,
        reachability: ConsoleReachability {
            status: row.reach.console_word().to_owned(),
            level: row.reach.name().to_owned(),
            reason: finding.reachability.reason,
            last_observed: evidence.iter().map(|e| e.first_seen).max(),
            signals_version: SIGNALS_VERSION.to_owned(),
            evidence,
            inherited: finding.reachability.inherited,
        },
        evidence: ConsoleEvidence {
            sbom_digest: Some(row.digest.to_string()),
            policy_run_id: Some(revision.to_owned()),
            attestation_id: None,
        },
        timestamps: ConsoleTimestamps { first_seen: row.first_seen, last_seen: row.first_seen },
        fixed_in: finding.fixed_in,
        verdict: finding.verdict,
    }
}

fn severity_word(name: &str) -> String {
    if name == "Informational" { "info".to_owned() } else { name.to_lowercase() }
}

fn console_word(level: &str) -> &'static str {
    level.parse::<Reachability>().unwrap_or_default().console_word()
}

/// Counts by word, the most frequent first.
fn counts(facet: &BTreeMap<String, i64>, word: impl Fn(&str) -> String) -> Vec<FacetCount> {
    let mut by_word: BTreeMap<String, i64> = BTreeMap::new();
    for (value, count) in facet {
        *by_word.entry(word(value)).or_default() += count;
    }
    let mut counts: Vec<FacetCount> = by_word.into_iter().map(|(value, count)| FacetCount { value, count }).collect();
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    counts
}
