//! Reports attached to images: on a registry without the referrers API, on one with it, and what cosign says of them.

use std::process::Command;

use crate::distribution::{Distribution, client_of, installed, provider};
use crate::support::*;
use serde_json::{Value, json};
use stella_attest::report::{Evidence, Report, ReportBody, ReportPolicy, ReportSummary};
use stella_attest::statement::{self, BUNDLE_TYPE, PREDICATE_TYPE, ScanFacts};
use stella_attest::{Envelope, ReportFinding, SigningKey};
use stella_domain::{Digest, Severity};
use stella_registry::credentials::Keyring;
use stella_registry::{Artifact, ArtifactBlob, Attached, Client, PushError, Reference, Registries};

const P256: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmK1sR9YsKZdhGNDR
ocP3+irzIilMIs68VRBFtnEduK6hRANCAAQpbjyWQdfmufdTt32bNzl15BdZJiDu
3FbgdETOwc5wLtHTAauw38R903XcrP7nE4+j6hX/6z5Q7zhiYT8YyLhO
-----END PRIVATE KEY-----
";

fn keys() -> [SigningKey; 2] {
    [SigningKey::from_pem("p256", P256).unwrap(), SigningKey::from_seed("ed25519", &[7; 32])]
}

/// A report on the sample's image.
fn report(sample: &Sample) -> Report {
    let finding =
        ReportFinding { advisory_id: Some("CVE-2026-0001".into()), ..ReportFinding::new("f", Severity::High) };
    Report::new(&ReportBody {
        image_digest: Digest::of(&sample.manifest),
        verdict: "blocked".to_owned(),
        policy: ReportPolicy { revision_id: "rev-1".to_owned(), digest: Digest::of("policy").hex() },
        summary: ReportSummary { total: 1, blocked: 1, ..ReportSummary::default() },
        verdicts: vec![json!({"findingId": "f", "status": "Blocked"})],
        issues: Vec::new(),
        findings: vec![finding],
        evidence: Evidence::Scanned { scan_id: "s".to_owned() },
    })
    .unwrap()
}

fn attested(report: &Report, key: &SigningKey) -> Envelope {
    let scan = ScanFacts {
        name: "registry.example/team/app".to_owned(),
        version: "1.0.0".to_owned(),
        database: None,
        database_updated: "2026-01-01T00:00:00Z".parse().unwrap(),
        started: "2026-01-02T00:00:00Z".parse().unwrap(),
        finished: "2026-01-02T00:00:05Z".parse().unwrap(),
    };
    statement::sign(report, &scan, key).unwrap()
}

fn artifact(report: &Report, key: &SigningKey) -> Artifact {
    let bundle = statement::bundle(&attested(report, key), key.id()).to_string().into_bytes();
    Artifact {
        artifact_type: BUNDLE_TYPE.to_owned(),
        blobs: vec![ArtifactBlob { media_type: BUNDLE_TYPE.to_owned(), bytes: bundle }],
        annotations: statement::bundle_notes(report.id()),
    }
}

fn place(host: &str) -> Reference {
    format!("{host}/team/app:1").parse().unwrap()
}

async fn attach(client: &Client, host: &str, sample: &Sample, artifact: &Artifact) -> Result<Attached, PushError> {
    client.attach(&place(host), Digest::of(&sample.manifest), artifact, &Keyring::anonymous()).await
}

/// The sample in `registry`, a client of it and a report on it.
async fn filled(registry: &Distribution) -> (Sample, Client, Report) {
    let sample = Sample::new();
    registry.push(&sample).await;
    let report = report(&sample);
    (sample, client_of(registry), report)
}

