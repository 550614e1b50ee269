//! Servers that lie, flood, stall and lead in circles.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;
use stella_domain::Digest;
use stella_registry::credentials::{DockerConfig, Keyring};
use stella_registry::{Limits, PullError, Registries};

#[tokio::test]
async fn a_lie_about_a_digest_is_found_in_every_kind_of_document() {
    let sample = Sample::new();
    for (what, word) in [
        (format!("blobs/{}", Digest::of(&sample.layers[1])), "layer sha256:"),
        (format!("blobs/{}", Digest::of(&sample.config)), "the configuration sha256:"),
        (format!("manifests/{}", Digest::of(&sample.manifest)), "the manifest sha256:"),
    ] {
        let mut lie = sample.paths()[&what].clone();
        let middle = lie.len() / 2;
        lie[middle] ^= 1;
        let path = what.clone();
        let server =
            Server::with(&sample, move |asked, _| asked.path.ends_with(&path).then(|| body(lie.clone()))).await;
        let error = pull_plain(&server).await.unwrap_err().to_string();
        assert!(error.contains(word) && error.contains(&server.host) && error.contains("in place of"), "{error}");
        assert_eq!(server.asked_for(&what).len(), 1);
    }
}

#[tokio::test]
async fn a_tag_whose_header_names_another_digest_is_refused() {
    let sample = Sample::new();
    let index = sample.index.clone();
    let server = Server::with(&sample, move |asked, _| {
        asked.path.ends_with("manifests/1").then(|| {
            let mut response = body(index.clone());
            let other = Digest::of("another").to_string();
            response.headers_mut().insert("docker-content-digest", other.parse().unwrap());
            response
        })
    })
    .await;
    let error = pull_plain(&server).await.unwrap_err().to_string();
    assert!(error.contains("the manifest 1") && error.contains("in place of"), "{error}");
}

#[tokio::test]
async fn bodies_without_end_are_left_at_once() {
    let sample = Sample::new();
    for path in [sample.large(), "manifests/1".to_owned()] {
        let sent = Arc::new(AtomicUsize::new(0));
        let (counted, ours) = (Arc::clone(&sent), path.clone());
        let server =
            Server::with(&sample, move |asked, _| asked.path.ends_with(&ours).then(|| endless(&counted))).await;
        let limits = Limits { document_bytes: 100_000, ..fast() };
        let client = client(Registries::default(), &[&server], limits);
        let error = pull(&client, &server.host, &Keyring::anonymous()).await.unwrap_err().to_string();
        assert!(error.contains("more than") && error.contains(&server.host), "{error}");
        assert_eq!(server.asked_for(&path).len(), 1);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let sent = sent.load(Ordering::Relaxed);
        assert!(sent < 20 << 20, "{sent} bytes were taken or buffered");
    }
}

#[tokio::test]
async fn an_announced_length_that_is_too_long_is_not_even_begun() {
    let sample = Sample::new();
    let (large, mut longer) = (sample.large(), sample.layers[1].clone());
    longer.push(0);
    let path = large.clone();
    let server = Server::with(&sample, move |asked, _| asked.path.ends_with(&path).then(|| body(longer.clone()))).await;
    let error = pull_plain(&server).await.unwrap_err().to_string();
    assert!(error.contains(&format!("more than {} bytes", sample.layers[1].len())), "{error}");
    assert_eq!(server.asked_for(&large).len(), 1);
}

#[tokio::test]
async fn sizes_over_the_limit_are_refused_before_anything_is_fetched() {
    let sample = Sample::new();
    for limits in [Limits { blob_bytes: 100_000, ..fast() }, Limits { total_bytes: 300_000, ..fast() }] {
        let server = Server::with(&sample, |_, _| None).await;
        let client = client(Registries::default(), &[&server], limits);
        let error = pull(&client, &server.host, &Keyring::anonymous()).await.unwrap_err();
        assert!(matches!(error, PullError::TooLarge { .. }), "{error}");
        assert!(server.asked_for(&sample.large()).is_empty());
    }
}

