//! Ordinary pulls, and how servers break off, refuse and send us elsewhere.

use std::time::{Duration, Instant};

use crate::support::*;
use stella_domain::Digest;
use stella_inventory::Limits as InventoryLimits;
use stella_inventory::image::read_layers;
use stella_registry::credentials::Keyring;
use stella_registry::{PullError, Reference, Registries};

#[tokio::test]
async fn an_image_is_found_and_only_wanted_layers_are_fetched() {
    let sample = Sample::new();
    let server = Server::with(&sample, |_, _| None).await;
    let client = client(Registries::default(), &[&server], fast());
    let reference: Reference = format!("{}/team/app:1", server.host).parse().unwrap();
    let image = client.find(&reference, &"linux/amd64".parse().unwrap(), &Keyring::anonymous()).await.unwrap();
    assert_eq!(image.digest(), Digest::of(&sample.manifest));
    assert_eq!(image.digests, [Digest::of(&sample.manifest), Digest::of(&sample.index)]);
    let folder = tempfile::tempdir().unwrap();
    let first = sample.diff_ids[0];
    let blobs = image.fetch_layers(folder.path(), |diff_id| *diff_id == first).await.unwrap();
    assert!(server.asked_for(&sample.large()).is_empty());
    let limits = InventoryLimits::default();
    let layers = read_layers(&blobs, &image.manifest, &image.config, &|id| *id == first, &limits).unwrap();
    assert_eq!(layers.len(), 1);
    let by_digest = reference.with_digest(Digest::of(&sample.manifest));
    let image = client.find(&by_digest, &"linux/amd64".parse().unwrap(), &Keyring::anonymous()).await.unwrap();
    assert_eq!(image.digests, [Digest::of(&sample.manifest)]);
    let nowhere: Reference = "127.0.0.1:1/x".parse().unwrap();
    let gone = client.find(&nowhere, &"linux/amd64".parse().unwrap(), &Keyring::anonymous()).await;
    assert!(matches!(gone, Err(PullError::Failed { .. })));
}

#[tokio::test]
async fn what_a_tag_names_is_asked_for_without_pulling() {
    let sample = Sample::new();
    let index = Digest::of(&sample.index);
    let tells = Server::with(&sample, move |asked, _| {
        (asked.method == "HEAD").then(|| with_header(200, "docker-content-digest", &index.to_string()))
    })
    .await;
    let keeps_quiet = Server::with(&sample, |_, _| None).await;
    let client = client(Registries::default(), &[&tells, &keeps_quiet], fast());
    for (server, methods) in [(&tells, &["HEAD"][..]), (&keeps_quiet, &["HEAD", "GET"])] {
        let reference: Reference = format!("{}/team/app:1", server.host).parse().unwrap();
        assert_eq!(client.digest(&reference, &Keyring::anonymous()).await.unwrap(), index);
        let asked: Vec<String> = server.asked_for("/manifests/1").into_iter().map(|asked| asked.method).collect();
        assert_eq!(asked, methods);
    }
    let absent: Reference = format!("{}/team/app:2", keeps_quiet.host).parse().unwrap();
    assert!(client.digest(&absent, &Keyring::anonymous()).await.is_err());
}

#[tokio::test]
async fn a_layer_that_breaks_off_goes_on_where_it_was() {
    let sample = Sample::new();
    let (large, bytes) = (sample.large(), sample.layers[1].clone());
    let path = large.clone();
    let server = Server::with(&sample, move |asked, before| {
        let breaks = asked.path.ends_with(&path) && before < 3;
        breaks.then(|| cut(&bytes, asked.from.unwrap_or(0), 70_000))
    })
    .await;
    let (_, folder) = pull_plain(&server).await.unwrap();
    check(&sample, &folder);
    let asked = server.asked_for(&large);
    let starts: Vec<_> = asked.iter().map(|asked| asked.from).collect();
    assert_eq!(starts, [None, Some(70_000), Some(140_000), Some(210_000)]);
}

#[tokio::test]
async fn a_server_that_knows_no_ranges_starts_anew() {
    let sample = Sample::new();
    let (large, bytes) = (sample.large(), sample.layers[1].clone());
    let path = large.clone();
    let server = Server::with(&sample, move |asked, before| {
        let ours = asked.path.ends_with(&path);
        ours.then(|| if before == 0 { cut(&bytes, 0, 70_000) } else { body(bytes.clone()) })
    })
    .await;
    let (_, folder) = pull_plain(&server).await.unwrap();
    check(&sample, &folder);
    assert_eq!(server.asked_for(&large).len(), 2);
}

