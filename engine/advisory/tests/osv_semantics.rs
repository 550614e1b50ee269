//! What a record says, and which packages it finds: the OSV schema's evaluation, and the habits of each ecosystem.

use serde_json::{Value, json};
use stella_advisory::epss::Epss;
use stella_advisory::feed::{CveFacts, Feeds};
use stella_advisory::merge::Group;
use stella_advisory::osv::Record;
use stella_advisory::{Index, Match, index, match_inventory};
use stella_domain::{Digest, Severity, Tenant};
use stella_inventory::{Component, Inventory, Package, PackageKind, Provenance, SourcePackage};

fn index_of(records: &[(&str, Value)]) -> Index {
    index_with(records, Feeds::default())
}

/// An index of the records and what `facts` has of CVEs.
fn index_with(records: &[(&str, Value)], facts: Feeds) -> Index {
    let records = records
        .iter()
        .map(|(source, record)| {
            ((*source).to_owned(), serde_json::from_value::<Record>(record.clone()).unwrap().into())
        })
        .collect();
    Index::from_bytes(index::build(&Feeds { records, ..facts }).unwrap()).unwrap()
}

fn record(id: &str, ecosystem: &str, name: &str, ranges: Value) -> Value {
    json!({"id": id, "modified": "2026-01-01T00:00:00Z",
        "affected": [{"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges}]})
}

fn events(events: Value) -> Value {
    json!([{"type": "ECOSYSTEM", "events": events}])
}

fn fixed(version: &str) -> Value {
    events(json!([{"introduced": "0"}, {"fixed": version}]))
}

fn component(kind: PackageKind, ecosystem: &str, name: &str, version: &str) -> Component {
    let package = Package::new(kind, name, version, "some/where");
    Component { package, purl: format!("pkg:x/{name}@{version}"), ecosystem: ecosystem.into(), layer: None }
}

fn from_source(mut component: Component, name: &str, version: &str) -> Component {
    component.package.source = Some(SourcePackage::new(name, version));
    component
}

fn matches(index: &Index, component: Component) -> Vec<Match> {
    let inventory = Inventory {
        provenance: Provenance::Rootfs,
        os: None,
        layers: Vec::new(),
        components: vec![component],
        problems: Vec::new(),
    };
    match_inventory(index, &inventory).unwrap()
}

/// Whether a record with these ranges finds a package of PyPI in this version.
fn affects(ranges: Value, version: &str) -> bool {
    let index = index_of(&[("PyPI", record("A-1", "PyPI", "a", ranges))]);
    !matches(&index, component(PackageKind::Pypi, "PyPI", "a", version)).is_empty()
}

#[test]
fn events_count_in_the_order_of_their_versions() {
    let ranges = events(json!([{"fixed": "4"}, {"introduced": "3"}, {"fixed": "2"}, {"introduced": "1"}]));
    for (version, is) in [("0.9", false), ("1", true), ("1.9", true), ("2", false), ("3", true), ("4", false)] {
        assert_eq!(affects(ranges.clone(), version), is, "{version}");
    }
}

#[test]
fn one_of_several_ranges_is_enough() {
    let ranges = json!([
        {"type": "ECOSYSTEM", "events": [{"introduced": "1"}, {"fixed": "1.5"}]},
        {"type": "GIT", "repo": "https://example.org/a", "events": [{"introduced": "0"}]},
        {"type": "ECOSYSTEM", "events": [{"introduced": "2"}, {"last_affected": "2.5"}]},
    ]);
    for (version, is) in [("1.2", true), ("1.5", false), ("2.5", true), ("2.5.1", false), ("0.1", false)] {
        assert_eq!(affects(ranges.clone(), version), is, "{version}");
    }
}

#[test]
fn limits_bound_what_is_spoken_of() {
    assert!(affects(events(json!([{"introduced": "1"}, {"limit": "2"}])), "1.9"));
    assert!(!affects(events(json!([{"introduced": "1"}, {"limit": "2"}])), "2"));
    assert!(affects(events(json!([{"introduced": "1"}, {"limit": "2"}, {"limit": "*"}])), "9"));
}

#[test]
fn introduced_0_precedes_every_version() {
    assert!(affects(events(json!([{"introduced": "0"}])), "0.dev0"));
    assert!(affects(fixed("1.0"), "0a1"));
    assert!(!affects(events(json!([{"fixed": "1.0"}])), "0.5"), "nothing was introduced");
}

#[test]
fn listed_versions_count_without_a_range_and_to_the_letter() {
    let mut record = record("A-1", "PyPI", "a", fixed("1.0"));
    record["affected"][0]["versions"] = json!(["7.1", "7.3"]);
    let index = index_of(&[("PyPI", record)]);
    let found = |version| matches(&index, component(PackageKind::Pypi, "PyPI", "a", version));
    assert_eq!(found("7.3").len(), 1);
    assert_eq!(found("7.3")[0].fixed_in, Vec::<String>::new());
    assert!(found("7.2").is_empty() && !found("0.9").is_empty());
}

#[test]
fn versions_listed_in_an_ecosystem_without_an_order_still_match() {
    let mut record = record("OSV-1", "OSS-Fuzz", "lib", json!([{"type": "GIT", "events": [{"introduced": "0"}]}]));
    record["affected"][0]["versions"] = json!(["r12"]);
    let index = index_of(&[("OSS-Fuzz", record)]);
    assert_eq!(matches(&index, component(PackageKind::Npm, "OSS-Fuzz", "lib", "r12")).len(), 1);
    assert!(matches(&index, component(PackageKind::Npm, "OSS-Fuzz", "lib", "r11")).is_empty());
}

#[test]
fn withdrawn_records_find_nothing_and_join_nothing() {
    let mut withdrawn = record("A-1", "PyPI", "a", fixed("2"));
    withdrawn["withdrawn"] = json!("2026-02-01T00:00:00Z");
    withdrawn["aliases"] = json!(["CVE-2026-1", "CVE-2026-2"]);
    let mut one = record("A-2", "PyPI", "a", fixed("2"));
    one["aliases"] = json!(["CVE-2026-1"]);
    let mut two = record("A-3", "PyPI", "a", fixed("2"));
    two["aliases"] = json!(["CVE-2026-2"]);
    let index = index_of(&[("PyPI", withdrawn), ("PyPI", one), ("PyPI", two)]);
    let ids: Vec<_> = matches(&index, component(PackageKind::Pypi, "PyPI", "a", "1"))
        .into_iter()
        .map(|found| found.group.advisory_id)
        .collect();
    assert_eq!(ids, ["CVE-2026-1", "CVE-2026-2"]);
}

#[test]
fn a_release_finds_its_own_records_only() {
    let index = index_of(&[
        ("Debian", record("D-11", "Debian:11", "x", fixed("2"))),
        ("Debian", record("D-12", "Debian:12", "x", fixed("3"))),
    ]);
    let found = matches(&index, component(PackageKind::Deb, "Debian:12", "x", "1"));
    assert_eq!(found.iter().map(|m| m.group.advisory_id.as_str()).collect::<Vec<_>>(), ["D-12"]);
    assert!(matches(&index, component(PackageKind::Deb, "Debian:13", "x", "1")).is_empty());
}

#[test]
fn debian_speaks_of_source_packages_and_knows_their_rebuilds() {
    let last = events(json!([{"introduced": "0"}, {"last_affected": "3.0.9-1"}]));
    let index = index_of(&[("Debian", record("D-1", "Debian:12", "openssl", last))]);
    let library =
        |source: &str| from_source(component(PackageKind::Deb, "Debian:12", "libssl3", "9:9"), "openssl", source);
    assert_eq!(matches(&index, library("3.0.9-1")).len(), 1);
    assert_eq!(matches(&index, library("3.0.9-1+b2")).len(), 1, "a rebuild of the same source");
    assert!(matches(&index, library("3.0.9-1+deb12u1")).is_empty());
    assert!(matches(&index, component(PackageKind::Deb, "Debian:12", "libssl3", "1")).is_empty());
}

#[test]
fn almalinux_speaks_of_binary_packages() {
    let index = index_of(&[("AlmaLinux", record("A-1", "AlmaLinux:9", "kernel-core", fixed("5.14.0-2.el9")))]);
    let package = |name: &str, source: &str| {
        from_source(component(PackageKind::Rpm, "AlmaLinux:9", name, "5.14.0-1.el9"), source, "5.14.0-1.el9")
    };
    assert_eq!(matches(&index, package("kernel-core", "kernel")).len(), 1);
    assert!(matches(&index, package("kernel-doc", "kernel-core")).is_empty());
}

#[test]
fn red_hat_and_ubuntu_keep_their_channels_apart() {
    let index = index_of(&[
        ("Red Hat", record("R-1", "Red Hat:enterprise_linux:9::baseos", "a", fixed("0:2-1.el9"))),
        ("Red Hat", record("R-2", "Red Hat:rhel_eus:9.2::baseos", "a", fixed("0:1-9.el9_2"))),
        ("Ubuntu", record("U-1", "Ubuntu:18.04:LTS", "a", fixed("1.0-1ubuntu1"))),
        ("Ubuntu", record("U-2", "Ubuntu:Pro:18.04:LTS", "a", fixed("1.0-1ubuntu1+esm2"))),
        ("Ubuntu", record("U-3", "Ubuntu:Pro:FIPS-updates:18.04:LTS", "a", fixed("1.0-1ubuntu1.fips.3"))),
        ("Ubuntu", record("U-4", "Ubuntu:Pro:FIPS:18.04:LTS", "a", fixed("9"))),
    ]);
    let ids = |kind, ecosystem, version| -> Vec<String> {
        matches(&index, component(kind, ecosystem, "a", version)).into_iter().map(|m| m.group.advisory_id).collect()
    };
    assert_eq!(ids(PackageKind::Rpm, "Red Hat:9", "1-1.el9"), ["R-1"]);
    assert_eq!(ids(PackageKind::Deb, "Ubuntu:18.04", "0.9-1"), ["U-1"]);
    assert!(ids(PackageKind::Deb, "Ubuntu:18.04", "1.0-1ubuntu1").is_empty(), "Pro's fix is not the free one's");
    assert_eq!(ids(PackageKind::Deb, "Ubuntu:18.04", "1.0-1ubuntu1+esm1"), ["U-2"]);
    assert!(ids(PackageKind::Deb, "Ubuntu:18.04", "1.0-1ubuntu1+esm2").is_empty());
    assert_eq!(ids(PackageKind::Deb, "Ubuntu:18.04", "1.0-1ubuntu1.fips.2"), ["U-3"], "neither free nor Pro");
    assert!(ids(PackageKind::Deb, "Ubuntu:18.04", "1.0-1ubuntu1.fips.3").is_empty());
    assert_eq!(ids(PackageKind::Deb, "Ubuntu:18.04", "0.9-1+besm1"), ["U-1"], "letters of another word");
}

#[test]
fn alpine_fixed_0_means_never_affected() {
    let index = index_of(&[("Alpine", record("C-1", "Alpine:v3.18", "a", fixed("0")))]);
    for version in ["1.0-r0", "0", "0_alpha1", ""] {
        assert!(matches(&index, component(PackageKind::Apk, "Alpine:v3.18", "a", version)).is_empty());
    }
}

#[test]
fn go_modules_differ_by_major_suffix() {
    let index = index_of(&[
        (
            "Go",
            record(
                "GO-1",
                "Go",
                "example.org/a",
                json!([{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.0"}]}]),
            ),
        ),
        (
            "Go",
            record(
                "GO-2",
                "Go",
                "example.org/a/v2",
                json!([{"type": "SEMVER", "events": [{"introduced": "2.0.0"}, {"fixed": "2.1.0"}]}]),
            ),
        ),
    ]);
    let ids = |name, version| -> Vec<String> {
        matches(&index, component(PackageKind::Golang, "Go", name, version))
            .into_iter()
            .map(|m| m.group.advisory_id)
            .collect()
    };
    assert_eq!(ids("example.org/a", "v1.1.9"), ["GO-1"]);
    assert_eq!(
        ids("example.org/a", "v1.2.0-0.20200101000000-0123456789ab"),
        ["GO-1"],
        "a pseudo-version before the fix"
    );
    assert!(ids("example.org/a", "v1.2.1-0.20200101000000-0123456789ab").is_empty());
    assert!(ids("example.org/a", "v2.0.0+incompatible").is_empty());
    assert_eq!(ids("example.org/a/v2", "v2.0.5"), ["GO-2"]);
}

#[test]
fn maven_artifacts_are_named_by_group_and_artifact() {
    let index = index_of(&[("Maven", record("M-1", "Maven", "org.example:core", fixed("2.0")))]);
    assert_eq!(matches(&index, component(PackageKind::Maven, "Maven", "org.example:core", "2.0-RC1")).len(), 1);
    assert!(matches(&index, component(PackageKind::Maven, "Maven", "org.example:core", "2.0.0.Final")).is_empty());
    assert!(matches(&index, component(PackageKind::Maven, "Maven", "org.other:core", "1.0")).is_empty());
}

#[test]
fn names_compare_as_pypi_does() {
    let index = index_of(&[("PyPI", record("P-1", "PyPI", "Zope.Interface", fixed("2")))]);
    assert_eq!(matches(&index, component(PackageKind::Pypi, "PyPI", "zope-interface", "1")).len(), 1);
}

#[test]
fn aliases_join_across_records_that_do_not_name_each_other() {
    let with = |source: &'static str, id: &str, aliases: Value, fix: &str| {
        let mut record = record(id, "PyPI", "a", fixed(fix));
        record["aliases"] = aliases;
        (source, record)
    };
    let index = index_of(&[
        with("PyPI", "PYSEC-1", json!(["CVE-2026-1"]), "2.0"),
        with("GHSA", "GHSA-1", json!(["CVE-2026-1", "SNYK-1"]), "2.1"),
        with("PyPI", "OTHER-1", json!(["SNYK-1"]), "2.0"),
    ]);
    let found = matches(&index, component(PackageKind::Pypi, "PyPI", "a", "1"));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].group.advisory_id, "CVE-2026-1");
    assert_eq!(found[0].group.aliases, ["CVE-2026-1", "GHSA-1", "OTHER-1", "PYSEC-1", "SNYK-1"]);
    assert_eq!(found[0].sources, ["GHSA", "PyPI"]);
    assert_eq!(found[0].fixed_in, ["2.0", "2.1"]);
}

#[test]
fn of_joined_records_those_that_name_every_cve_are_told_apart() {
    let with = |id: &str, field: &str, ids: Value| {
        let mut record = record(id, "PyPI", "a", fixed("2"));
        record[field] = ids;
        ("PyPI", record)
    };
    let found = |records: &[(&str, Value)]| matches(&index_of(records), component(PackageKind::Pypi, "PyPI", "a", "1"));
    let one = with("GHSA-1", "aliases", json!(["CVE-2026-1"]));
    let joined = found(&[
        one.clone(),
        with("GHSA-2", "aliases", json!(["CVE-2026-2"])),
        with("RUSTSEC-1", "aliases", json!(["CVE-2026-1", "CVE-2026-2"])),
        with("CVE-2026-2", "aliases", json!(["CVE-2026-1"])),
    ]);
    assert_eq!(joined.len(), 1);
    assert_eq!(joined[0].group.bulletins, ["RUSTSEC-1"]);
    assert_eq!(found(&[one])[0].group.bulletins, Vec::<String>::new(), "of one CVE every id says the same");
    assert_eq!(bulletin("related", &["CVE-2026-1", "CVE-2026-2"]).bulletins, ["ALSA-1"]);
    assert_eq!(bulletin("upstream", &["CVE-2026-1", "CVE-2026-2"]).bulletins, ["ALSA-1"]);
}

#[test]
fn what_a_bulletin_covers_is_named_but_joins_nothing() {
    let mut bulletin = record("ALSA-1", "AlmaLinux:9", "a", fixed("2"));
    bulletin["related"] = json!(["CVE-2026-1", "CVE-2026-2"]);
    let mut other = record("ALSA-2", "AlmaLinux:9", "b", fixed("2"));
    other["related"] = json!(["CVE-2026-2"]);
    let index = index_of(&[("AlmaLinux", bulletin), ("AlmaLinux", other)]);
    let found = matches(&index, component(PackageKind::Rpm, "AlmaLinux:9", "a", "1"));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].group.advisory_id, "ALSA-1");
    assert_eq!(found[0].group.aliases, ["ALSA-1", "CVE-2026-1", "CVE-2026-2"]);
}

/// The vulnerability of a record of `ecosystem` with these lists of ids.
fn naming(ecosystem: &str, lists: &[(&str, &[&str])]) -> Group {
    let mut record = record("A-1", ecosystem, "a", fixed("2"));
    for (field, ids) in lists {
        record[*field] = json!(ids);
    }
    let index = index_with(&[("feed", record)], known_cves());
    matches(&index, component(PackageKind::Generic, ecosystem, "a", "1")).remove(0).group
}

#[test]
fn what_is_related_to_a_record_of_an_ecosystem_is_another_vulnerability() {
    for ecosystem in ["Go", "crates.io", "PyPI", "npm", "RubyGems", "Packagist", "Maven"] {
        let nameless = naming(ecosystem, &[("related", &["CVE-2026-1"])]);
        assert_eq!(nameless.advisory_id, "A-1", "{ecosystem}");
        assert_eq!(nameless.aliases, ["A-1"], "{ecosystem}");
        assert!(!nameless.kev && nameless.epss.is_none() && nameless.cvss.is_none(), "{ecosystem}");
        assert_eq!((nameless.severity, nameless.severity_source.as_str()), (Severity::Unknown, ""), "{ecosystem}");
        let named = naming(ecosystem, &[("aliases", &["CVE-2026-2"]), ("related", &["CVE-2026-1", "CVE-2026-3"])]);
        assert_eq!(named.advisory_id, "CVE-2026-2", "{ecosystem}");
        assert_eq!(named.aliases, ["A-1", "CVE-2026-2"], "{ecosystem}");
        assert!(named.bulletins.is_empty() && !named.kev, "{ecosystem}");
        assert_eq!(naming(ecosystem, &[("upstream", &["CVE-2026-1"])]).advisory_id, "CVE-2026-1", "{ecosystem}");
    }
}

#[test]
fn a_distribution_that_knows_upstream_means_no_more_by_related_than_others() {
    for ecosystem in ["Debian:12", "Ubuntu:22.04:LTS", "Alpine:v3.18", "SUSE:Linux Enterprise Server 15 SP5"] {
        let group = naming(ecosystem, &[("upstream", &["CVE-2026-2"]), ("related", &["CVE-2026-1"])]);
        assert_eq!(group.aliases, ["A-1", "CVE-2026-2"], "{ecosystem}");
        assert!(!group.kev, "{ecosystem}");
    }
    assert!(naming("AlmaLinux:9", &[("related", &["CVE-2026-1"])]).kev, "the bulletin's own CVE");
    assert!(!naming("AlmaLinux:9", &[("related", &["ALSA-2026:1"])]).kev);
}

#[test]
fn a_distribution_rates_before_an_ecosystem_and_that_before_nvd() {
    let critical = json!([{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]);
    let medium = json!([{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N"}]);
    let with = |id: &str, ecosystem: &str, severity: &Value| {
        let mut record = record(id, ecosystem, "a", fixed("2"));
        record["aliases"] = json!(["CVE-2026-1"]);
        record["severity"] = severity.clone();
        record
    };
    let rated = |records: &[(&str, Value)]| {
        let ecosystem = records[0].1["affected"][0]["package"]["ecosystem"].as_str().unwrap().to_owned();
        let index = index_of(records);
        let group = matches(&index, component(PackageKind::Deb, &ecosystem, "a", "1")).remove(0).group;
        (group.severity, group.severity_source)
    };
    let nvd = ("NVD", with("CVE-2026-1", "PyPI", &critical));
    let python = ("PyPI", with("A-PYSEC-1", "PyPI", &medium));
    let ubuntu = ("Ubuntu", with("UBUNTU-1", "Ubuntu:22.04:LTS", &json!([{"type": "Ubuntu", "score": "low"}])));
    assert_eq!(rated(&[nvd.clone(), python.clone()]), (Severity::Medium, "PyPI".to_owned()));
    assert_eq!(rated(&[ubuntu, nvd, python]), (Severity::Low, "Ubuntu".to_owned()));
}

const CRITICAL: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
const MEDIUM: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N";

/// How a package is rated that these records speak of.
fn rating(records: &[(&str, Value)]) -> (Severity, String, Option<f64>) {
    let package = &records[0].1["affected"][0]["package"];
    let (ecosystem, name) = (package["ecosystem"].as_str().unwrap(), package["name"].as_str().unwrap());
    let group = matches(&index_of(records), component(PackageKind::Deb, ecosystem, name, "1")).remove(0).group;
    (group.severity, group.severity_source, group.cvss.map(|cvss| cvss.score))
}

#[test]
fn a_distributions_word_goes_before_the_score_it_copied_and_elsewhere_the_score_goes_first() {
    let mut ubuntu = record("UBUNTU-1", "Ubuntu:22.04:LTS", "a", fixed("2"));
    ubuntu["severity"] = json!([{"type": "CVSS_V3", "score": CRITICAL}, {"type": "Ubuntu", "score": "low"}]);
    assert_eq!(rating(&[("Ubuntu", ubuntu.clone())]), (Severity::Low, "Ubuntu".to_owned(), Some(9.8)));
    ubuntu["severity"] = json!([{"type": "CVSS_V3", "score": CRITICAL}, {"type": "Ubuntu", "score": "unknown"}]);
    assert_eq!(rating(&[("Ubuntu", ubuntu)]), (Severity::Critical, "Ubuntu".to_owned(), Some(9.8)));
    let mut github = record("GHSA-1", "npm", "a", fixed("2"));
    github["severity"] = json!([{"type": "CVSS_V3", "score": MEDIUM}]);
    github["database_specific"] = json!({"severity": "CRITICAL"});
    assert_eq!(rating(&[("GHSA", github)]), (Severity::Medium, "GHSA".to_owned(), Some(6.5)));
}

#[test]
fn of_packages_that_are_rated_apart_the_worst_counts_for_the_vulnerability() {
    let mut rated = record("UBUNTU-1", "Ubuntu:22.04:LTS", "a", fixed("2"));
    let mut other = rated["affected"][0].clone();
    rated["affected"][0]["severity"] = json!([{"type": "Ubuntu", "score": "low"}]);
    other["package"]["name"] = json!("b");
    other["severity"] = json!([{"type": "Ubuntu", "score": "high"}]);
    rated["affected"].as_array_mut().unwrap().push(other);
    assert_eq!(rating(&[("Ubuntu", rated.clone())]).0, Severity::High);
    let harmless = "CVSS:4.0/AV:P/AC:H/AT:P/PR:H/UI:A/VC:N/VI:N/VA:L/SC:N/SI:N/SA:N";
    rated["affected"][0]["severity"] = json!([{"type": "CVSS_V4", "score": harmless}]);
    rated["affected"][1]["severity"] = json!([{"type": "CVSS_V3", "score": CRITICAL}]);
    assert_eq!(rating(&[("Ubuntu", rated)]), (Severity::Critical, "Ubuntu".to_owned(), Some(9.8)));
}

/// A list of exploited CVEs, probabilities, and CVE records: `CVE-2026-1` is bad, `CVE-2026-2` less so, `CVE-2026-3` is in none.
fn known_cves() -> Feeds {
    let facts = |vector: &str| CveFacts { vectors: vec![vector.to_owned()], title: String::new() };
    let epss = |probability| Epss { probability, percentile: 0.5 };
    Feeds {
        kev: ["CVE-2026-1".to_owned()].into(),
        epss: [("CVE-2026-1".to_owned(), epss(0.2)), ("CVE-2026-2".to_owned(), epss(0.7))].into(),
        cves: [("CVE-2026-1".to_owned(), facts(CRITICAL)), ("CVE-2026-2".to_owned(), facts(MEDIUM))].into(),
        ..Feeds::default()
    }
}

/// The vulnerability of a bulletin that names `cves` in `field`.
fn bulletin(field: &str, cves: &[&str]) -> Group {
    let mut bulletin = record("ALSA-1", "AlmaLinux:9", "a", fixed("2"));
    bulletin[field] = json!(cves);
    let index = index_with(&[("AlmaLinux", bulletin)], known_cves());
    matches(&index, component(PackageKind::Rpm, "AlmaLinux:9", "a", "1")).remove(0).group
}

#[test]
fn what_is_known_of_a_cve_reaches_the_bulletin_that_covers_it() {
    for field in ["upstream", "related", "aliases"] {
        let group = bulletin(field, &["CVE-2026-1"]);
        assert!(group.kev, "{field}: on the list of exploited vulnerabilities");
        assert_eq!(group.epss.map(|epss| epss.probability), Some(0.2), "{field}");
        assert_eq!((group.severity, group.severity_source.as_str()), (Severity::Critical, "CVE"), "{field}");
        assert_eq!(group.cvss.map(|cvss| cvss.vector).as_deref(), Some(CRITICAL), "{field}");
    }
    let other = bulletin("upstream", &["CVE-2026-3"]);
    assert_eq!((other.kev, other.epss, other.severity, other.cvss), (false, None, Severity::Unknown, None));
    assert!(!bulletin("upstream", &["CVE-2026-2"]).kev);
}

#[test]
fn of_several_cves_the_worst_counts_whatever_their_order() {
    for cves in [["CVE-2026-1", "CVE-2026-2", "CVE-2026-3"], ["CVE-2026-3", "CVE-2026-2", "CVE-2026-1"]] {
        let group = bulletin("related", &cves);
        assert!(group.kev, "one of them is exploited");
        assert_eq!(group.epss.map(|epss| epss.probability), Some(0.7), "the most probable");
        assert_eq!((group.severity, group.cvss.map(|cvss| cvss.score)), (Severity::Critical, Some(9.8)));
    }
}

#[test]
fn a_bulletins_own_rating_goes_before_that_of_the_cves_it_covers() {
    let mut rated = record("RHSA-1", "AlmaLinux:9", "a", fixed("2"));
    rated["related"] = json!(["CVE-2026-1"]);
    rated["database_specific"] = json!({"severity": "Moderate"});
    let index = index_with(&[("AlmaLinux", rated)], known_cves());
    let group = matches(&index, component(PackageKind::Rpm, "AlmaLinux:9", "a", "1")).remove(0).group;
    assert_eq!((group.severity, group.severity_source.as_str()), (Severity::Medium, "AlmaLinux"));
    assert_eq!(group.cvss.map(|cvss| cvss.score), Some(9.8), "the CVE's vector is shown");
    assert!(group.kev);
}

#[test]
fn a_kept_id_stays_when_an_older_record_joins() {
    let dated = |id: &str, date: &str| {
        let mut record = record(id, "PyPI", "a", fixed("2"));
        (record["published"], record["aliases"]) = (json!(date), json!(["CVE-2026-1"]));
        ("PyPI", record)
    };
    let old_id = |records: &[(&str, Value)], kept: &[&str]| {
        let kept_ids = kept.iter().map(|id| (*id).to_owned()).collect();
        let index = index_with(records, Feeds { kept_ids, ..Feeds::default() });
        let package = component(PackageKind::Pypi, "PyPI", "a", "1");
        let found = matches(&index, package.clone()).remove(0);
        let id = found.finding_id(&Tenant::default(), &Digest::of("image"), &package);
        (found.group.oldest_id, id)
    };
    let (new, older) = (dated("GHSA-1", "2026-02-01T00:00:00Z"), dated("PYSEC-1", "2026-01-01T00:00:00Z"));
    let first = old_id(std::slice::from_ref(&new), &[]);
    assert_eq!(first.0, "GHSA-1");
    assert_eq!(old_id(&[new.clone(), older.clone()], &["GHSA-1"]), first, "findings keep their ids");
    assert_eq!(old_id(&[new.clone(), older.clone()], &[]).0, "PYSEC-1", "of a group that nobody knew");
    assert_eq!(old_id(&[new.clone(), older.clone()], &["GHSA-1", "PYSEC-1"]).0, "PYSEC-1", "two groups became one");
    assert_eq!(
        old_id(&[new, older], &["CVE-2026-1", "OTHER-1"]).0,
        "CVE-2026-1",
        "its record is gone, its name is not"
    );
}
