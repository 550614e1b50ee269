//! Two operators on one database hold many tokens to their rate at the same time.
//!
//! `$STELLA_RATE` is the requests a second of a token (4), `$STELLA_SECONDS` how long they ask (5), and `$STELLA_TURNS` in how
//! many turns: a load that comes to no limit shows none, so a high rate needs fewer tokens at a time (1).

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::database::Server;
use crate::running::{Operator, number};

const TOKENS: usize = 100;

/// What came of one token's requests.
struct Asked {
    /// By the second in which they were asked.
    each_second: Vec<u64>,
    accepted: u64,
    refused: u64,
    took: Duration,
}

impl Asked {
    /// What the token was promised of what it asked for.
    fn due(&self, rate: u64) -> u64 {
        self.each_second.iter().map(|asked| (*asked).min(rate)).sum()
    }
}

/// Asks one replica after the other for `seconds`, as fast as they answer.
async fn ask(http: reqwest::Client, urls: [String; 2], token: String, seconds: u64) -> Asked {
    let begun = Instant::now();
    let each_second = vec![0; usize::try_from(seconds).unwrap()];
    let mut asked = Asked { each_second, accepted: 0, refused: 0, took: Duration::ZERO };
    for turn in 0.. {
        let second = usize::try_from(begun.elapsed().as_secs()).unwrap();
        let Some(count) = asked.each_second.get_mut(second) else { break };
        *count += 1;
        let answer = http.get(format!("{}/policy/export", urls[turn % 2])).bearer_auth(&token).send().await.unwrap();
        match answer.status() {
            StatusCode::OK => asked.accepted += 1,
            StatusCode::TOO_MANY_REQUESTS => asked.refused += 1,
            other => panic!("{other}: {}", answer.text().await.unwrap_or_default()),
        }
    }
    asked.took = begun.elapsed();
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_hold_a_hundred_tokens_to_their_rate_and_starve_none() {
    let Some(server) = Server::start() else { return };
    let (rate, seconds, turns) = (number("STELLA_RATE", 4), number("STELLA_SECONDS", 5), number("STELLA_TURNS", 1));
    let (folder, limit) = (tempfile::tempdir().unwrap(), rate.to_string());
    let start = |name: &str| {
        Operator::start(
            folder.path(),
            &["--database-url", &server.url, "--rate-limit", limit.as_str(), "--instance", name],
        )
    };
    let both = [start("one"), start("two")];
    let admin = both[0].admin().await;
    let mut tokens = Vec::new();
    for _ in 0..TOKENS {
        let asked = both[0].request(Method::POST, "/token/offline").bearer_auth(&admin);
        let body: Value = asked.json(&json!({"expiresDays": 1})).send().await.unwrap().json().await.unwrap();
        tokens.push(body["jwt"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned());
    }
    let urls = || both.each_ref().map(|operator| operator.url.clone());
    let mut asked = Vec::new();
    for tokens in tokens.chunks(TOKENS.div_ceil(usize::try_from(turns).unwrap())) {
        let ask = |token: &String| ask(both[0].http.clone(), urls(), token.clone(), seconds);
        asked.extend(tokens.iter().map(ask).collect::<JoinSet<Asked>>().join_all().await);
    }
    let on_account = 2.0 * ((rate / 10).max(1) + 1) as f64;
    for (number, token) in asked.iter().enumerate() {
        let most = rate as f64 * (token.took.as_secs_f64() + 1.0) + on_account;
        let (accepted, due) = (token.accepted, token.due(rate));
        assert!(accepted as f64 <= most, "token {number}: {accepted} were accepted, {most} at most");
        assert!(accepted * 2 >= due, "token {number}: {accepted} were accepted of {due} that were due");
    }
    let sum = |of: fn(&Asked) -> u64| asked.iter().map(of).sum::<u64>();
    let (accepted, refused) = (sum(|token| token.accepted), sum(|token| token.refused));
    assert!(refused > 0, "{accepted} were accepted and none refused: more has to be asked to show a limit");
    let (least, most) =
        (asked.iter().map(|token| token.accepted).min(), asked.iter().map(|token| token.accepted).max());
    println!(
        "{TOKENS} tokens of {rate} a second, {seconds} s in {turns} turns: {accepted} accepted, {} to {} of a token, {refused} refused",
        least.unwrap_or_default(),
        most.unwrap_or_default()
    );
}
