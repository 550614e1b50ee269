use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Uri;
use axum::response::Response;
use serde_json::{Value, json};
use stella_domain::Timestamp;
use stella_registry::{Limits, Registries};
use stella_signature::BUNDLE_TYPE;

use super::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What a repository `team/app` has, by its path there.
#[derive(Debug, Default, Clone)]
struct Held(BTreeMap<String, Vec<u8>>);

impl Held {
    /// Takes a document in, and gives its digest.
    fn document(&mut self, document: &Value) -> Digest {
        let bytes = document.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        self.0.insert(format!("manifests/{digest}"), bytes);
        digest
    }

    fn image(&mut self, name: &str) -> Digest {
        let config =
            json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config(name), "size": 1});
        self.document(&json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}))
    }

    /// An index of images for processors.
    fn index(&mut self, listed: &[(Digest, &str)]) -> Digest {
        let entry = |(digest, architecture): &(Digest, &str)| {
            let os = if *architecture == "unknown" { "unknown" } else { "linux" };
            json!({"mediaType": MANIFEST, "digest": digest, "size": 1, "platform": {"os": os, "architecture": architecture}})
        };
        let entries: Vec<Value> = listed.iter().map(entry).collect();
        self.document(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}))
    }

    /// Lets a tag stand at a document.
    fn tag(&mut self, tag: &str, digest: Digest) {
        let bytes = self.0[&format!("manifests/{digest}")].clone();
        self.0.insert(format!("manifests/{tag}"), bytes);
    }

    /// Attaches one part.
    fn attach(&mut self, subject: Digest, part: &str) {
        let digest = Digest::of(part);
        let manifest = self.document(&json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "layers": [{"mediaType": BUNDLE_TYPE, "digest": digest, "size": part.len()}],
            "subject": {"mediaType": MANIFEST, "digest": subject, "size": 1}}));
        self.0.insert(format!("blobs/{digest}"), part.as_bytes().to_vec());
        let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"digest": manifest, "size": 1}]});
        self.0.insert(format!("referrers/{subject}"), list.to_string().into_bytes());
    }

    /// Serves it; gives the host. What is not there is answered with `absent`.
    async fn serve(self, absent: u16) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let held = Arc::new(self.0);
        let answer = move |uri: Uri| {
            let known = uri.path().strip_prefix("/v2/team/app/").and_then(|path| held.get(path)).cloned();
            async move {
                let status = if known.is_some() { 200 } else { absent };
                Response::builder().status(status).body(Body::from(known.unwrap_or_default())).unwrap()
            }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
        host
    }
}

fn config(name: &str) -> Digest {
    Digest::of(format!("config {name}"))
}

/// Asks for what there is of an image of these names; those without a registry are digests.
async fn gathered(hosts: &[&String], image: Digest, names: &[String]) -> Gathered {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).clone()).collect();
    let limits = Limits { attempts: 1, ..Limits::default() };
    let client = Client::new(&Registries::default().with_insecure(&hosts), limits).unwrap();
    gather_with(&client, &image, names, &Worth::default(), &Keyring::anonymous()).await.unwrap()
}

fn parts(gathered: &Gathered) -> BTreeSet<(Digest, &str)> {
    gathered.parts.iter().map(|part| (part.subject, std::str::from_utf8(&part.bytes).unwrap())).collect()
}

