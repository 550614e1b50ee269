//! Findings, policies and statements that differ in all that the answers may depend on.

use serde_json::{Value, json};
use stella_api::finding::Finding;
use stella_domain::{Digest, Reachability, Timestamp};
use stella_store::FindingRow;

use crate::IMAGES;
use crate::numbers::Numbers;

pub fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn one<'a, T: ?Sized>(numbers: &mut Numbers, of: &[&'a T]) -> &'a T {
    of[numbers.below(of.len())]
}

pub fn reference(number: usize) -> String {
    format!("registry.example/{}/app{number}:1.{}", ["shop", "pay"][number % 2], number % 5)
}

pub fn digest(number: usize) -> Digest {
    Digest::of(format!("image {number}"))
}

pub fn finding(numbers: &mut Numbers, image: usize, number: usize) -> Finding {
    let severity = one(numbers, &["Critical", "High", "Medium", "Low", "None", "Unknown"]);
    let (name, ecosystem, source) =
        *one(numbers, &[&("django", "PyPI", "PyPI"), &("lodash", "npm", "GHSA"), &("openssl", "Debian", "Debian")]);
    let cve = format!("CVE-2026-{}", numbers.below(30));
    let licences: &[&str] = one(numbers, &[&["MIT"][..], &["GPL-3.0-only", "MIT"][..], &[][..]]);
    let fixed: &[&str] = one(numbers, &[&["9"][..], &[][..]]);
    let version = format!("{}.{}", numbers.below(4), numbers.below(4));
    serde_json::from_value(json!({
        "findingId": format!("finding-{image}-{number}"), "advisoryId": cve,
        "aliases": [cve, format!("GHSA-{}", numbers.below(9))], "severity": severity, "cvss": null,
        "kev": numbers.below(5) == 0, "epss": (numbers.below(2) == 0).then(|| numbers.below(100) as f64 / 100.0),
        "package": {"name": name, "version": version, "ecosystem": ecosystem, "licenses": licences, "source": null,
            "purl": format!("pkg:{}/{name}@{version}", ecosystem.to_lowercase())},
        "location": {"path": format!("usr/lib/{name}"), "layer": Digest::of(format!("layer {}", number % 3))},
        "fixedIn": fixed, "summary": "", "sources": [source],
        "reachability": {"status": "unknown", "evidence": []}, "verdict": {"status": "Pass"}, "vex": null,
    }))
    .unwrap()
}

pub fn row(numbers: &mut Numbers, finding: &Finding, image: Digest, component: i64) -> FindingRow {
    use Reachability::{Entrypoint, Runtime, Unknown, Unreachable};
    FindingRow {
        id: finding.finding_id.clone(),
        digest: image,
        rank: finding.rank(),
        severity: finding.severity,
        advisory_id: finding.advisory_id.clone(),
        names: finding.aliases.clone(),
        component,
        purl: finding.package.purl.clone(),
        kev: finding.kev,
        fixed: !finding.fixed_in.is_empty(),
        reach: *one(numbers, &[&Entrypoint, &Runtime, &Unknown, &Unreachable]),
        reach_reason: String::new(),
        evidence: "[]".to_owned(),
        inherited_reach: Unknown,
        inherited: "[]".to_owned(),
        badge: "pass".to_owned(),
        verdict: json!({"status": "Pass"}).to_string(),
        body: serde_json::to_string(finding).unwrap(),
        first_seen: now(),
    }
}

/// A policy with rules, and now and then waivers, over what the findings can tell apart.
pub fn policy(numbers: &mut Numbers, number: usize) -> String {
    let mut text = format!("version: \"1.0\"\ndescription: number {number}\nrules:\n");
    for rule in 0..=numbers.below(4) {
        let conditions: Vec<&str> = (0..=numbers.below(2)).map(|_| condition(numbers)).collect();
        let mut conditions: Vec<&str> = conditions.into_iter().filter(|text| !text.is_empty()).collect();
        // The same field twice would be no YAML.
        conditions.sort_by_key(|text| text.split(':').next().map(str::to_owned));
        conditions.dedup_by_key(|text| text.split(':').next().map(str::to_owned));
        let action = one(
            numbers,
            &[
                "block",
                "block",
                "warn",
                "ignore",
                "defer",
                "{type: escalate, minimumSeverity: Critical}",
                "{type: escalate, minimumSeverity: High, requireKev: true}",
                "{type: requireVex, vendors: [Acme]}",
                "{type: requireVex, justifications: [component_not_present]}",
                "{type: block, until: 2026-05-01T00:00:00Z}",
            ],
        );
        let conditions: String = conditions.iter().map(|text| format!(", {text}")).collect();
        text.push_str(&format!("- {{name: r{rule}{conditions}, action: {action}}}\n"));
    }
    if numbers.below(3) == 0 {
        text.push_str("waivers:\n");
        for waiver in 0..=numbers.below(2) {
            let scope = one(
                numbers,
                &["", ", images: ['registry.example/shop/**']", ", purls: ['pkg:pypi/*']", ", digests: ['DIGEST']"],
            );
            let scope = scope.replace("DIGEST", &digest(numbers.below(IMAGES)).to_string());
            let expires = one(numbers, &["2026-06-01T00:00:00Z", "2027-01-01T00:00:00Z"]);
            let cve = numbers.below(30);
            text.push_str(&format!(
                "- {{id: w{waiver}, cve: CVE-2026-{cve}{scope}, justification: j, owner: o, ticket: t, expires: {expires}}}\n"
            ));
        }
    }
    text
}

