//! What webhooks decided: taken to be kept, and given back as it came.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use stella_api::admission::{DECISION_DAYS, DECISION_SCHEMA, DecisionReceipt, MAX_DECISION_BYTES, MAX_DECISIONS};
use stella_domain::{Tenant, Timestamp};
use stella_store::{DecisionRow, StoreError};

use super::caller::Caller;
use super::error::ApiError;
use super::stream::NDJSON;
use crate::app::App;

/// Records that are read at once.
const PIECE: i64 = 100;

/// Keeps records of decisions (`zastava.admission.decision@v1`), 1 to 512 of them, one a line, for a week. 200 means that every
/// one of them is on disk; one that is known already is a duplicate.
#[utoipa::path(post, path = "/api/v1/admission/decisions", tag = "runtime",
    request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 200, body = DecisionReceipt), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn keep_decisions(
    State(app): State<App>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<DecisionReceipt>, ApiError> {
    // Namespaces say whose a decision is; a webhook has those of all.
    caller.speaks_for_all()?;
    let now = app.clock.now();
    let rows = read(&body, now, |namespace| app.namespaces.tenant_of(namespace))?;
    let accepted = usize::try_from(app.store.keep_decisions(&rows).await?).unwrap_or(rows.len());
    Ok(Json(DecisionReceipt { accepted, duplicates: rows.len().saturating_sub(accepted) }))
}

/// What is looked at in a record.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    schema_version: String,
    at: Timestamp,
    inputs: Place,
}

#[derive(Deserialize)]
struct Place {
    namespace: String,
}

fn read(body: &[u8], now: Timestamp, tenant_of: impl Fn(&str) -> Tenant) -> Result<Vec<DecisionRow>, ApiError> {
    let text = std::str::from_utf8(body).map_err(|_| ApiError::invalid("the records are not UTF-8"))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut rows = Vec::new();
    for (number, line) in lines {
        let wrong = |reason: String| ApiError::field(format!("$[{number}]"), reason);
        if line.len() > MAX_DECISION_BYTES {
            return Err(wrong(format!("more than {MAX_DECISION_BYTES} bytes")).kind("payload-too-large"));
        }
        let read: Line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if read.schema_version != DECISION_SCHEMA {
            return Err(wrong(format!("its schema is not {DECISION_SCHEMA}")));
        }
        let tenant = tenant_of(&read.inputs.namespace);
        // A webhook whose clock is ahead has its decisions kept no longer than others.
        rows.push(DecisionRow { tenant, at: read.at.min(now), body: line.to_owned() });
    }
    if rows.is_empty() || rows.len() > MAX_DECISIONS {
        let reason = format!("1 to {MAX_DECISIONS} records are needed, {} were given", rows.len());
        return Err(ApiError::field("$", reason));
    }
    Ok(rows)
}

/// Which records.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionQuery {
    #[serde(default)]
    since: Option<Timestamp>,
}

/// The records of the tenant that are kept, oldest first, one a line: those made at `since` and later, else all of the week.
#[utoipa::path(get, path = "/api/v1/admission/decisions", tag = "runtime", params(("since" = Option<String>, Query)),
    responses((status = 200, content_type = "application/x-ndjson", body = String),
        (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn decisions(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<DecisionQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let week = app.clock.now().plus_seconds(-DECISION_DAYS * 86_400);
    let tenant = caller.tenant;
    let after = (query.since.map_or(week, |since| since.max(week)), String::new());
    // What cannot be read at all is told as a problem.
    let mut page = app.store.decisions(&tenant, (after.0, after.1.as_str()), PIECE).await?;
    let lines = async_stream::stream! {
        while let Some(last) = page.last() {
            let after = (last.at, last.id());
            let mut text = String::new();
            for row in &page {
                text.push_str(&row.body);
                text.push('\n');
            }
            yield Ok::<Bytes, StoreError>(text.into());
            page = match app.store.decisions(&tenant, (after.0, after.1.as_str()), PIECE).await {
                Ok(page) => page,
                Err(error) => {
                    yield Err(error);
                    return;
                }
            };
        }
    };
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: &str, namespace: &str) -> String {
        format!(
            r#"{{"schemaVersion":"{DECISION_SCHEMA}","at":"{at}","uid":"1","inputs":{{"namespace":"{namespace}","images":[]}}}}"#
        )
    }

    fn rows(body: &str) -> Result<Vec<DecisionRow>, ApiError> {
        let now = "2026-01-08T00:00:00Z".parse().unwrap();
        read(body.as_bytes(), now, |namespace| namespace.parse().unwrap())
    }

    #[test]
    fn a_record_is_filed_by_its_namespace_and_time_and_left_as_it_is() {
        let (now, ahead) = ("2026-01-08T00:00:00.000Z", "2036-01-01T00:00:00Z");
        let lines = [record("2026-01-01T00:00:00Z", "a"), record(ahead, "b")];
        let rows = rows(&lines.join("\n\n")).unwrap();
        let told: Vec<_> =
            rows.iter().map(|row| (row.tenant.as_str(), row.at.to_string(), row.body.as_str())).collect();
        let expected =
            [("a", "2026-01-01T00:00:00.000Z".to_owned(), lines[0].as_str()), ("b", now.to_owned(), lines[1].as_str())];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let good = record("2026-01-01T00:00:00Z", "a");
        for bad in ["", "\n", "{}", "nonsense", good.replace("@v1", "@v2").as_str(), format!("{good}\n{{}}").as_str()] {
            assert!(rows(bad).is_err(), "{bad}");
        }
        let long = good.replace("\"images\":[]", &format!("\"x\":\"{}\"", "x".repeat(MAX_DECISION_BYTES)));
        assert!(rows(&long).is_err());
        assert!(rows(&format!("{good}\n").repeat(MAX_DECISIONS + 1)).is_err());
        assert_eq!(rows(&format!("{good}\n").repeat(MAX_DECISIONS)).unwrap().len(), MAX_DECISIONS);
    }
}