#[tokio::test]
async fn what_is_received_again_counts_against_the_total() {
    let sample = Sample::new();
    let (large, bytes) = (sample.large(), sample.layers[1].clone());
    // The range is never kept to, so each attempt begins at the beginning.
    let server =
        Server::with(&sample, move |asked, _| asked.path.ends_with(&large).then(|| cut(&bytes, 0, 290_000))).await;
    let client = client(Registries::default(), &[&server], Limits { total_bytes: 500_000, ..fast() });
    let error = pull(&client, &server.host, &Keyring::anonymous()).await.unwrap_err().to_string();
    assert!(error.contains("more than 500000 bytes"), "{error}");
    assert_eq!(server.asked_for(&sample.large()).len(), 2);
}

#[tokio::test]
async fn a_server_that_stalls_is_left() {
    let sample = Sample::new();
    let large = sample.large();
    let server = Server::with(&sample, move |asked, _| {
        asked.path.ends_with(&large).then(|| {
            axum::response::Response::new(axum::body::Body::from_stream(futures::stream::pending::<
                Result<bytes::Bytes, std::io::Error>,
            >()))
        })
    })
    .await;
    let limits = Limits { attempts: 2, ..fast() };
    let client = client(Registries::default(), &[&server], limits);
    let start = Instant::now();
    let error = pull(&client, &server.host, &Keyring::anonymous()).await.unwrap_err().to_string();
    assert!(error.contains("no answer within"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_layer_in_droplets_ends_with_the_time_of_the_image() {
    let sample = Sample::new();
    let large = sample.large();
    let server = Server::with(&sample, move |asked, _| {
        asked.path.ends_with(&large).then(|| {
            let drops = futures::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Some((Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"x")), ()))
            });
            axum::response::Response::new(axum::body::Body::from_stream(drops))
        })
    })
    .await;
    let client = client(Registries::default(), &[&server], Limits { image: Duration::from_secs(1), ..fast() });
    let error = pull(&client, &server.host, &Keyring::anonymous()).await.unwrap_err();
    assert!(matches!(error, PullError::TooSlow { seconds: 1, .. }), "{error}");
}

