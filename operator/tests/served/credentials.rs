//! Credentials for registries that whoever starts the operator has already.

use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, Response, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::images::Blobs;
use crate::running::Operator;

const FEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/feeds");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_of_docker_is_found_without_a_flag() {
    let allowed = format!("Basic {}", STANDARD.encode("reader:geheim"));
    let answer = move |uri: Uri, headers: HeaderMap| {
        let lets_in = headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes() == allowed.as_bytes());
        async move {
            if !lets_in {
                let refusal = Response::builder().status(401).header("www-authenticate", "Basic realm=\"x\"");
                return refusal.body(axum::body::Body::empty()).unwrap();
            }
            let mut blobs = Blobs::default();
            blobs.image("tag-1");
            blobs.answer(uri.path())
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let registry = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });

    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir(data.path().join("docker")).unwrap();
    let config = json!({"auths": {&host: {"username": "reader", "password": "geheim"}}}).to_string();
    std::fs::write(data.path().join("docker/config.json"), config).unwrap();
    let flags = ["--allow-anonymous", "--feeds", FEEDS, "--insecure-registry", &host];
    let operator = tokio::task::block_in_place(|| Operator::start(data.path(), &flags));
    let request = json!({"image": {"reference": format!("{host}/team/app:tag-1")}});
    let asked = operator.request(Method::POST, "/api/v1/scans").json(&request).send().await.unwrap();
    let location = asked.json::<Value>().await.unwrap()["location"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    loop {
        let state = operator.request(Method::GET, &location).send().await.unwrap().json::<Value>().await.unwrap();
        if state["status"] == "Succeeded" {
            break;
        }
        assert!(state["status"] != "Failed" && begun.elapsed() < Duration::from_secs(30), "{state}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!operator.log().contains("geheim"));
    registry.abort();
}
