//! What is attached to an image, read back: from registries with and without the API of referrers, and from hostile ones.

use crate::distribution::{Distribution, client_of, installed, provider};
use crate::support::*;
use serde_json::json;
use stella_domain::Digest;
use stella_registry::credentials::Keyring;
use stella_registry::{Artifact, ArtifactBlob, Attachments, Client, Kin, Listing, PullError, Reference, Registries};

const KIND: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

fn place(host: &str) -> Reference {
    format!("{host}/team/app:1").parse().unwrap()
}

fn artifact(text: &str) -> Artifact {
    let blob = ArtifactBlob { media_type: KIND.to_owned(), bytes: text.as_bytes().to_vec() };
    Artifact { artifact_type: KIND.to_owned(), blobs: vec![blob], annotations: [].into() }
}

async fn read(client: &Client, host: &str, image: Digest) -> Result<Attachments, PullError> {
    client.attachments(&place(host), image, &Keyring::anonymous(), &|kind| kind == KIND || kind == ENVELOPE).await
}

/// The parts as text.
async fn parts(client: &Client, host: &str, image: Digest) -> Vec<String> {
    let found = read(client, host, image).await.unwrap();
    assert_eq!(found.left_out, None);
    found.parts.into_iter().map(|part| String::from_utf8(part.bytes).unwrap()).collect()
}

/// Attaches twice as a referrer and once under an old tag, and reads all of it.
async fn there_and_back(registry: &Distribution) {
    let sample = Sample::new();
    registry.push(&sample).await;
    let (client, host, image) = (client_of(registry), registry.host.as_str(), Digest::of(&sample.manifest));
    assert_eq!(parts(&client, host, image).await, Vec::<String>::new(), "nothing is attached");
    for text in ["one", "two"] {
        client.attach(&place(host), image, &artifact(text), &Keyring::anonymous()).await.unwrap();
    }
    client.attach_for_old_cosign(&place(host), image, b"three", "t", &Keyring::anonymous()).await.unwrap();
    let mut found = parts(&client, host, image).await;
    found.sort();
    assert_eq!(found, ["one", "three", "two"]);
    let index: Reference = format!("{host}/team/app:1").parse().unwrap();
    let index = client.digest(&index, &Keyring::anonymous()).await.unwrap();
    let (place, nobody) = (place(host), Digest::of("nobody"));
    let repository = client.repository(&place, &Keyring::anonymous()).unwrap();
    let config = Digest::of(&sample.config);
    let kin = repository.kin_of(image, &[nobody, config, index], 4).await.unwrap();
    assert_eq!(kin.configuration, Some(config));
    assert_eq!(kin.indexes, [Listing { digest: index, alone: false }], "what is not there lists nothing");
    let other = repository.kin_of(Digest::of("other"), &[index], 4).await.unwrap();
    assert_eq!(other, Kin::default(), "it lists another image");
    assert!(repository.kin_of(index, &[image], 4).await.unwrap().indexes.is_empty(), "a manifest is no index");
    assert_eq!(repository.resolve(&place).await.unwrap(), Some(index));
    let gone = format!("{host}/team/app:gone").parse().unwrap();
    assert_eq!(repository.resolve(&gone).await.unwrap(), None);
}

#[tokio::test]
async fn what_was_attached_is_read_without_the_api_of_referrers() {
    if !installed() {
        return;
    }
    provider();
    let folder = tempfile::tempdir().unwrap();
    there_and_back(&Distribution::start(folder.path(), "", "").await).await;
}

#[tokio::test]
async fn what_was_attached_is_read_by_the_api_of_referrers() {
    provider();
    let folder = tempfile::tempdir().unwrap();
    let Some(registry) = Distribution::with_referrers(folder.path()).await else {
        eprintln!("SKIPPED: the program referrers-registry is missing; scripts/install/attest-tools.sh");
        return;
    };
    there_and_back(&registry).await;
}

/// The manifest of an attachment with one part.
fn manifest(subject: Option<Digest>, part: &[u8]) -> Vec<u8> {
    let subject = subject.map(|digest| json!({"mediaType": MANIFEST, "digest": digest, "size": 1}));
    json!({"schemaVersion": 2, "layers": [{"mediaType": KIND, "digest": Digest::of(part), "size": part.len()}], "subject": subject})
        .to_string()
        .into_bytes()
}

fn list(manifests: &[&Vec<u8>]) -> Vec<u8> {
    let entries: Vec<_> =
        manifests.iter().map(|bytes| json!({"digest": Digest::of(bytes), "size": bytes.len()})).collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string().into_bytes()
}

#[tokio::test]
async fn a_list_may_name_anything_and_only_what_refers_to_the_image_counts() {
    let image = Digest::of("image");
    let own = manifest(Some(image), b"own");
    let (others, nobodys) = (manifest(Some(Digest::of("other")), b"others"), manifest(None, b"nobodys"));
    let listed = list(&[&others, &nobodys, &own]);
    let server = Server::new(move |asked, _| {
        if asked.path.contains("/referrers/") {
            return body(listed.clone());
        }
        let known = [&own, &others, &nobodys].into_iter().find(|it| asked.path.ends_with(&Digest::of(it).to_string()));
        let blob = [&b"own"[..], b"others", b"nobodys"]
            .into_iter()
            .find(|it| asked.path.ends_with(&Digest::of(it).to_string()));
        known.cloned().or(blob.map(<[u8]>::to_vec)).map_or_else(|| status(404), body)
    })
    .await;
    let client = client(Registries::default(), &[&server], fast());
    assert_eq!(parts(&client, &server.host, image).await, ["own"]);
}

