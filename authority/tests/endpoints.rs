//! The authority over HTTP, from the first start on.

#[path = "support/mod.rs"]
mod support;

use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use stella_authority::audit::{Place, verify_files};
use stella_authority::remote::Asking;
use stella_authority::scope::{Need, Scope};
use stella_authority::secret::Hashing;
use stella_authority::settings::{AccountRule, Settings};
use stella_authority::tenants::Tenants;
use stella_authority::{Caller, Refusal, revocation};
use support::World;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

async fn authenticate(world: &World, authorization: &str) -> Result<Caller, Refusal> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", authorization.parse().unwrap());
    let asking = Asking { headers: &headers, method: "GET", path: "/policy/export", peer: None };
    world.authority.authorize(asking, Some(Need::Scope(Scope::PolicyRead)), world.authority.now()).await
}

async fn client(world: &World, id: &str, scopes: &[&str]) -> String {
    let admin = world.admin().await;
    let body = json!({"id": id, "scopes": scopes, "tenants": ["acme"], "maxScansPerDay": 7});
    let made = world.call("POST", "/api/v1/admin/clients", &admin, Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    made.text("secret")
}

#[tokio::test]
async fn a_client_gets_a_token_by_form_and_by_basic() {
    let world = World::new(Settings::default()).await;
    let secret = client(&world, "ci", &["stella.api"]).await;
    let form = [("grant_type", "client_credentials"), ("client_id", "ci"), ("client_secret", &secret)];
    let answer = world.ask(&form, &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.body["token_type"], "Bearer");
    assert_eq!(answer.body["expires_in"], 3600);
    assert_eq!(answer.body["scope"], "stella.api");
    let token = answer.text("access_token");
    assert_eq!(claims(&token)["tenants"], json!(["acme"]));
    assert_eq!(claims(&token)["maxScansPerDay"], 7);

    let caller = authenticate(&world, &format!("Bearer {token}")).await.unwrap();
    assert_eq!((caller.subject.as_str(), caller.max_scans_per_day), ("ci", Some(7)));
    assert_eq!(caller.tenant(None).unwrap().as_str(), "acme");
    assert!(caller.tenant("other".parse().ok()).is_err());

    let basic = format!("Basic {}", STANDARD.encode(format!("ci:{secret}")));
    let form = [("grant_type", "client_credentials"), ("scope", "scanner.scans.read")];
    let answer = world.ask(&form, &[("authorization", &basic)]).await;
    assert_eq!(answer.body["scope"], "scanner.scans.read");
    let refusal = authenticate(&world, &format!("Bearer {}", answer.text("access_token"))).await.unwrap_err();
    assert_eq!(refusal, Refusal::Scope(Scope::PolicyRead));

    world.pass(3606);
    let expired = authenticate(&world, &format!("Bearer {token}")).await.unwrap_err();
    assert_eq!(expired.to_string(), "the token is not valid: the token expired");
    assert!(expired.challenges()[1].contains("algs=\"ES256 EdDSA RS256\""));
}

#[tokio::test]
async fn errors_are_those_of_the_rfc() {
    let world = World::new(Settings::default()).await;
    let secret = client(&world, "ci", &["policy.read"]).await;
    let good = [("grant_type", "client_credentials"), ("client_id", "ci"), ("client_secret", secret.as_str())];
    let with = |name: &'static str, value: &'static str| {
        let mut form: Vec<(&str, &str)> = good.iter().copied().filter(|(other, _)| *other != name).collect();
        form.push((name, value));
        form
    };
    for (form, status, error) in [
        (with("grant_type", "authorization_code"), 400, "unsupported_grant_type"),
        (with("grant_type", ""), 400, "invalid_request"),
        (with("client_secret", "wrong"), 401, "invalid_client"),
        (with("client_id", "nobody"), 401, "invalid_client"),
        (with("client_id", ""), 401, "invalid_client"),
        (with("scope", "policy.write"), 400, "invalid_scope"),
        (with("scope", "openid"), 400, "invalid_scope"),
        (with("scope", "stella.admin"), 400, "invalid_scope"),
        (with("grant_type", "password"), 400, "invalid_request"),
        (with("grant_type", "refresh_token"), 400, "invalid_request"),
    ] {
        let answer = world.ask(&form, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.text("error").as_str()), (status, error), "{form:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("www-authenticate").starts_with("Basic"), status == 401);
    }
    let basic = format!("Basic {}", STANDARD.encode(format!("ci:{secret}")));
    assert_eq!(world.ask(&good, &[("authorization", &basic)]).await.text("error"), "invalid_request");
    let request = Request::post("/connect/token").header("content-type", "application/json").body(Body::from("{}"));
    assert_eq!(world.send(request.unwrap()).await.text("error"), "invalid_request");
}

#[tokio::test]
async fn a_user_logs_in_and_a_refresh_token_is_good_once() {
    let world = World::new(Settings::default()).await;
    let secret = client(&world, "web", &["stella.api"]).await;
    let admin = world.admin().await;
    let weak = json!({"name": "ann", "role": "viewer", "password": "short"});
    let answer = world.call("POST", "/api/v1/admin/users", &admin, Some(weak)).await;
    assert_eq!((answer.status.as_u16(), answer.body["errors"][0]["path"].as_str()), (400, Some("$.password")));
    let user = json!({"name": "ann", "role": "viewer", "password": "Correct-horse7", "tenants": ["acme", "b"]});
    assert_eq!(world.call("POST", "/api/v1/admin/users", &admin, Some(user.clone())).await.status, 201);
    assert_eq!(world.call("POST", "/api/v1/admin/users", &admin, Some(user)).await.status, 409);

    let client = [("client_id", "web"), ("client_secret", secret.as_str())];
    let login = |password: &'static str| {
        [&client[..], &[("grant_type", "password"), ("username", "ann"), ("password", password)]].concat()
    };
    assert_eq!(world.ask(&login("wrong"), &[]).await.text("error"), "invalid_grant");
    let first = world.ask(&login("Correct-horse7"), &[]).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert!(first.text("scope").contains("policy.read") && !first.text("scope").contains("stella.api"));
    let token = format!("Bearer {}", first.text("access_token"));
    assert_eq!(claims(&first.text("access_token"))["tenants"], json!(["acme"]), "those that user and client share");
    authenticate(&world, &token).await.unwrap();

    let old = first.text("refresh_token");
    let refresh = async |token: &str, scope: Option<&str>| {
        let mut form = [&client[..], &[("grant_type", "refresh_token"), ("refresh_token", token)]].concat();
        form.extend(scope.map(|scope| ("scope", scope)));
        world.ask(&form, &[]).await
    };
    let second = refresh(&old, Some("policy.read")).await;
    assert_eq!((second.status.as_u16(), second.text("scope").as_str()), (200, "policy.read"));
    let newer = second.text("refresh_token");
    assert_ne!(newer, old);

    assert_eq!(refresh(&old, None).await.text("error"), "invalid_grant", "a second use");
    assert_eq!(refresh(&newer, None).await.text("error"), "invalid_grant", "ended with its family");
    world.pass(3);
    let refusal = authenticate(&world, &token).await.unwrap_err();
    assert_eq!(refusal.to_string(), "the token is not valid: it was revoked");
    assert!(world.audit().contains("refresh-reused"));

    let again = world.ask(&login("Correct-horse7"), &[]).await;
    world.pass(1);
    assert_eq!(
        world.call("PATCH", "/api/v1/admin/users/ann", &admin, Some(json!({"disabled": true}))).await.status,
        200
    );
    assert!(authenticate(&world, &format!("Bearer {}", again.text("access_token"))).await.is_err());
    assert_eq!(refresh(&again.text("refresh_token"), None).await.text("error"), "invalid_grant");
    assert_eq!(world.ask(&login("Correct-horse7"), &[]).await.text("error"), "invalid_grant");
}

