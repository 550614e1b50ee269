//! Rates, quotas and idempotency keys of a running operator.

use std::time::Instant;

use futures::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::running::Operator;

fn header(answer: &Response, name: &str) -> String {
    answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

async fn offline(operator: &Operator, scans: u32) -> String {
    let asked = operator
        .request(Method::POST, "/token/offline")
        .bearer_auth(operator.admin().await)
        .json(&json!({"expiresDays": 1, "maxScansPerDay": scans}));
    let body = asked.send().await.unwrap().json::<Value>().await.unwrap();
    body["jwt"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

async fn scan(operator: &Operator, token: &str, reference: &str) -> Response {
    let asked = operator.request(Method::POST, "/api/v1/scans").bearer_auth(token);
    asked.json(&json!({"image": {"reference": reference}})).send().await.unwrap()
}

#[tokio::test]
async fn a_token_is_held_to_its_rate_and_told_when_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::start(folder.path(), &[]);
    let (one, other) = (
        operator.client("one", &["policy.read"], &["tenant-default"]).await,
        operator.client("two", &["policy.read"], &["tenant-default"]).await,
    );
    let ask = |token: &str| operator.request(Method::GET, "/policy/export").bearer_auth(token).send();
    let begun = Instant::now();
    let answers: Vec<Response> = join_all((0..200).map(|_| ask(&one))).await.into_iter().map(Result::unwrap).collect();
    let most = 41 + (begun.elapsed().as_secs_f64() * 40.0) as usize;
    let passed = answers.iter().filter(|answer| answer.status() == 200).count();
    assert!((40..=most).contains(&passed), "{passed} of 200 passed, {most} at most");
    let refused = answers.iter().find(|answer| answer.status() == 429).expect("some are refused");
    assert_eq!((header(refused, "retry-after"), header(refused, "ratelimit-limit")), ("1".to_owned(), "40".to_owned()));
    assert_eq!(header(refused, "content-type"), "application/problem+json");
    let answer = ask(&other).await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "ratelimit-remaining").as_str()), (200, "39"));
}

#[tokio::test]
async fn the_scans_of_a_day_are_counted_over_restarts_and_refused_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::start(folder.path(), &[]);
    let token = offline(&operator, 2).await;
    let wrong = operator.request(Method::POST, "/api/v1/scans").bearer_auth(&token).json(&json!({"image": 1}));
    let wrong = wrong.send().await.unwrap();
    assert_eq!((wrong.status().as_u16(), header(&wrong, "x-stella-quota-remaining").as_str()), (422, "2"));
    let first = scan(&operator, &token, "registry.example.com/a:1").await;
    assert!(first.status().is_success());
    assert_eq!(header(&first, "x-stella-quota-remaining"), "1");
    assert!(header(&first, "x-stella-reset").ends_with("T00:00:00.000Z"));
    operator.kill();

    let operator = Operator::start(folder.path(), &[]);
    assert!(scan(&operator, &token, "registry.example.com/b:1").await.status().is_success());
    let refused = scan(&operator, &token, "registry.example.com/c:1").await;
    assert_eq!((refused.status().as_u16(), header(&refused, "x-stella-quota-remaining").as_str()), (429, "0"));
    assert!(header(&refused, "retry-after").parse::<u64>().unwrap() > 0);
    let body = refused.json::<Value>().await.unwrap();
    assert_eq!(body["type"], "https://stella-ops.org/probs/quota-exceeded", "{body}");
    let read = operator.request(Method::GET, "/policy/export").bearer_auth(&token).send().await.unwrap();
    assert_eq!(
        (read.status().as_u16(), header(&read, "x-stella-quota-remaining").as_str()),
        (200, "0"),
        "reading goes on"
    );
}

#[tokio::test]
async fn a_request_that_comes_again_by_its_key_is_answered_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::start(folder.path(), &[]);
    let token = operator.client("ci", &["stella.api"], &["tenant-default"]).await;
    let ask = async |key: &str, reference: &str, tenant: &str| {
        let asked = operator.request(Method::POST, "/api/v1/scans").bearer_auth(&token).header("Idempotency-Key", key);
        asked.header("X-Stella-Tenant", tenant).json(&json!({"image": {"reference": reference}})).send().await.unwrap()
    };
    let own = "tenant-default";
    let first = ask("k1", "registry.example.com/a:1", own).await;
    let (status, body) = (first.status(), first.text().await.unwrap());
    let again = ask("k1", "registry.example.com/a:1", own).await;
    assert_eq!((again.status(), header(&again, "idempotency-replayed").as_str()), (status, "true"));
    assert_eq!(again.text().await.unwrap(), body, "also what says that it is new");
    assert_eq!(ask("k1", "registry.example.com/b:1", own).await.status(), 409);
    assert_eq!(header(&ask("k2", "registry.example.com/a:1", own).await, "idempotency-replayed"), "");
    assert_eq!(ask("", "registry.example.com/a:1", own).await.status(), 400);

    let all = join_all((0..8).map(|_| ask("k3", "registry.example.com/c:1", own))).await;
    let created = all.iter().filter(|answer| answer.status().is_success()).count();
    assert!(created >= 1 && all.iter().all(|answer| answer.status().is_success() || answer.status() == 409));
}