fn texts<const N: usize>(names: [&dyn ToString; N]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[tokio::test]
async fn an_index_that_lists_others_is_signed_only_by_its_own_signature() {
    let mut held = Held::default();
    let (image, arm, attestation) = (held.image("amd64"), held.image("arm64"), held.image("attestation"));
    let several = held.index(&[(image, "amd64"), (arm, "arm64")]);
    let alone = held.index(&[(image, "amd64"), (attestation, "unknown")]);
    let stranger = held.index(&[(arm, "arm64")]);
    held.attach(image, "of the image");
    held.attach(several, "of the index");
    held.attach(stranger, "of a stranger");
    for (tag, digest) in [("several", several), ("alone", alone), ("arm", arm)] {
        held.tag(tag, digest);
    }
    let host = held.serve(404).await;
    let tag = |name: &str| format!("{host}/team/app:{name}");
    let pinned = format!("{host}/team/app@{image}");
    let digests = [image, several, alone, stranger, arm, config("amd64")].map(|digest| digest.to_string());
    let references = ["several", "alone", "arm", "gone"].map(tag);
    let names: Vec<String> = digests.into_iter().chain(references).chain([pinned.clone()]).collect();
    let gathered = gathered(&[&host], image, &names).await;
    assert_eq!(gathered.failures, Vec::<String>::new());
    assert_eq!(parts(&gathered), BTreeSet::from([(image, "of the image"), (several, "of the index")]));
    let config = config("amd64");
    let (of_alone, of_several) = (tag("alone"), tag("several"));
    assert_eq!(
        gathered.names_of(&BTreeSet::from([image])),
        texts([&image, &config, &alone, &of_alone, &pinned]),
        "what leads to the image alone"
    );
    assert_eq!(
        gathered.names_of(&BTreeSet::from([several])),
        texts([&image, &config, &alone, &several, &of_alone, &of_several, &pinned]),
        "who signs an index signs what it lists"
    );
    assert!(gathered.names_of(&BTreeSet::new()).is_empty());
}

#[tokio::test]
async fn an_index_that_a_tag_stands_at_counts_before_anybody_has_named_it() {
    let mut held = Held::default();
    let (image, arm) = (held.image("amd64"), held.image("arm64"));
    let index = held.index(&[(image, "amd64"), (arm, "arm64")]);
    held.attach(index, "of the index");
    held.tag("1", index);
    let host = held.serve(404).await;
    let gathered = gathered(&[&host], image, &[format!("{host}/team/app:1")]).await;
    assert_eq!(parts(&gathered), BTreeSet::from([(index, "of the index")]));
}

#[tokio::test]
async fn of_two_repositories_the_one_that_answers_counts_and_the_other_is_told() {
    let mut held = Held::default();
    let image = held.image("amd64");
    held.tag("1", image);
    held.attach(image, "of the image");
    let (there, away) = (held.serve(404).await, Held::default().serve(500).await);
    let names = [&there, &away].map(|host| format!("{host}/team/app:1"));
    let gathered = gathered(&[&there, &away], image, &names).await;
    assert_eq!(parts(&gathered), BTreeSet::from([(image, "of the image")]));
    assert_eq!(gathered.failures.len(), 1);
    assert_eq!(gathered.away, BTreeSet::from([format!("{away}/team/app")]));
    assert_eq!(gathered.resolved, BTreeSet::from([names[0].clone()]));
    assert_eq!(gathered.parts[0].places, BTreeSet::from([format!("{there}/team/app")]));
    assert!(gathered.failures[0].contains(&away), "{:?}", gathered.failures);
    assert!(gathered.names_of(&BTreeSet::from([image])).contains(&names[0]));
    assert!(!gathered.names_of(&BTreeSet::from([image])).contains(&names[1]), "nobody knows what it stands at");
}

#[tokio::test]
async fn what_came_in_before_a_repository_failed_counts() {
    let mut held = Held::default();
    let image = held.image("amd64");
    held.attach(image, "of the image");
    // The tags of older tools are asked for after it.
    let host = held.serve(500).await;
    let gathered = gathered(&[&host], image, &[format!("{host}/team/app@{image}")]).await;
    assert_eq!(gathered.failures.len(), 1);
    assert_eq!(parts(&gathered), BTreeSet::from([(image, "of the image")]));
}

#[test]
fn repositories_are_asked_once_each_and_digests_are_none() {
    let digest = Digest::of("x");
    let mut names =
        ["r.example/a:1", "r.example/a:2", "r.example/b@sha256:00", "s.example/a"].map(str::to_owned).to_vec();
    names.extend([digest.to_string(), "r.example/a:1".to_owned(), format!("r.example/a:3@{digest}")]);
    let (found, _) = places(&names, &Worth::default());
    let asked: Vec<String> = found.iter().map(|place| place.reference.to_string()).collect();
    assert_eq!(asked, ["r.example/a:1", "s.example/a:latest"]);
    let tags = |place: &Place| place.tags.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(tags(&found[0]), ["r.example/a:1", "r.example/a:2"], "each once");
    assert_eq!(tags(&found[1]), ["s.example/a"]);
    assert_eq!(by_digest(&names), BTreeMap::from([(format!("r.example/a:3@{digest}"), digest)]));
    assert_eq!(host(Some("r.example/a:2")), "r.example");
    assert_eq!([host(None), host(Some("NO NAME"))], ["", ""]);
}

#[test]
fn places_that_had_evidence_are_asked_before_any_alias_and_those_that_are_not_asked_are_told() {
    let mut names: Vec<String> = (0..20).map(|number| format!("alias{number}.example/app:1")).collect();
    names.extend(["tagged.example/app:1", "true.example/app:1"].map(str::to_owned));
    names.extend((0..20).map(|number| format!("true.example/app:t{number}")));
    let check = SignatureCheck {
        image: Digest::of("image"),
        authority: Digest::of("authority"),
        signed: true,
        sbom: false,
        signed_names: Some(["tagged.example/app:1", &Digest::of("image").to_string()].map(str::to_owned).into()),
        sbom_names: None,
        signed_places: BTreeSet::from(["true.example/app".to_owned()]),
        sbom_places: BTreeSet::new(),
        detail: String::new(),
        failure: String::new(),
        failures: 0,
        looked_at: Timestamp::from_millis(0),
        checked_at: None,
        expires_at: Timestamp::from_millis(0),
        retry_at: Timestamp::from_millis(0),
    };
    let (asked, unasked) = places(&names, &Worth::of(&[check]));
    let first: Vec<String> = asked.iter().take(3).map(|place| place.reference.place()).collect();
    assert_eq!(first, ["true.example/app", "tagged.example/app", "alias0.example/app"]);
    assert_eq!((asked.len(), unasked.len()), (REPOSITORIES, 14));
    assert_eq!((asked[0].tags.len(), asked[0].further), (TAGS, 5));
    let told = left_out(&asked[0], &Kin { unasked: 2, ..Kin::default() });
    assert_eq!(told.unwrap(), "true.example/app is not asked about 5 of the tags and 2 of the digests");
    assert_eq!(left_out(&asked[1], &Kin::default()), None);
}

#[tokio::test]
async fn a_look_that_leaves_out_a_repository_does_not_tell_all() {
    let mut held = Held::default();
    let image = held.image("amd64");
    let host = held.serve(404).await;
    let names: Vec<String> = (0..9).map(|number| format!("{host}/team{number}/app:1")).collect();
    let gathered = gathered(&[&host], image, &names).await;
    assert_eq!(gathered.away, BTreeSet::from([format!("{host}/team8/app")]));
    assert!(gathered.failures[0].contains("more than 8 repositories"), "{:?}", gathered.failures);
}