#[tokio::test]
async fn service_accounts_log_in_by_rule() {
    let rule = AccountRule {
        account: "stella-system/*".to_owned(),
        scopes: [Scope::RuntimeIngest, Scope::ScansEnqueue].into_iter().collect(),
        tenants: Tenants::All,
    };
    let world = World::new(Settings { service_accounts: vec![rule], ..Settings::default() }).await;
    let ask = async |token: &str| world.ask(&[("grant_type", JWT_BEARER), ("assertion", token)], &[]).await;
    let answer = ask("token-of-the-agent").await;
    assert_eq!(answer.body["scope"], "scanner.runtime.ingest scanner.scans.enqueue");
    let token = claims(&answer.text("access_token"));
    assert_eq!(
        (token["sub"].as_str(), &token["tenants"]),
        (Some("system:serviceaccount:stella-system:zastava"), &json!(["*"]))
    );
    assert_eq!(ask("token-of-a-stranger").await.text("error"), "invalid_grant");
    assert_eq!(ask("something").await.text("error"), "invalid_grant");
    assert_eq!(ask("token-when-nobody-answers").await.status, 503);
}

#[tokio::test]
async fn repeated_failures_lock_known_and_unknown_names_alike() {
    let world = World::new(Settings::default()).await;
    let secret = client(&world, "ci", &["policy.read"]).await;
    let ask = async |id: &str, secret: &str| {
        world.ask(&[("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)], &[]).await
    };
    let mut seen = Vec::new();
    for id in ["ci", "nobody"] {
        for _ in 0..4 {
            assert_eq!(ask(id, "wrong").await.header("retry-after"), "");
        }
        let locked = ask(id, "wrong").await;
        assert_eq!((locked.status.as_u16(), locked.header("retry-after")), (401, "10"));
        seen.push(locked.body);
    }
    assert_eq!(seen[0], seen[1]);
    let locked = ask("ci", &secret).await;
    assert_eq!(locked.status, 401, "the right secret while locked");
    world.pass(11);
    assert_eq!(ask("ci", &secret).await.status, 200);
}

#[tokio::test]
async fn unknown_clients_take_as_long_as_wrong_secrets() {
    let world = World::hashing(Settings::default(), Hashing::default()).await;
    client(&world, "ci", &["policy.read"]).await;
    let mut took = [Vec::new(), Vec::new()];
    for round in 0..60 {
        for (kind, id) in ["ci", &format!("nobody-{round}")].into_iter().enumerate() {
            let started = Instant::now();
            let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", "wrong")];
            world.ask(&form, &[]).await;
            took[kind].push(started.elapsed());
        }
    }
    let median = |times: &mut Vec<std::time::Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    };
    let [known, unknown] = took.each_mut().map(median);
    println!("median: wrong secret {:.2} ms, unknown client {:.2} ms", known * 1e3, unknown * 1e3);
    assert!((known / unknown - 1.0).abs() < 0.5, "wrong secret {known}, unknown client {unknown}");
}

#[tokio::test]
async fn offline_tokens_are_made_by_administrators_and_name_their_quota() {
    let world = World::new(Settings::default()).await;
    let admin = world.admin().await;
    let made = world.call("POST", "/token/offline", &admin, None).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let token = claims(&made.text("jwt"));
    assert_eq!(token["exp"].as_i64().unwrap() - token["iat"].as_i64().unwrap(), 30 * 86_400);
    assert_eq!(token["maxScansPerDay"], 1000);
    let ask = async |body: Value| world.call("POST", "/token/offline", &admin, Some(body)).await;
    assert_eq!(claims(&ask(json!({"expiresDays": 90, "maxScansPerDay": 5})).await.text("jwt"))["maxScansPerDay"], 5);
    for days in [0, 91, -1] {
        let wrong = ask(json!({"expiresDays": days})).await;
        assert_eq!((wrong.status.as_u16(), wrong.body["errors"][0]["path"].as_str()), (400, Some("$.expiresDays")));
    }
    let secret = client(&world, "ci", &["stella.api"]).await;
    let form = [("grant_type", "client_credentials"), ("client_id", "ci"), ("client_secret", secret.as_str())];
    let token = world.ask(&form, &[]).await.text("access_token");
    let refused = world.call("POST", "/token/offline", &token, None).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.body["detail"], "the scope stella.admin is needed");
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert!(refused.header("www-authenticate").contains("scope=\"stella.admin\""));
}

#[tokio::test]
async fn keys_rotate_by_the_bootstrap_key_and_old_tokens_stay_good() {
    let world = World::new(Settings::default()).await;
    let secret = client(&world, "ci", &["stella.api"]).await;
    let form = [("grant_type", "client_credentials"), ("client_id", "ci"), ("client_secret", secret.as_str())];
    let old = world.ask(&form, &[]).await.text("access_token");
    let rotate = async |key: &str, body: Value| {
        let request = Request::post("/internal/signing/rotate")
            .header("x-stellaops-bootstrap-key", key)
            .header("content-type", "application/json");
        world.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    assert_eq!(rotate("wrong", json!({})).await.status, 401);
    assert_eq!(rotate("", json!({})).await.status, 401);
    let next = rotate(&world.bootstrap_key, json!({"keyId": "autumn", "algorithm": "EdDSA"})).await;
    assert_eq!((next.status.as_u16(), next.text("keyId").as_str()), (200, "autumn"));
    let new = world.ask(&form, &[]).await.text("access_token");
    let jwks = world.send(Request::get("/jwks").body(Body::empty()).unwrap()).await.body;
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 2);
    assert_eq!(jwks["keys"][0]["alg"], "EdDSA");
    for token in [&old, &new] {
        authenticate(&world, &format!("Bearer {token}")).await.unwrap();
    }
    let wrong = rotate(&world.bootstrap_key, json!({"location": "/nowhere.pem", "source": "file"})).await;
    assert_eq!((wrong.status.as_u16(), wrong.body["errors"][0]["path"].as_str()), (400, Some("$.location")));
    world.pass(91 * 86_400);
    let refusal = authenticate(&world, &format!("Bearer {old}")).await.unwrap_err().to_string();
    assert!(refusal.contains("is not known"), "what was accepted before has no key any more: {refusal}");
}

#[tokio::test]
async fn a_token_that_was_accepted_is_looked_at_again_each_time() {
    let world = World::new(Settings::default()).await;
    let secret = client(&world, "ci", &["stella.api"]).await;
    let form = [("grant_type", "client_credentials"), ("client_id", "ci"), ("client_secret", secret.as_str())];
    let token = world.ask(&form, &[]).await.text("access_token");
    let shown = async |token: &str| authenticate(&world, &format!("Bearer {token}")).await;
    shown(&token).await.unwrap();
    shown(&token).await.unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let refusal = shown(&format!("{signed}.{other}{}", &signature[1..])).await.unwrap_err().to_string();
    assert!(refusal.contains("its signature is wrong"), "{refusal}");
    world.pass(3700);
    let refusal = shown(&token).await.unwrap_err().to_string();
    assert!(refusal.contains("expired"), "{refusal}");
}

#[tokio::test]
async fn revocations_are_exported_signed_and_the_same_bytes_each_time() {
    let world = World::new(Settings::default()).await;
    client(&world, "ci", &["stella.api"]).await;
    let admin = world.admin().await;
    let body = Some(json!({"disabled": true}));
    assert_eq!(world.call("PATCH", "/api/v1/admin/clients/ci", &admin, body).await.status, 200);
    let export = async || {
        let request =
            Request::get("/internal/revocations/export").header("x-stellaops-bootstrap-key", &world.bootstrap_key);
        world.send(request.body(Body::empty()).unwrap()).await
    };
    let first = export().await;
    assert_eq!(first.status, 200, "{}", first.body);
    world.pass(60);
    assert_eq!(export().await.body["bundle"], first.body["bundle"]);
    let bundle = STANDARD.decode(first.text("bundle")).unwrap();
    let parsed: Value = serde_json::from_slice(&bundle).unwrap();
    assert_eq!(parsed["revocations"][0]["id"], "ci");
    assert_eq!(stella_domain::Digest::of(&bundle).hex(), first.text("sha256"));
    let jwks = world.send(Request::get("/jwks").body(Body::empty()).unwrap()).await.body;
    revocation::verify(&bundle, &first.text("jws"), &jwks).unwrap();
    let mut changed = bundle.clone();
    changed[10] ^= 1;
    assert!(revocation::verify(&changed, &first.text("jws"), &jwks).is_err());
}

#[tokio::test]
async fn networks_and_the_fallback_let_in_without_a_token_and_are_logged() {
    let settings = Settings { bypass_networks: vec!["192.0.2.0/24".parse().unwrap()], ..Settings::default() };
    let world = World::new(settings).await;
    let headers = HeaderMap::new();
    let from =
        |peer: &str| Asking { headers: &headers, method: "GET", path: "/policy/export", peer: peer.parse().ok() };
    let now = world.authority.now();
    let caller = world.authority.authenticate(from("192.0.2.7"), now).await.unwrap();
    assert_eq!(caller.subject, "network:192.0.2.7");
    assert_eq!(world.authority.authenticate(from("198.51.100.1"), now).await, Err(Refusal::Missing));
    assert!(world.audit().contains("network:192.0.2.7"));
    let open = World::new(Settings { allow_anonymous_fallback: true, ..Settings::default() }).await;
    assert_eq!(open.authority.authenticate(from("198.51.100.1"), now).await.unwrap().subject, "anonymous");
    assert!(authenticate(&open, "Bearer nonsense").await.is_err(), "a wrong token is not nobody");
}

#[tokio::test]
async fn tokens_that_are_not_ours_or_not_access_tokens_are_refused() {
    let (world, other) = (World::new(Settings::default()).await, World::new(Settings::default()).await);
    let foreign = other.admin().await;
    assert!(authenticate(&world, &format!("Bearer {foreign}")).await.is_err());
    let mine = world.admin().await;
    for odd in [
        format!("Bearer {mine}x"),
        format!("DPoP {mine}"),
        format!("Basic {mine}"),
        "Bearer".to_owned(),
        format!("Bearer {mine} x"),
    ] {
        assert!(authenticate(&world, &odd).await.is_err(), "{odd}");
    }
}

#[tokio::test]
async fn every_event_stands_in_the_log_and_no_secret_does() {
    let world = World::new(Settings::default()).await;
    let secret = client(&world, "ci", &["policy.read"]).await;
    let form = [("grant_type", "client_credentials"), ("client_id", "ci"), ("client_secret", secret.as_str())];
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    world.ask(&form, &[("traceparent", trace)]).await;
    world.ask(&[("grant_type", "client_credentials"), ("client_id", "ci"), ("client_secret", "guess")], &[]).await;
    let log = world.audit();
    let last: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [granted, refused] = &last[last.len() - 2..] else { panic!("{log}") };
    assert_eq!((granted["client"].as_str(), granted["outcome"].as_str()), (Some("ci"), Some("success")));
    assert_eq!((&granted["scopes"], granted["trace"].as_str()), (&json!(["policy.read"]), Some(trace)));
    assert_eq!(refused["outcome"], "refused");
    for hidden in [secret.as_str(), "guess", &world.admin_secret, &world.bootstrap_key] {
        assert!(!log.contains(hidden));
    }
    let place = Place::new(world.folder.path().join("audit"));
    verify_files(&place.files().unwrap(), place.kept_head().as_ref()).unwrap();
}