#[tokio::test]
async fn a_wrong_range_or_a_wrong_seam_starts_anew() {
    for wrong_seam in [false, true] {
        let sample = Sample::new();
        let (large, bytes) = (sample.large(), sample.layers[1].clone());
        let path = large.clone();
        let server = Server::with(&sample, move |asked, before| {
            let ours = asked.path.ends_with(&path);
            ours.then(|| match (before, asked.from) {
                (0, _) => cut(&bytes, 0, 70_000),
                (1, Some(from)) if wrong_seam => {
                    let mut other = bytes.clone();
                    other[from] ^= 1;
                    ranged(&other, from)
                }
                (1, Some(from)) => ranged(&bytes, from - 1),
                _ => body(bytes.clone()),
            })
        })
        .await;
        let (_, folder) = pull_plain(&server).await.unwrap();
        check(&sample, &folder);
        let starts: Vec<_> = server.asked_for(&large).iter().map(|asked| asked.from).collect();
        assert_eq!(starts, [None, Some(70_000), None], "{wrong_seam}");
    }
}

#[tokio::test]
async fn it_is_never_tried_more_often_than_allowed() {
    let sample = Sample::new();
    let (large, bytes) = (sample.large(), sample.layers[1].clone());
    let path = large.clone();
    let server =
        Server::with(&sample, move |asked, _| asked.path.ends_with(&path).then(|| cut(&bytes, 0, 70_000))).await;
    let error = pull_plain(&server).await.unwrap_err().to_string();
    assert_eq!(server.asked_for(&large).len(), 5);
    let digest = Digest::of(&sample.layers[1]).to_string();
    assert!(error.contains(&format!("layer {digest}")) && error.contains(&server.host), "{error}");
    assert!(error.contains("broke off"), "{error}");
}

#[tokio::test]
async fn a_registry_that_is_busy_is_waited_for() {
    let sample = Sample::new();
    let server = Server::with(&sample, |asked, before| match (asked.path.ends_with("manifests/1"), before) {
        (true, 0) => Some(with_header(429, "retry-after", "1")),
        (true, 1) => Some(status(503)),
        _ => None,
    })
    .await;
    let start = Instant::now();
    pull_plain(&server).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(server.asked_for("manifests/1").len(), 3);
}

#[tokio::test]
async fn what_is_not_there_is_asked_for_once() {
    let server = Server::new(|_, _| {
        let error = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"geheim"}]}"#;
        axum::response::Response::builder().status(404).body(error.into()).unwrap()
    })
    .await;
    let error = pull_plain(&server).await.unwrap_err().to_string();
    assert_eq!(server.asked().len(), 1);
    assert_eq!(error, format!("the manifest 1 of {0}/team/app:1: {0}: HTTP 404 (MANIFEST_UNKNOWN)", server.host));
}

fn mirrored(registry: &Server, mirrors: &[String]) -> Registries {
    Registries::parse(&serde_json::json!({"registries": [{"host": registry.host, "mirrors": mirrors}]}).to_string())
        .unwrap()
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_the_registry_when_it_fails() {
    let sample = Sample::new();
    let paths = sample.paths();
    let registry = Server::with(&sample, |_, _| None).await;
    let good = Server::new(move |asked, _| {
        let found = paths.iter().find(|(path, _)| asked.path == format!("/v2/hub/team/app/{path}"));
        found.map_or_else(|| status(404), |(_, bytes)| body(bytes.clone()))
    })
    .await;
    let broken = Server::new(|_, _| status(500)).await;
    let (large, mut lie) = (sample.large(), sample.layers[1].clone());
    lie[1_000] ^= 1;
    let path = large.clone();
    let lying = Server::with(&sample, move |asked, _| asked.path.ends_with(&path).then(|| body(lie.clone()))).await;
    let servers = [&registry, &good, &broken, &lying];

    let all = client(mirrored(&registry, &[format!("{}/hub", good.host)]), &servers, fast());
    let (_, folder) = pull(&all, &registry.host, &Keyring::anonymous()).await.unwrap();
    check(&sample, &folder);
    assert!(registry.asked().is_empty(), "the mirror has everything");

    let gone = "127.0.0.1:1".to_owned();
    let settings = mirrored(&registry, &[gone.clone(), broken.host.clone(), lying.host.clone()]).with_insecure(&[gone]);
    let some = client(settings, &servers, fast());
    let (_, folder) = pull(&some, &registry.host, &Keyring::anonymous()).await.unwrap();
    check(&sample, &folder);
    assert_eq!(lying.asked_for(&large).len(), 1, "a wrong digest is not asked for again");
    assert_eq!(registry.asked_for(&large).len(), 1);
    assert_eq!(registry.asked().len(), 1, "the rest came from the mirror");
}

#[tokio::test]
async fn when_all_fail_each_is_named() {
    let registry = Server::new(|_, _| status(404)).await;
    let mirror = Server::new(|_, _| status(403)).await;
    let client = client(mirrored(&registry, std::slice::from_ref(&mirror.host)), &[&registry, &mirror], fast());
    let error = pull(&client, &registry.host, &Keyring::anonymous()).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{}: HTTP 403; {}: HTTP 404", mirror.host, registry.host)), "{error}");
}