/// A policy in Rego, of clauses of which the first that holds decides, and now and then a word on the image.
pub fn rego_policy(numbers: &mut Numbers) -> String {
    let clauses: Vec<String> = (0..=numbers.below(3))
        .map(|clause| {
            let action = one(numbers, &["block", "warn", "ignore", "defer", "escalate", "requireVex", "quiet", "pass"]);
            let conditions: Vec<&str> = (0..=numbers.below(2)).map(|_| rego_condition(numbers)).collect();
            format!("{{\"action\": \"{action}\", \"rule\": \"r{clause}\"}} if {{\n\t{}\n}}", conditions.join("\n\t"))
        })
        .collect();
    let mut text = format!("package stella.policy\n\nverdict := {}\n", clauses.join(" else := "));
    if numbers.below(2) == 0 {
        let most = numbers.below(4);
        text.push_str(&format!(
            "\nimage := \"warn\" if count([f | some f in input.findings; f.severity == \"Critical\"]) > {most}\n"
        ));
    }
    text
}

fn rego_condition(numbers: &mut Numbers) -> &'static str {
    one(
        numbers,
        &[
            "input.finding.severity in {\"Critical\", \"High\"}",
            "input.finding.severity == \"Unknown\"",
            "input.finding.kev",
            "not input.finding.kev",
            "input.finding.epss > 0.3",
            "input.finding.fixAvailable",
            "input.finding.reachability in {\"runtime\", \"entrypoint\"}",
            "startswith(input.finding.package, \"djan\")",
            "some id in input.finding.advisoryIds\n\tstartswith(id, \"CVE-2026-1\")",
            "startswith(input.image.repository, \"registry.example/shop/\")",
            "some said in input.finding.vex\n\tsaid.state == \"not_affected\"",
            "\"GPL-3.0-only\" in input.finding.licenses",
        ],
    )
}

fn condition(numbers: &mut Numbers) -> &'static str {
    one(
        numbers,
        &[
            "",
            "severity: [Critical, High]",
            "severity: [Medium, Low, None]",
            "severity: [Unknown]",
            "sources: [GHSA]",
            "licenses: [GPL-3.0-only]",
            "vendors: [debian]",
            "environments: [prod]",
            "match: {packages: ['djang*']}",
            "match: {purls: ['pkg:npm/*@1.*']}",
            "match: {cves: ['CVE-2026-1*']}",
            "match: {cves: ['GHSA-3']}",
            "match: {images: ['registry.example/shop/**']}",
            "match: {repositories: ['registry.example/*/app1*']}",
            "match: {paths: ['usr/**/openssl']}",
            "reachability: [runtime, entrypoint]",
            "reachability: [unreachable]",
            "kev: true",
            "epssMin: 0.5",
            "fixAvailable: true",
            "fixAvailable: false",
            "expires: 2026-06-01T00:00:00Z",
        ],
    )
}

/// Two vendors who do not agree on everything, one of them with a narrow document.
pub fn documents() -> [Value; 2] {
    let document = |author: &str, statements: Value| {
        json!({"@context": "https://openvex.dev/ns/v0.2.0", "@id": format!("https://vex.example/{author}"),
            "author": author, "timestamp": "2026-01-01T00:00:00Z", "statements": statements})
    };
    let said = |cve: usize, product: &str, status: &str| {
        let mut said = json!({"vulnerability": {"name": format!("CVE-2026-{cve}")}, "products": [{"@id": product}],
            "status": status});
        if status == "not_affected" {
            said["justification"] = "component_not_present".into();
        }
        if status == "affected" {
            said["action_statement"] = "update".into();
        }
        said
    };
    let django = "pkg:pypi/django";
    [
        document("Acme", (0..8).map(|cve| said(cve, django, "not_affected")).collect()),
        document(
            "Other",
            json!([
                said(3, "pkg:pypi/django@1.1", "affected"),
                said(5, django, "under_investigation"),
                said(20, "pkg:npm/lodash@2.2", "fixed")
            ]),
        ),
    ]
}
