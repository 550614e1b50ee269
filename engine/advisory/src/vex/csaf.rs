//! CSAF documents, their VEX profile above all (CSAF 2.0, section 4.5).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Budget, Document, Product, Selector, Statement, Status, Vers, VexError, malformed, timestamp};

/// How deep branches of products may be nested.
const MAX_DEPTH: usize = 60;

#[derive(Deserialize)]
struct Csaf {
    document: Meta,
    #[serde(default)]
    product_tree: Tree,
    #[serde(default)]
    vulnerabilities: Vec<Vulnerability>,
}

#[derive(Deserialize)]
struct Meta {
    publisher: Publisher,
    tracking: Tracking,
}

#[derive(Deserialize)]
struct Publisher {
    name: String,
}

#[derive(Deserialize)]
struct Tracking {
    id: String,
    #[serde(default)]
    current_release_date: Option<String>,
}

#[derive(Default, Deserialize)]
struct Tree {
    #[serde(default)]
    branches: Vec<Branch>,
    #[serde(default)]
    full_product_names: Vec<FullName>,
    #[serde(default)]
    relationships: Vec<Relationship>,
    #[serde(default)]
    product_groups: Vec<ProductGroup>,
}

#[derive(Deserialize)]
struct Branch {
    #[serde(default)]
    category: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    branches: Vec<Branch>,
    #[serde(default)]
    product: Option<FullName>,
}

#[derive(Deserialize)]
struct FullName {
    product_id: String,
    #[serde(default)]
    product_identification_helper: Helper,
}

#[derive(Default, Deserialize)]
struct Helper {
    #[serde(default)]
    purl: Option<String>,
    #[serde(default)]
    hashes: Vec<FileHashes>,
}

#[derive(Deserialize)]
struct FileHashes {
    #[serde(default)]
    file_hashes: Vec<FileHash>,
}

#[derive(Deserialize)]
struct FileHash {
    algorithm: String,
    value: String,
}

#[derive(Deserialize)]
struct Relationship {
    product_reference: String,
    relates_to_product_reference: String,
    full_product_name: FullName,
}

#[derive(Deserialize)]
struct ProductGroup {
    group_id: String,
    #[serde(default)]
    product_ids: Vec<String>,
}

#[derive(Deserialize)]
struct Vulnerability {
    #[serde(default)]
    cve: Option<String>,
    #[serde(default)]
    ids: Vec<Id>,
    #[serde(default)]
    product_status: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    flags: Vec<Flag>,
    #[serde(default)]
    threats: Vec<Threat>,
}

#[derive(Deserialize)]
struct Id {
    text: String,
}

#[derive(Deserialize)]
struct Flag {
    label: String,
    #[serde(default)]
    product_ids: Vec<String>,
    #[serde(default)]
    group_ids: Vec<String>,
}

#[derive(Deserialize)]
struct Threat {
    #[serde(default)]
    category: String,
    #[serde(default)]
    details: String,
    #[serde(default)]
    product_ids: Vec<String>,
    #[serde(default)]
    group_ids: Vec<String>,
}

/// What is known of each product id; `None` for those that nothing can be compared with.
type Products = BTreeMap<String, Option<Product>>;

pub(super) fn read(value: Value) -> Result<Document, VexError> {
    let document: Csaf = serde_json::from_value(value).map_err(|e| malformed("document", e.to_string()))?;
    let products = products(&document.product_tree)?;
    let groups: BTreeMap<&str, &[String]> =
        document.product_tree.product_groups.iter().map(|g| (g.group_id.as_str(), g.product_ids.as_slice())).collect();
    let names = |ids: &[String], in_groups: &[String], product: &str| {
        ids.iter().any(|id| id == product)
            || in_groups
                .iter()
                .filter_map(|group| groups.get(group.as_str()))
                .any(|ids| ids.iter().any(|id| id == product))
    };
    let meta = document.document;
    let date = timestamp("document.tracking.current_release_date", meta.tracking.current_release_date.as_deref())?;
    let mut read = Document { id: meta.tracking.id, statements: Vec::new(), unusable: 0 };
    let mut budget = Budget::new();
    for (number, vulnerability) in document.vulnerabilities.iter().enumerate() {
        let ids: Vec<String> =
            vulnerability.cve.iter().cloned().chain(vulnerability.ids.iter().map(|id| id.text.clone())).collect();
        for (word, named) in &vulnerability.product_status {
            let Some(status) = status(word) else { continue };
            for id in named {
                budget.spend()?;
                let product = products.get(id);
                let place = || format!("vulnerabilities[{number}].product_status.{word}");
                let product = product.ok_or_else(|| malformed(place(), "a product id is not in the product tree"))?;
                let Some(product) = product else {
                    read.unusable += 1;
                    continue;
                };
                let flag = vulnerability.flags.iter().find(|flag| names(&flag.product_ids, &flag.group_ids, id));
                let threat = vulnerability
                    .threats
                    .iter()
                    .find(|threat| threat.category == "impact" && names(&threat.product_ids, &threat.group_ids, id));
                read.statements.push(Statement {
                    vulnerability: ids.clone(),
                    status,
                    justification: flag.map(|flag| flag.label.clone()).filter(|_| status == Status::NotAffected),
                    detail: threat.map(|threat| threat.details.clone()),
                    author: meta.publisher.name.clone(),
                    timestamp: date,
                    products: vec![product.clone()],
                });
            }
        }
    }
    Ok(read)
}