#[tokio::test]
async fn indexes_within_indexes_end() {
    let server = Server::new(|_, _| body(r#"{"manifests":[]}"#)).await;
    let error = pull_plain(&server).await.unwrap_err().to_string();
    assert!(error.contains("no image for linux/amd64"), "{error}");

    // A chain that is honest and long.
    let mut documents = vec![Sample::new().manifest];
    for _ in 0..10 {
        let inner = documents.last().unwrap();
        let entry = serde_json::json!({"digest": Digest::of(inner), "size": inner.len()});
        documents.push(serde_json::json!({"manifests": [entry]}).to_string().into_bytes());
    }
    let outermost = documents.last().unwrap().clone();
    let server = Server::new(move |asked, _| {
        let found = documents.iter().find(|bytes| asked.path.ends_with(&Digest::of(bytes).to_string()));
        body(found.unwrap_or(&outermost).clone())
    })
    .await;
    let error = pull_plain(&server).await.unwrap_err();
    assert!(matches!(error, PullError::Nesting { max: 4, .. }), "{error}");
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_host() {
    let sample = Sample::new();
    let bytes = sample.layers[1].clone();
    let store = Server::new(move |_, _| body(bytes.clone())).await;
    let (large, target) = (sample.large(), format!("http://{}/bucket/layer?X-Signature=geheim", store.host));
    let registry = Server::with(&sample, move |asked, _| match &asked.authorization {
        None => Some(with_header(401, "www-authenticate", "Basic realm=\"x\"")),
        Some(_) => asked.path.ends_with(&large).then(|| with_header(307, "location", &target)),
    })
    .await;
    let client = client(Registries::default(), &[&registry, &store], fast());
    let keyring = keyring(&[(&registry.host, "user"), (&store.host, "other")]);
    let (_, folder) = pull(&client, &registry.host, &keyring).await.unwrap();
    check(&sample, &folder);
    assert_eq!(store.asked().len(), 1);
    assert_eq!(store.asked()[0].authorization, None);
    assert!(registry.asked_for(&sample.large()).iter().all(|asked| asked.authorization.is_some()));
}

#[tokio::test]
async fn another_host_cannot_ask_for_credentials() {
    let sample = Sample::new();
    let thief = Server::new(|_, _| with_header(401, "www-authenticate", "Basic realm=\"give\"")).await;
    let (large, target) = (sample.large(), format!("http://{}/layer", thief.host));
    let registry = Server::with(&sample, move |asked, _| {
        asked.path.ends_with(&large).then(|| with_header(302, "location", &target))
    })
    .await;
    let client = client(Registries::default(), &[&registry, &thief], fast());
    let keyring = keyring(&[(&registry.host, "user"), (&thief.host, "other")]);
    let error = pull(&client, &registry.host, &keyring).await.unwrap_err().to_string();
    assert!(error.contains("HTTP 401"), "{error}");
    assert_eq!(thief.asked().len(), 1);
    assert_eq!(thief.asked()[0].authorization, None);
}

#[tokio::test]
async fn redirects_end_and_lead_nowhere_but_to_http() {
    let sample = Sample::new();
    for (target, word, requests) in [
        ("", "too many", 6),
        ("file:///etc/passwd", "other than HTTP", 1),
        ("http://user:geheim@127.0.0.1:9/", "brings credentials", 1),
        ("http://[", "not a URL", 1),
    ] {
        let large = sample.large();
        let server = Server::with(&sample, move |asked, _| {
            let target = if target.is_empty() { asked.path.as_str() } else { target };
            asked.path.ends_with(&large).then(|| with_header(302, "location", target))
        })
        .await;
        let error = pull_plain(&server).await.unwrap_err().to_string();
        assert!(error.contains("redirect refused") && error.contains(word), "{error}");
        assert!(!error.contains("geheim"), "{error}");
        assert_eq!(server.asked_for(&sample.large()).len(), requests, "{target}");
    }
}

#[tokio::test]
async fn errors_never_show_a_signed_url() {
    let sample = Sample::new();
    let large = sample.large();
    let server = Server::with(&sample, move |asked, _| {
        asked.path.ends_with(&large).then(|| with_header(307, "location", "http://127.0.0.1:1/x?signature=geheim"))
    })
    .await;
    let error = pull_plain(&server).await.unwrap_err();
    assert!(error.to_string().contains("no answer"), "{error}");
    assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
}

/// A registry whose token service is at `realm` of another server.
async fn with_tokens(realm: String) -> Server {
    Server::with(&Sample::new(), move |asked, _| match asked.authorization.as_deref() {
        Some("Bearer good") => None,
        _ => {
            let challenge = format!("Bearer realm=\"{realm}\",service=\"s\",scope=\"repository:team/app:pull\"");
            Some(with_header(401, "www-authenticate", &challenge))
        }
    })
    .await
}

#[tokio::test]
async fn token_services_that_lead_in_circles_are_left() {
    let circle = Server::new(|asked, _| with_header(307, "location", &format!("{}&again", asked.path))).await;
    let registry = with_tokens(format!("http://{}/token", circle.host)).await;
    let client_ = client(Registries::default(), &[&registry, &circle], fast());
    let keyring_ = keyring(&[(&registry.host, "user")]);
    let error = pull(&client_, &registry.host, &keyring_).await.unwrap_err().to_string();
    assert!(error.contains("too many"), "{error}");
    assert_eq!((registry.asked().len(), circle.asked().len()), (1, 6));

    // Always a new token, and never a good one.
    let generous = Server::new(|_, _| body(r#"{"token":"bad"}"#)).await;
    let registry = with_tokens(format!("http://{}/token", generous.host)).await;
    let client_ = client(Registries::default(), &[&registry, &generous], fast());
    for keyring_ in [Keyring::anonymous(), keyring(&[(&registry.host, "user")])] {
        let before = registry.asked().len();
        let error = pull(&client_, &registry.host, &keyring_).await.unwrap_err().to_string();
        assert!(error.contains("not let in"), "{error}");
        assert_eq!(registry.asked().len() - before, 2);
    }
}

#[tokio::test]
async fn a_token_service_may_answer_anything() {
    for (answer, word) in [
        ("geheim", "not the JSON"),
        ("{}", "without a token"),
        (r#"{"token":"geheim\n"}"#, "fits into no header"),
        (r#"{"token":["geheim"]}"#, "not the JSON"),
    ] {
        let service = Server::new(move |_, _| body(answer)).await;
        let registry = with_tokens(format!("http://{}/token", service.host)).await;
        let client = client(Registries::default(), &[&registry, &service], fast());
        let error = pull(&client, &registry.host, &Keyring::anonymous()).await.unwrap_err().to_string();
        assert!(error.contains(word) && error.contains(&service.host) && !error.contains("geheim"), "{error}");
    }
}

#[tokio::test]
async fn passwords_go_to_the_token_service_and_identity_tokens_are_exchanged() {
    let service = Server::new(|asked, _| match (asked.method.as_str(), asked.authorization.as_deref()) {
        ("GET", Some("Basic dXNlcjpnZWhlaW0=")) => body(r#"{"token":"good"}"#),
        ("POST", None) if asked.body.ends_with("&refresh_token=refresh%3Dgeheim") => body(r#"{"access_token":"good"}"#),
        _ => status(401),
    })
    .await;
    let registry = with_tokens(format!("http://{}/token?account=x", service.host)).await;
    let client = client(Registries::default(), &[&registry, &service], fast());
    pull(&client, &registry.host, &keyring(&[(&registry.host, "user")])).await.unwrap();
    assert_eq!(service.asked()[0].path, "/token?account=x&service=s&scope=repository%3Ateam%2Fapp%3Apull");
    assert_eq!(service.asked().len(), 1, "one token for all");

    let document = serde_json::json!({"auths": {&registry.host: {"identitytoken": "refresh=geheim"}}});
    let identity = Keyring::anonymous().with(&DockerConfig::parse(document.to_string().as_bytes()).unwrap());
    pull(&client, &registry.host, &identity).await.unwrap();
    let body = &service.asked()[1].body;
    assert!(body.starts_with("grant_type=refresh_token&client_id=stella&scope=repository%3A"), "{body}");
}

#[tokio::test]
async fn every_credential_is_tried_the_longest_path_first() {
    let sample = Sample::new();
    let registry = Server::with(&sample, |asked, _| match asked.authorization.as_deref() {
        // all:geheim
        Some("Basic YWxsOmdlaGVpbQ==") => None,
        // team:geheim
        Some("Basic dGVhbTpnZWhlaW0=") => Some(status(403)),
        _ => Some(with_header(401, "www-authenticate", "Basic realm=\"x\"")),
    })
    .await;
    let client = client(Registries::default(), &[&registry], fast());
    let team = format!("{}/team", registry.host);
    let app = format!("{}/team/app", registry.host);
    let keys = [(registry.host.as_str(), "all"), (team.as_str(), "team"), (app.as_str(), "app")];
    let (_, folder) = pull(&client, &registry.host, &keyring(&keys)).await.unwrap();
    check(&sample, &folder);
    let users: Vec<_> = registry.asked().iter().take(5).map(|asked| asked.authorization.is_some()).collect();
    assert_eq!(users, [false, true, true, false, true], "app is refused, team is forbidden, all is let in");

    let error = pull(&client, &registry.host, &keyring(&keys[1..])).await.unwrap_err();
    assert!(error.to_string().contains("not let in"), "{error}");
    assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
}

#[tokio::test]
async fn a_token_that_runs_out_on_the_way_is_renewed() {
    let sample = Sample::new();
    let service = Server::new(|_, before| body(format!(r#"{{"token":"t{before}"}}"#))).await;
    let realm = format!("http://{}/token", service.host);
    let large = sample.large();
    let registry = Server::with(&sample, move |asked, _| {
        let good = match asked.path.ends_with(&large) {
            true => asked.authorization.as_deref() == Some("Bearer t1"),
            false => asked.authorization.is_some(),
        };
        (!good).then(|| with_header(401, "www-authenticate", &format!("Bearer realm=\"{realm}\"")))
    })
    .await;
    let client = client(Registries::default(), &[&registry, &service], fast());
    let (_, folder) = pull(&client, &registry.host, &Keyring::anonymous()).await.unwrap();
    check(&sample, &folder);
    assert_eq!(service.asked().len(), 2);
}