async fn listed(host: &str, path: &str) -> Value {
    let http = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    let request =
        http.get(format!("http://{host}/v2/team/app/{path}")).header("accept", format!("{INDEX}, {MANIFEST}"));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// What cosign says of the attestations of the sample's image; none without cosign.
fn cosign(host: &str, sample: &Sample, key: &SigningKey, flags: &[&str]) -> Option<Result<String, String>> {
    let folder = tempfile::tempdir().unwrap();
    let public = folder.path().join("key.pub");
    std::fs::write(&public, key.verifying().to_pem().unwrap()).unwrap();
    let image = format!("{host}/team/app@{}", Digest::of(&sample.manifest));
    let ran = Command::new("cosign")
        .args([
            "verify-attestation",
            "--insecure-ignore-tlog",
            "--allow-http-registry",
            "--type",
            PREDICATE_TYPE,
            "--key",
        ])
        .arg(&public)
        .args(flags)
        .arg(&image)
        .env("HOME", folder.path())
        .output();
    let Ok(ran) = ran else {
        eprintln!("SKIPPED: the program cosign is missing; scripts/install/attest-tools.sh");
        return None;
    };
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    Some(if ran.status.success() { Ok(String::from_utf8_lossy(&ran.stdout).into_owned()) } else { Err(said) })
}

/// The statement that cosign verified names the report.
fn check_verified(said: Option<Result<String, String>>, report: &Report) {
    use base64::Engine as _;
    let Some(said) = said else { return };
    let line = said.unwrap_or_else(|error| panic!("cosign: {error}"));
    let envelope: Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    let payload = base64::engine::general_purpose::STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["predicate"][statement::REPORT_FIELD]["reportId"], report.id());
    assert_eq!(statement["predicate"]["scanner"]["result"][0]["id"], "CVE-2026-0001");
}

#[tokio::test]
async fn cosign_verifies_a_report_on_a_registry_without_the_referrers_api() {
    if !installed() {
        return;
    }
    provider();
    for key in keys() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Distribution::start(folder.path(), "", "").await;
        let (sample, client, report) = filled(&registry).await;
        let artifact = artifact(&report, &key);
        let attached = attach(&client, &registry.host, &sample, &artifact).await.unwrap();
        let tag = format!("sha256-{}", Digest::of(&sample.manifest).hex());
        assert_eq!(attached.tag.as_deref(), Some(tag.as_str()));
        assert_eq!(
            attach(&client, &registry.host, &sample, &artifact).await.unwrap(),
            attached,
            "again changes nothing"
        );
        let index = listed(&registry.host, &format!("manifests/{tag}")).await;
        assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
        assert_eq!(index["manifests"][0]["artifactType"], BUNDLE_TYPE);

        check_verified(cosign(&registry.host, &sample, &key, &[]), &report);
        let stranger = SigningKey::from_seed("stranger", &[9; 32]);
        assert!(cosign(&registry.host, &sample, &stranger, &[]).is_none_or(|said| said.is_err()));

        // Another one joins the list.
        let other = Artifact { artifact_type: "application/x-other".into(), ..artifact.clone() };
        attach(&client, &registry.host, &sample, &other).await.unwrap();
        let index = listed(&registry.host, &format!("manifests/{tag}")).await;
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn cosign_verifies_a_report_by_the_referrers_api() {
    provider();
    for key in keys() {
        let folder = tempfile::tempdir().unwrap();
        let Some(registry) = Distribution::with_referrers(folder.path()).await else {
            eprintln!("SKIPPED: the program referrers-registry is missing; scripts/install/attest-tools.sh");
            return;
        };
        let (sample, client, report) = filled(&registry).await;
        let attached = attach(&client, &registry.host, &sample, &artifact(&report, &key)).await.unwrap();
        assert_eq!(attached.tag, None, "the registry keeps the list");
        let index = listed(&registry.host, &format!("referrers/{}", Digest::of(&sample.manifest))).await;
        let entry = &index["manifests"][0];
        assert_eq!((&entry["artifactType"], &entry["digest"]), (&json!(BUNDLE_TYPE), &json!(attached.manifest)));
        check_verified(cosign(&registry.host, &sample, &key, &[]), &report);
    }
}

#[tokio::test]
async fn old_cosign_finds_a_report_by_its_tag() {
    if !installed() {
        return;
    }
    provider();
    for key in keys() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Distribution::start(folder.path(), "", "").await;
        let (sample, client, report) = filled(&registry).await;
        let envelope = serde_json::to_vec(&attested(&report, &key).standard()).unwrap();
        let (subject, keyring) = (Digest::of(&sample.manifest), Keyring::anonymous());
        let place = place(&registry.host);
        let add = |bytes: Vec<u8>| {
            let (client, place, keyring) = (client.clone(), place.clone(), keyring.clone());
            async move { client.attach_for_old_cosign(&place, subject, &bytes, PREDICATE_TYPE, &keyring).await.unwrap() }
        };
        let first = add(envelope.clone()).await;
        assert_eq!(add(envelope).await, first, "again changes nothing");
        check_verified(cosign(&registry.host, &sample, &key, &["--new-bundle-format=false"]), &report);
        assert_ne!(add(b"{}".to_vec()).await, first);
        let tag = format!("manifests/sha256-{}.att", subject.hex());
        let manifest = listed(&registry.host, &tag).await;
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 2, "what was there stays");
    }
}

