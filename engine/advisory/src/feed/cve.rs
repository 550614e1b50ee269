//! CVE records (CVE JSON 5), as far as they add to advisories.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Content, CveFacts, Document};

#[derive(Deserialize)]
struct CveRecord {
    #[serde(rename = "cveMetadata")]
    metadata: CveMetadata,
    containers: CveContainers,
}

#[derive(Deserialize)]
struct CveMetadata {
    #[serde(rename = "cveId")]
    id: String,
    #[serde(rename = "dateUpdated", default)]
    updated: String,
}

#[derive(Deserialize)]
struct CveContainers {
    #[serde(default)]
    cna: CveContainer,
    #[serde(default)]
    adp: Vec<CveContainer>,
}

#[derive(Default, Deserialize)]
struct CveContainer {
    #[serde(default)]
    title: String,
    #[serde(default)]
    metrics: Vec<BTreeMap<String, serde_json::Value>>,
}

impl CveContainer {
    /// Vectors, those of the newest CVSS version first.
    fn vectors(&self) -> impl Iterator<Item = String> + '_ {
        ["cvssV4_0", "cvssV3_1", "cvssV3_0", "cvssV2_0"].into_iter().flat_map(|version| {
            let vector = |metric: &BTreeMap<String, serde_json::Value>| {
                metric.get(version)?.get("vectorString")?.as_str().map(str::to_owned)
            };
            self.metrics.iter().filter_map(vector).collect::<Vec<_>>()
        })
    }
}

pub(super) fn parse(bytes: &[u8]) -> Result<Document, String> {
    let record: CveRecord = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let containers = std::iter::once(&record.containers.cna).chain(&record.containers.adp);
    let facts = CveFacts {
        vectors: containers.flat_map(CveContainer::vectors).collect(),
        title: record.containers.cna.title.clone(),
    };
    let updated = &record.metadata.updated;
    // CVE records write their times in UTC, some of them without saying so.
    let date = updated.parse().or_else(|_| format!("{updated}Z").parse()).ok();
    Ok(Document { content: Content::Cve(record.metadata.id, facts), count: 1, date })
}
