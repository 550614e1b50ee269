//! The sample report is what the code makes. `STELLA_GENERATE=1` writes it anew.

use std::path::{Path, PathBuf};

use serde_json::json;
use stella_attest::page::Page;
use stella_attest::report::{Evidence, ReportBody, ReportPolicy, ReportSummary};
use stella_attest::{DEFAULT_KEY_ID, Envelope, Report, ReportFinding, SigningKey, VerifyingKey};
use stella_domain::{Digest, Reachability, Severity};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/api/reports")
}

/// Everybody knows this key: it signs nothing but the sample.
fn key() -> SigningKey {
    SigningKey::from_seed(DEFAULT_KEY_ID, b"the key of the sample, no secret")
}

fn findings() -> Vec<ReportFinding> {
    let package = |id: &str, severity, package: &str, version: &str, purl: &str, path: &str| ReportFinding {
        advisory_id: Some(id.to_owned()),
        package: package.to_owned(),
        version: version.to_owned(),
        purl: Some(purl.to_owned()),
        path: Some(path.to_owned()),
        ..ReportFinding::new(Digest::of(format!("{id} {package}")).hex()[..32].to_owned(), severity)
    };
    let dpkg = "var/lib/dpkg/status";
    vec![
        ReportFinding {
            score: Some(9.8),
            kev: true,
            epss: Some(0.944),
            fixed_in: vec!["1.2.13.dfsg-1+deb12u1".to_owned()],
            fix_available: true,
            summary: "A crafted archive overwrites memory behind a buffer".to_owned(),
            reachability: Reachability::Runtime,
            used_by: vec!["shop/web-7f9c/app".to_owned(), "shop/web-b21d/app".to_owned()],
            ..package(
                "CVE-2026-10001",
                Severity::Critical,
                "zlib1g",
                "1:1.2.13.dfsg-1",
                "pkg:deb/debian/zlib1g@1.2.13.dfsg-1?distro=debian-12&epoch=1",
                dpkg,
            )
        },
        ReportFinding {
            score: Some(7.5),
            epss: Some(0.021),
            fixed_in: vec!["3.2.25".to_owned(), "4.2.11".to_owned()],
            fix_available: true,
            summary: "A request with many parts uses a lot of memory".to_owned(),
            reachability: Reachability::Entrypoint,
            used_by: vec!["shop/web-7f9c/app".to_owned()],
            ..package(
                "CVE-2026-10002",
                Severity::High,
                "django",
                "3.2.10",
                "pkg:pypi/django@3.2.10",
                "usr/lib/python3/dist-packages/django-3.2.10.dist-info/METADATA",
            )
        },
        ReportFinding {
            score: Some(9.1),
            summary: "A certificate of a length that nobody expects ends the process".to_owned(),
            ..package(
                "CVE-2026-10003",
                Severity::Critical,
                "libgnutls30",
                "3.7.9-2",
                "pkg:deb/debian/libgnutls30@3.7.9-2?distro=debian-12",
                dpkg,
            )
        },
        ReportFinding {
            score: Some(5.3),
            fixed_in: vec!["7.88.1-10+deb12u12".to_owned()],
            fix_available: true,
            summary: "A redirect may keep a header that it should drop".to_owned(),
            reachability: Reachability::Unreachable,
            ..package(
                "CVE-2026-10004",
                Severity::Medium,
                "curl",
                "7.88.1-10",
                "pkg:deb/debian/curl@7.88.1-10?distro=debian-12",
                dpkg,
            )
        },
        ReportFinding {
            score: Some(3.3),
            summary: "A local user can learn the length of a path".to_owned(),
            ..package(
                "CVE-2026-10005",
                Severity::Low,
                "coreutils",
                "9.1-1",
                "pkg:deb/debian/coreutils@9.1-1?distro=debian-12",
                dpkg,
            )
        },
    ]
}

fn report() -> Report {
    let findings = findings();
    let said = [
        ("Blocked", Some("Block exploited ones in use"), 40.5),
        ("Warned", Some("Look at high ones in use"), 60.0),
        ("Pass", None, 38.3),
        ("Pass", None, 10.6),
        ("Ignored", Some("Local ones do not count here"), 0.0),
    ];
    let verdicts = findings.iter().zip(said).map(|(finding, (status, rule, score))| {
        json!({
            "findingId": finding.finding_id, "status": status, "ruleName": rule, "score": score, "configVersion": "1",
            "inputs": {}, "quiet": false, "sourceTrust": "NVD", "reachability": finding.reachability.name(),
        })
    });
    let body = ReportBody {
        image_digest: Digest::of("the image of the sample"),
        verdict: "blocked".to_owned(),
        policy: ReportPolicy { revision_id: "rev-7".to_owned(), digest: Digest::of("the policy of the sample").hex() },
        summary: ReportSummary { total: 5, blocked: 1, warned: 1, ignored: 1, quieted: 0 },
        verdicts: verdicts.collect(),
        issues: Vec::new(),
        findings,
        evidence: Evidence::Scanned { scan_id: Digest::of("the scan of the sample").hex()[..32].to_owned() },
    };
    Report::new(&body).unwrap()
}

#[test]
fn the_sample_report_is_up_to_date() {
    let (report, key) = (report(), key());
    let page = Page::of(&report).unwrap();
    let envelope = serde_json::to_string_pretty(&report.sign(&key).unwrap()).unwrap() + "\n";
    for (name, wanted) in [
        ("report-sample.dsse.json", envelope),
        ("report-sample.pub.pem", key.verifying().to_pem().unwrap()),
        ("report-sample.html", page.html()),
        ("report-sample.md", page.markdown()),
    ] {
        let path = folder().join(name);
        if std::env::var_os("STELLA_GENERATE").is_some() {
            std::fs::create_dir_all(folder()).unwrap();
            // At once, for the other test reads it meanwhile.
            let new = folder().join(format!("{name}.new"));
            std::fs::write(&new, &wanted).unwrap();
            std::fs::rename(&new, &path).unwrap();
        }
        let present = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(present == wanted, "{} differs from what the code makes; run `make generate`", path.display());
    }
}

/// As anybody would who has nothing but the two files.
#[test]
fn the_sample_report_verifies() {
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap();
    let envelope: Envelope = serde_json::from_str(&read("report-sample.dsse.json")).unwrap();
    let key = VerifyingKey::from_pem("sample", &read("report-sample.pub.pem")).unwrap();
    let opened = Report::open(&envelope, &[&key]).unwrap();
    assert_eq!(opened.value()["verdict"], "blocked");
    let other = SigningKey::from_seed("other", &[1; 32]).verifying();
    assert!(Report::open(&envelope, &[&other]).is_err());
}
