//! A finding as policy is told of it. Server and command line ask policies about the same facts because both take them from here.
//!
//! A crate of its own: who has the engine for policies in a program gets its allocator, too, which sets aside more memory at
//! the start than the agent's reading process may have. A feature of `stella-api` would bring it to every program of the workspace.
#![forbid(unsafe_code)]

use stella_api::finding::Finding;
use stella_api::vex::FindingVex;
use stella_policy::{FindingInput, Status, TrustClass, VexState, VexStatement};

/// What policy is told of a finding, as far as the finding itself tells it.
#[must_use]
pub fn policy_input(finding: &Finding) -> FindingInput {
    let mut ids = finding.aliases.clone();
    if !ids.contains(&finding.advisory_id) {
        ids.push(finding.advisory_id.clone());
    }
    FindingInput {
        advisory_ids: ids,
        source: finding.sources.first().cloned(),
        trust: finding.sources.iter().find_map(|source| trust(source)),
        vendor: vendor(&finding.package.purl),
        tags: tags(finding),
        package: finding.package.name.clone(),
        version: finding.package.version.clone(),
        purl: Some(finding.package.purl.clone()),
        path: Some(finding.location.path.clone()),
        layer: finding.location.layer,
        licenses: finding.package.licenses.clone(),
        reachability: finding.reachability.status,
        kev: finding.kev,
        epss: finding.epss,
        fix_available: !finding.fixed_in.is_empty(),
        vex: finding.vex.as_ref().map(statements).unwrap_or_default(),
        ..FindingInput::new(finding.finding_id.clone(), finding.severity)
    }
}

/// What others say of a finding, as policy is told. A state that policy does not know says nothing.
#[must_use]
pub fn statements(said: &FindingVex) -> Vec<VexStatement> {
    let read = said.all().filter_map(|said| {
        let state = serde_json::from_value::<VexState>(said.state.clone().into()).ok()?;
        Some(VexStatement { state, vendor: said.author.clone(), justification: said.justification.clone() })
    });
    read.collect()
}

/// The status in a finding's verdict; one that this release does not know hides nothing.
#[must_use]
pub fn status(finding: &Finding) -> Status {
    let word = finding.verdict.get("status").cloned().unwrap_or_default();
    serde_json::from_value(word).unwrap_or_default()
}

/// Whether policy says that such a finding does not count.
#[must_use]
pub const fn is_hidden(status: Status) -> bool {
    matches!(status, Status::Ignored | Status::Quieted)
}

/// Whether the finding may fail a pipeline at its threshold (cli.md): neither policy nor what others say takes it out.
#[must_use]
pub fn counts(finding: &Finding) -> bool {
    !is_hidden(status(finding)) && !finding.vex.as_ref().is_some_and(FindingVex::clears)
}

/// Who makes the package, as its URL says: the distribution, the group of Maven, the scope of npm, the organisation on a forge.
fn vendor(purl: &str) -> Option<String> {
    let (_, rest) = purl.strip_prefix("pkg:")?.split_once('/')?;
    let path = rest.split(['@', '?', '#']).next()?;
    let (namespace, _) = path.rsplit_once('/')?;
    // A scope's sign is written as %40.
    let vendor = namespace.strip_prefix("%40").unwrap_or(namespace);
    (!vendor.is_empty()).then(|| vendor.to_owned())
}

/// Words for what is known of a finding and has no field of its own: `malicious` when a source says so of the package.
fn tags(finding: &Finding) -> Vec<String> {
    let mut ids = finding.aliases.iter().chain([&finding.advisory_id]);
    ids.any(|id| id.starts_with("MAL-")).then(|| "malicious".to_owned()).into_iter().collect()
}

/// Trust by the kind of publisher behind a feed.
fn trust(source: &str) -> Option<TrustClass> {
    match source {
        "Debian" | "Alpine" | "AlmaLinux" => Some(TrustClass::Distro),
        "GHSA" | "npm" | "Go" => Some(TrustClass::Platform),
        other => TrustClass::of_source(other).or(Some(TrustClass::Community)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendor_is_in_the_url() {
        for (purl, wanted) in [
            ("pkg:deb/debian/openssl@3.0.1?arch=amd64&distro=debian-12", Some("debian")),
            ("pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1", Some("org.apache.logging.log4j")),
            ("pkg:npm/%40angular/core@1.0.0", Some("angular")),
            ("pkg:golang/github.com/example/module@v1.0.0", Some("github.com/example")),
            ("pkg:npm/left-pad@1.3.0", None),
            ("pkg:pypi/django@2.2?from=a/b", None),
            ("nonsense", None),
        ] {
            assert_eq!(vendor(purl).as_deref(), wanted, "{purl}");
        }
    }
}
