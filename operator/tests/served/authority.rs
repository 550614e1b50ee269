//! The authority of a running operator.

use std::os::unix::fs::PermissionsExt as _;

use crate::running::Operator;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, Response};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use stella_authority::scope::{Need, need};
use stella_domain::Digest;

async fn problem(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let trace = answer.headers()["traceparent"].to_str().unwrap().to_owned();
    let body = answer.json::<Value>().await.unwrap();
    assert_eq!(
        (body["status"].as_u64(), body["traceId"].as_str()),
        (Some(status.into()), Some(trace.as_str())),
        "{body}"
    );
    (status, body)
}

/// A key of a client, which makes proofs (RFC 9449).
struct Prover(EcdsaKeyPair);

impl Prover {
    fn new() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        Self(pair.unwrap())
    }

    fn proof(&self, method: &str, url: &str, token: Option<&str>, jti: &str) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)});
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({"htm": method, "htu": url, "jti": jti, "iat": now});
        if let Some(token) = token {
            claims["ath"] = encode(Digest::of(token).as_bytes()).into();
        }
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk});
        let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(signature.as_ref()))
    }
}

#[tokio::test]
async fn the_first_start_makes_secrets_that_are_never_logged_and_the_second_none() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::start(folder.path(), &[]);
    let (secret, key) = (operator.secret("admin-secret"), operator.secret("bootstrap-key"));
    for name in ["admin-secret", "bootstrap-key", "keys/signing-es256.pem"] {
        let path = folder.path().join("authority").join(name);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        assert!(name.starts_with("keys") || operator.log().contains(name), "the log says where {name} is");
    }
    let token = operator.admin().await;
    let log = operator.log();
    assert!(![&secret, &key, &token].iter().any(|hidden| log.contains(hidden.as_str())));
    operator.kill();

    let operator = Operator::start(folder.path(), &[]);
    assert_eq!((operator.secret("admin-secret"), operator.secret("bootstrap-key")), (secret, key));
    let answer = operator.request(Method::GET, "/policy/export").bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.status(), 200, "a token outlives the process");
}

#[tokio::test]
async fn a_bound_token_needs_a_fresh_proof_of_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::start(folder.path(), &[]);
    let (prover, token_url) = (Prover::new(), format!("{}/connect/token", operator.url));
    let asked = operator
        .request(Method::POST, "/connect/token")
        .basic_auth("stella-admin", Some(operator.secret("admin-secret")))
        .header("dpop", prover.proof("POST", &token_url, None, "1"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials&scope=stella.api")
        .send()
        .await
        .unwrap();
    let body = asked.json::<Value>().await.unwrap();
    assert_eq!(body["token_type"], "DPoP", "{body}");
    let token = body["access_token"].as_str().unwrap();

    let url = format!("{}/policy/export", operator.url);
    let ask = async |scheme: &str, proof: Option<String>| {
        let request =
            operator.request(Method::GET, "/policy/export").header("authorization", format!("{scheme} {token}"));
        let request = proof.into_iter().fold(request, |request, proof| request.header("dpop", proof));
        request.send().await.unwrap()
    };
    let proof = prover.proof("GET", &url, Some(token), "2");
    assert_eq!(ask("DPoP", Some(proof.clone())).await.status(), 200);
    let again = ask("DPoP", Some(proof)).await;
    assert!(again.headers()["www-authenticate"].to_str().unwrap().contains("invalid_dpop_proof"));
    assert_eq!(problem(again).await.0, 401, "a proof is good once");
    assert_eq!(ask("Bearer", None).await.status(), 401);
    let other = Prover::new().proof("GET", &url, Some(token), "3");
    assert_eq!(ask("DPoP", Some(other)).await.status(), 401, "of another key");
}

#[tokio::test]
async fn every_endpoint_names_the_scope_that_is_missing_and_lets_nobody_in_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::start(folder.path(), &[]);
    let document: Value = serde_json::from_str(&stella_operator::http::document().unwrap()).unwrap();
    let narrow = operator.client("narrow", &["policy.write"], &["acme"]).await;
    let mut walked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let wanted = match need(&method, path) {
                Some(Need::Scope(scope)) if scope.as_str() != "policy.write" => scope,
                _ => continue,
            };
            let filled = path.replace("{id}", "x").replace("{name}", "x").replace("{node}", "x");
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = operator.request(method.clone(), &filled).send().await.unwrap();
            assert!(answer.headers().contains_key("www-authenticate"), "{method} {path}");
            assert_eq!(problem(answer).await.0, 401, "{method} {path}");
            let answer = operator.request(method.clone(), &filled).bearer_auth(&narrow).send().await.unwrap();
            let (status, body) = problem(answer).await;
            assert_eq!(status, 403, "{method} {path}: {body}");
            assert!(body["detail"].as_str().unwrap().contains(wanted.as_str()), "{method} {path}: {body}");
            walked += 1;
        }
    }
    assert!(walked >= 20, "{walked} operations");
    let foreign = operator.client("reader", &["policy.read"], &["acme"]).await;
    let ask = operator.request(Method::GET, "/policy/export").bearer_auth(foreign).header("X-Stella-Tenant", "other");
    assert_eq!(problem(ask.send().await.unwrap()).await.0, 403, "a tenant that the token does not carry");
}