/// Words of no status here, such as `recommended`, say nothing about whether a product is affected.
fn status(word: &str) -> Option<Status> {
    Some(match word {
        "fixed" | "first_fixed" => Status::Fixed,
        "known_affected" | "first_affected" | "last_affected" => Status::Affected,
        "known_not_affected" => Status::NotAffected,
        "under_investigation" => Status::UnderInvestigation,
        _ => return None,
    })
}

fn products(tree: &Tree) -> Result<Products, VexError> {
    let mut selectors = BTreeMap::new();
    for name in &tree.full_product_names {
        insert(&mut selectors, name, name.product_identification_helper.selector())?;
    }
    branches(&tree.branches, 0, &mut selectors)?;
    let mut products: Products =
        selectors.iter().map(|(id, selector)| (id.clone(), selector.clone().map(Product::Whole))).collect();
    for relationship in &tree.relationships {
        let of = |id: &str| {
            selectors
                .get(id)
                .cloned()
                .ok_or_else(|| malformed("product_tree.relationships", "a product id is not in the product tree"))
        };
        let part = of(&relationship.product_reference)?;
        let whole = of(&relationship.relates_to_product_reference)?;
        let product = whole.zip(part).map(|(of, part)| Product::Part { of, part });
        let id = relationship.full_product_name.product_id.clone();
        if products.insert(id, product).is_some() {
            return Err(malformed("product_tree.relationships", "a product id occurs twice"));
        }
    }
    Ok(products)
}

fn insert(
    selectors: &mut BTreeMap<String, Option<Selector>>,
    name: &FullName,
    selector: Option<Selector>,
) -> Result<(), VexError> {
    match selectors.insert(name.product_id.clone(), selector) {
        None => Ok(()),
        Some(_) => Err(malformed("product_tree", "a product id occurs twice")),
    }
}

fn branches(list: &[Branch], depth: usize, selectors: &mut BTreeMap<String, Option<Selector>>) -> Result<(), VexError> {
    if depth > MAX_DEPTH {
        return Err(malformed("product_tree.branches", format!("nested deeper than {MAX_DEPTH}")));
    }
    for branch in list {
        if let Some(name) = &branch.product {
            insert(selectors, name, in_branch(name, branch))?;
        }
        branches(&branch.branches, depth + 1, selectors)?;
    }
    Ok(())
}

/// A range counts as far as it can be read; a product in a range that cannot is not the product in every version.
fn in_branch(name: &FullName, branch: &Branch) -> Option<Selector> {
    let selector = name.product_identification_helper.selector()?;
    let names_version = matches!(&selector, Selector::Package { versions, .. } if *versions != super::Versions::All);
    match branch.category.as_str() {
        "product_version_range" => selector.in_range(branch.name.parse::<Vers>().ok()?),
        "product_version" if !names_version && matches!(selector, Selector::Package { .. }) => {
            selector.in_version(&branch.name)
        }
        _ => Some(selector),
    }
}

impl Helper {
    fn selector(&self) -> Option<Selector> {
        let hashes = self.hashes.iter().flat_map(|hashes| &hashes.file_hashes);
        let sha256 = hashes.into_iter().find(|hash| hash.algorithm.eq_ignore_ascii_case("sha256"));
        Selector::of(self.purl.as_deref(), sha256.map(|hash| hash.value.as_str()))
    }
}