#[tokio::test]
async fn pages_are_followed_within_the_same_list() {
    let image = Digest::of("image");
    let (one, two) = (manifest(Some(image), b"one"), manifest(Some(image), b"two"));
    let pages = [list(&[&one]), list(&[&two])];
    let server = Server::new(move |asked, _| {
        if asked.path.contains("/referrers/") {
            let second = asked.path.ends_with("?last=1");
            let mut page = body(pages[usize::from(second)].clone());
            if !second {
                let link = "<https://elsewhere.example/v2/x?last=1>; rel=\"next\"";
                page.headers_mut().insert("link", link.parse().unwrap());
            }
            return page;
        }
        let known = [&one, &two].into_iter().find(|it| asked.path.ends_with(&Digest::of(it).to_string()));
        let blob = [&b"one"[..], b"two"].into_iter().find(|it| asked.path.ends_with(&Digest::of(it).to_string()));
        known.cloned().or(blob.map(<[u8]>::to_vec)).map_or_else(|| status(404), body)
    })
    .await;
    let client = client(Registries::default(), &[&server], fast());
    assert_eq!(parts(&client, &server.host, image).await, ["one", "two"]);
}

#[tokio::test]
async fn a_list_without_end_is_left_and_says_so() {
    let image = Digest::of("image");
    let server = Server::new(move |asked, _| {
        if asked.path.contains("/referrers/") {
            let mut page = body(list(&[]));
            page.headers_mut().insert("link", "</v2/x?again>; rel=\"next\"".parse().unwrap());
            return page;
        }
        status(404)
    })
    .await;
    let client = client(Registries::default(), &[&server], fast());
    assert!(read(&client, &server.host, image).await.unwrap().left_out.is_some());
    assert_eq!(server.asked().iter().filter(|asked| asked.path.contains("/referrers/")).count(), 8);
}

#[tokio::test]
async fn a_registry_that_fails_is_not_taken_for_one_without_attachments() {
    let image = Digest::of("image");
    let part = manifest(Some(image), b"part");
    // The list; then what it names; then the part, which is another one.
    for failing in ["/referrers/", "/manifests/", "/blobs/"] {
        let part = part.clone();
        let server = Server::new(move |asked, _| {
            if asked.path.contains(failing) {
                return if failing == "/blobs/" { body("trap") } else { status(500) };
            }
            if asked.path.contains("/referrers/") {
                return body(list(&[&part]));
            }
            if asked.path.ends_with(&Digest::of(&part).to_string()) { body(part.clone()) } else { status(404) }
        })
        .await;
        let client = client(Registries::default(), &[&server], fast());
        assert!(read(&client, &server.host, image).await.is_err(), "{failing}");
    }
}

#[tokio::test]
async fn one_attachment_that_is_too_long_is_left_out_and_spoils_no_other() {
    let image = Digest::of("image");
    // It says that it has fewer bytes than come.
    let long = json!({"schemaVersion": 2, "layers": [{"mediaType": KIND, "digest": Digest::of("longer"), "size": 2}],
        "subject": {"mediaType": MANIFEST, "digest": image, "size": 1}});
    let (long, own) = (long.to_string().into_bytes(), manifest(Some(image), b"own"));
    let listed = list(&[&long, &own]);
    let server = Server::new(move |asked, _| {
        if asked.path.contains("/referrers/") {
            return body(listed.clone());
        }
        let is = |bytes: &[u8]| asked.path.ends_with(&Digest::of(bytes).to_string());
        let known = [&long[..], &own, b"longer", b"own"].into_iter().find(|bytes| is(bytes));
        known.map_or_else(|| status(404), |bytes| body(bytes.to_vec()))
    })
    .await;
    let client = client(Registries::default(), &[&server], fast());
    let found = read(&client, &server.host, image).await.unwrap();
    assert_eq!(found.parts.iter().map(|part| part.bytes.as_slice()).collect::<Vec<_>>(), [b"own"]);
    let said = found.left_out.unwrap();
    assert!(said.starts_with(&format!("the blob {} is left out: ", Digest::of("longer"))), "{said}");
}

#[tokio::test]
async fn only_indexes_that_list_the_image_count() {
    let image = Digest::of("image");
    let index = |others: &[Digest]| {
        let entries: Vec<_> = others.iter().map(|digest| json!({"digest": digest, "size": 1})).collect();
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string().into_bytes()
    };
    let strangers: Vec<Vec<u8>> = (0..6_u8).map(|n| index(&[Digest::of([n])])).collect();
    let own = [index(&[image]), index(&[image, Digest::of("arm")]), index(&[image, image])];
    let others: Vec<Digest> = strangers.iter().chain(&own).map(Digest::of).collect();
    let all: Vec<Vec<u8>> = strangers.into_iter().chain(own).collect();
    let server = Server::new(move |asked, _| {
        let known = all.iter().find(|bytes| asked.path.ends_with(&Digest::of(bytes).to_string()));
        known.cloned().map_or_else(|| status(404), body)
    })
    .await;
    let (client, place) = (client(Registries::default(), &[&server], fast()), place(&server.host));
    let repository = client.repository(&place, &Keyring::anonymous()).unwrap();
    let found = repository.kin_of(image, &others, 2).await.unwrap().indexes;
    let expected = [Listing { digest: others[6], alone: true }, Listing { digest: others[7], alone: false }];
    assert_eq!(found, expected, "the third is one too many");
}
