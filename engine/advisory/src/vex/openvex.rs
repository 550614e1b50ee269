//! OpenVEX documents (OpenVEX specification v0.2.0; v0.0.1 with plain texts for products and vulnerabilities, too).

use serde::Deserialize;
use serde_json::Value;

use super::{Budget, Document, Product, Selector, Statement, Status, VexError, malformed, timestamp};

#[derive(Deserialize)]
struct OpenVex {
    #[serde(rename = "@id", default)]
    id: String,
    #[serde(default)]
    author: String,
    #[serde(default)]
    timestamp: Option<String>,
    #[serde(default)]
    last_updated: Option<String>,
    #[serde(default)]
    statements: Vec<OpenVexStatement>,
}

#[derive(Deserialize)]
struct OpenVexStatement {
    vulnerability: Vulnerability,
    #[serde(default)]
    timestamp: Option<String>,
    #[serde(default)]
    last_updated: Option<String>,
    #[serde(default)]
    products: Vec<Component>,
    /// Of version 0.0.1, for all products.
    #[serde(default)]
    subcomponents: Vec<Component>,
    status: String,
    #[serde(default)]
    justification: Option<String>,
    #[serde(default)]
    impact_statement: Option<String>,
    #[serde(default)]
    action_statement: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Vulnerability {
    Name(String),
    Full {
        name: String,
        #[serde(default)]
        aliases: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Component {
    Id(String),
    Full(FullComponent),
}

#[derive(Deserialize)]
struct FullComponent {
    #[serde(rename = "@id", default)]
    id: Option<String>,
    #[serde(default)]
    identifiers: Identifiers,
    #[serde(default)]
    hashes: Hashes,
    #[serde(default)]
    subcomponents: Vec<Component>,
}

#[derive(Default, Deserialize)]
struct Identifiers {
    #[serde(default)]
    purl: Option<String>,
}

#[derive(Default, Deserialize)]
struct Hashes {
    #[serde(rename = "sha-256", default)]
    sha256: Option<String>,
}

impl Component {
    fn selector(&self) -> Option<Selector> {
        match self {
            Self::Id(id) => Selector::of(Some(id), None),
            Self::Full(full) => {
                let id = full.id.as_deref().filter(|id| id.starts_with("pkg:"));
                Selector::of(full.identifiers.purl.as_deref().or(id), full.hashes.sha256.as_deref())
            }
        }
    }

    fn parts(&self) -> &[Self] {
        match self {
            Self::Id(_) => &[],
            Self::Full(full) => &full.subcomponents,
        }
    }
}

pub(super) fn read(value: Value) -> Result<Document, VexError> {
    let document: OpenVex = serde_json::from_value(value).map_err(|e| malformed("document", e.to_string()))?;
    let mut read = Document { id: document.id, statements: Vec::new(), unusable: 0 };
    let mut budget = Budget::new();
    for (number, statement) in document.statements.into_iter().enumerate() {
        let place = format!("statements[{number}]");
        let dates = [&statement.last_updated, &statement.timestamp, &document.last_updated, &document.timestamp];
        let date = dates.into_iter().find_map(Option::as_deref);
        let vulnerability = match statement.vulnerability {
            Vulnerability::Name(name) => vec![name],
            Vulnerability::Full { name, aliases } => std::iter::once(name).chain(aliases).collect(),
        };
        let mut products = Vec::new();
        for product in &statement.products {
            let parts = if product.parts().is_empty() { &statement.subcomponents } else { product.parts() };
            if parts.is_empty() {
                budget.spend()?;
                products.push(product.selector().map(Product::Whole));
            }
            for part in parts {
                budget.spend()?;
                let pair = product.selector().zip(part.selector());
                products.push(pair.map(|(of, part)| Product::Part { of, part }));
            }
        }
        let usable: Vec<Product> = products.iter().flatten().cloned().collect();
        read.unusable += products.len() - usable.len();
        read.statements.push(Statement {
            vulnerability,
            status: status(&statement.status).ok_or_else(|| malformed(&place, "unknown status"))?,
            justification: statement.justification,
            detail: statement.impact_statement.or(statement.action_statement),
            author: document.author.clone(),
            timestamp: timestamp(&place, date)?,
            products: usable,
        });
    }
    Ok(read)
}

fn status(word: &str) -> Option<Status> {
    Some(match word {
        "not_affected" => Status::NotAffected,
        "affected" => Status::Affected,
        "fixed" => Status::Fixed,
        "under_investigation" => Status::UnderInvestigation,
        _ => return None,
    })
}