#[tokio::test]
async fn what_cannot_be_attached_is_named() {
    let sample = Sample::new();
    let (report, key) = (report(&sample), SigningKey::from_seed("k", &[7; 32]));
    let artifact = artifact(&report, &key);

    let empty = Server::new(|_, _| status(404)).await;
    let client_ = client(Registries::default(), &[&empty], fast());
    let error = attach(&client_, &empty.host, &sample, &artifact).await.unwrap_err().to_string();
    assert!(error.contains("it is not there") && error.contains(&empty.host), "{error}");

    // It reads, and does not let write.
    let closed =
        Server::with(&sample, |asked, _| (asked.method != "GET" && asked.method != "HEAD").then(|| status(403))).await;
    let client_ = client(Registries::default(), &[&closed], fast());
    let error = attach(&client_, &closed.host, &sample, &artifact).await.unwrap_err().to_string();
    assert!(error.contains("HTTP 403") && error.contains("the blob sha256:"), "{error}");

    // It confirms something else than was sent.
    let lying = Server::with(&sample, |asked, _| match asked.method.as_str() {
        "HEAD" => Some(status(200)),
        "PUT" => Some(with_header(201, "docker-content-digest", &Digest::of("lie").to_string())),
        _ => None,
    })
    .await;
    let client_ = client(Registries::default(), &[&lying], fast());
    let error = attach(&client_, &lying.host, &sample, &artifact).await.unwrap_err().to_string();
    assert!(error.contains("in place of"), "{error}");

    // What stands at the tag of referrers is JSON, and no index.
    let odd = Server::with(&sample, |asked, _| match asked.method.as_str() {
        "HEAD" => Some(status(200)),
        "PUT" => Some(status(201)),
        _ if asked.path.contains("/manifests/sha256-") => Some(body("[]")),
        _ => None,
    })
    .await;
    let client_ = client(Registries::default(), &[&odd], fast());
    let error = attach(&client_, &odd.host, &sample, &artifact).await.unwrap_err().to_string();
    assert!(error.contains("it is no index"), "{error}");
}

#[tokio::test]
async fn credentials_stay_with_the_registry_and_writing_is_asked_for() {
    let sample = Sample::new();
    let (report, key) = (report(&sample), SigningKey::from_seed("k", &[7; 32]));
    let elsewhere = Server::new(|_, _| status(201)).await;
    let service = Server::new(|_, _| body(r#"{"token":"good"}"#)).await;
    let (realm, uploads) = (format!("http://{}/token", service.host), elsewhere.host.clone());
    let registry =
        Server::with(&sample, move |asked, _| match (asked.method.as_str(), asked.authorization.as_deref()) {
            ("HEAD", Some("Bearer good")) => Some(status(404)),
            ("POST", Some("Bearer good")) => Some(with_header(202, "location", &format!("http://{uploads}/up?x=1"))),
            ("PUT", Some("Bearer good")) => Some(with_header(201, "oci-subject", "x")),
            (_, Some("Bearer good")) => None,
            _ => {
                let asks = format!("Bearer realm=\"{realm}\",service=\"s\",scope=\"repository:team/app:pull\"");
                Some(with_header(401, "www-authenticate", &asks))
            }
        })
        .await;
    let client_ = client(Registries::default(), &[&registry, &service, &elsewhere], fast());
    let attached = attach(&client_, &registry.host, &sample, &artifact(&report, &key)).await.unwrap();
    assert_eq!(attached.tag, None);
    assert!(
        service.asked()[0].path.ends_with("scope=repository%3Ateam%2Fapp%3Apull%2Cpush"),
        "{:?}",
        service.asked()[0]
    );
    assert_eq!(elsewhere.asked().len(), 2);
    assert!(
        elsewhere
            .asked()
            .iter()
            .all(|asked| asked.authorization.is_none() && asked.path.contains("x=1&digest=sha256%3A"))
    );
}
