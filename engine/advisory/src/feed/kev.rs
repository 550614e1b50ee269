//! The list of known exploited vulnerabilities (CISA).

use serde::Deserialize;

use super::{Content, Document};

#[derive(Deserialize)]
struct KevList {
    #[serde(rename = "dateReleased", default)]
    date_released: String,
    vulnerabilities: Vec<KevEntry>,
}

#[derive(Deserialize)]
struct KevEntry {
    #[serde(rename = "cveID")]
    cve: String,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Document, String> {
    let list: KevList = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let ids: Vec<String> = list.vulnerabilities.into_iter().map(|entry| entry.cve).collect();
    let count = ids.len() as u64;
    Ok(Document { content: Content::Kev(ids), count, date: list.date_released.parse().ok() })
}
