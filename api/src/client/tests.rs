use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response as Answer};
use serde_json::json;

use super::*;
use crate::runtime::RuntimePolicyRequest;
use crate::token::exchange_form;

/// Status, one more header and body of an answer.
type Next = (u16, Option<(&'static str, &'static str)>, String);

/// A server that remembers what it was asked, and answers as it is told beforehand.
#[derive(Clone, Default)]
struct Server(Arc<StdMutex<Told>>);

#[derive(Default)]
struct Told {
    asked: Vec<Asked>,
    /// The next answers by path; 200 and an empty object when there are none.
    answers: BTreeMap<&'static str, VecDeque<Next>>,
    tokens: usize,
}

#[derive(Debug, Clone)]
struct Asked {
    peer: SocketAddr,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn answer(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let mut told = server.0.lock().unwrap_or_else(PoisonError::into_inner);
    told.asked.push(Asked { peer, target: uri.to_string(), headers, body });
    let next = told.answers.get_mut(uri.path()).and_then(VecDeque::pop_front);
    let (status, header, body) = match next {
        Some(answer) => answer,
        None if uri.path() == TOKEN => {
            told.tokens += 1;
            let token = format!("given-{}", told.tokens);
            (200, None, json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}).to_string())
        }
        None => (200, None, "{}".to_owned()),
    };
    let status = StatusCode::from_u16(status).unwrap();
    match header {
        Some(header) => (status, [header], body).into_response(),
        None => (status, body).into_response(),
    }
}

const TOKEN: &str = "/connect/token";
const FEEDS: &str = "/api/v1/feeds";
const POLICY: &str = "/api/v1/scanner/policy/runtime";

impl Server {
    async fn start(&self) -> String {
        // Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let app = Router::new().fallback(answer).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).into_future());
        address
    }

    fn will(&self, path: &'static str, status: u16, body: impl ToString) {
        self.will_with(path, status, None, body);
    }

    fn will_with(
        &self,
        path: &'static str,
        status: u16,
        header: Option<(&'static str, &'static str)>,
        body: impl ToString,
    ) {
        let mut told = self.0.lock().unwrap();
        told.answers.entry(path).or_default().push_back((status, header, body.to_string()));
    }

    fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().asked.clone()
    }

    /// What the last question but those for tokens was authorized by, and how many tokens were asked for.
    fn last(&self) -> (String, usize) {
        let asked = self.asked();
        let (tokens, questions): (Vec<_>, Vec<_>) = asked.iter().partition(|asked| asked.target == TOKEN);
        (questions.last().map(|asked| asked.header("authorization").to_owned()).unwrap_or_default(), tokens.len())
    }
}

fn client(server: &str) -> Client {
    Client::new(Settings { server: server.to_owned(), user_agent: "test/1", ..Settings::default() }).unwrap()
}

fn client_as(server: &str, credential: Credential) -> Client {
    Client::new(Settings { server: server.to_owned(), credential, ..Settings::default() }).unwrap()
}

async fn ask(client: &Client) -> Result<(), ClientError> {
    let question = RuntimePolicyRequest { namespace: "shop".to_owned(), labels: BTreeMap::new(), images: Vec::new() };
    client.ask_for_scans(&question, Duration::from_secs(10)).await
}

fn put(path: &Path, token: &str) {
    std::fs::write(path, format!("{token}\n")).unwrap();
}

#[test]
fn paths_go_below_the_server_and_nothing_goes_elsewhere() {
    let client = client("http://stella.local:8080/behind/");
    let address = |target: &str| client.address(target).map(String::from).map_err(|error| error.to_string());
    assert_eq!(address("/scan").unwrap(), "http://stella.local:8080/behind/scan");
    assert_eq!(address("http://stella.local:8080/x?a=b").unwrap(), "http://stella.local:8080/x?a=b");
    for name in ["/api/v1/reports/../referrers", "/a/./b"] {
        assert!(address(name).unwrap_err().contains("neither '.' nor '..'"), "{name}");
    }
    for elsewhere in ["http://evil.local/x", "//evil.local/x", "https://stella.local:8080/x", "http://stella.local/x"] {
        assert!(address(elsewhere).is_err(), "{elsewhere}");
    }
}

#[test]
fn an_address_without_scheme_is_refused() {
    let refused = |server: &str| {
        Client::new(Settings { server: server.to_owned(), ..Settings::default() }).unwrap_err().to_string()
    };
    assert!(refused("localhost:8080").contains("'localhost:8080'"));
    assert!(refused("ftp://localhost").contains("--server"));
    assert!(!refused("ftp://me:secret@localhost").contains("secret"));
}

#[tokio::test]
async fn a_question_says_who_asks_for_whom_and_goes_on_with_a_trace() {
    let server = Server::default();
    let client = Client::new(Settings {
        server: format!("{}/behind", server.start().await),
        credential: Credential::Secret(" secret\n".parse().unwrap()),
        tenant: Some(Tenant::default()),
        user_agent: "test/1",
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..Settings::default()
    });
    ask(&client.unwrap()).await.unwrap();
    let asked = server.asked().remove(0);
    assert_eq!(asked.target, format!("/behind{POLICY}"));
    assert_eq!((asked.header("authorization"), asked.header("user-agent")), ("Bearer secret", "test/1"));
    assert_eq!(asked.header("x-stella-tenant"), Tenant::default().as_str());
    assert_eq!(asked.header("content-type"), "application/json");
    assert!(asked.header("traceparent").starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    assert_eq!(asked.body, r#"{"namespace":"shop","labels":{},"images":[]}"#);
}

#[tokio::test]
async fn a_refusal_has_all_of_the_problem_and_the_wait() {
    let server = Server::default();
    let client = client(&server.start().await);
    let problem = json!({
        "type": "https://stella-ops.org/probs/unavailable", "title": "Unavailable", "status": 503,
        "detail": "no verdicts yet", "traceId": "00-1-2-01",
    });
    server.will_with(FEEDS, 503, Some(("retry-after", "7")), problem);
    let error = client.feeds().await.unwrap_err();
    assert_eq!(error.to_string(), "GET /api/v1/feeds: 503 Unavailable: no verdicts yet (trace 00-1-2-01)");
    assert_eq!((error.retry_after(), error.is_transient()), (Some(Duration::from_secs(7)), true));
    let refusal = error.refusal().unwrap();
    assert_eq!(refusal.kind(), Some("https://stella-ops.org/probs/unavailable"));
    assert_eq!((refusal.detail(), refusal.trace()), (Some("no verdicts yet"), Some("00-1-2-01")));

    server.will_with(FEEDS, 502, Some(("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")), "<html>");
    let error = client.feeds().await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.retry_after()), ("GET /api/v1/feeds: 502 Bad Gateway", None));
}

#[tokio::test]
async fn a_quota_is_waited_out_once_where_that_is_wished() {
    let server = Server::default();
    let address = server.start().await;
    let settings = Settings { server: address.clone(), on_quota: Some(|_| {}), ..Settings::default() };
    let patient = Client::new(settings).unwrap();
    for _ in 0..3 {
        server.will_with(POLICY, 429, Some(("retry-after", "0")), "{}");
    }
    assert_eq!(ask(&client(&address)).await.unwrap_err().status(), Some(StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(ask(&patient).await.unwrap_err().status(), Some(StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(server.asked().len(), 3);
    server.will_with(POLICY, 429, Some(("retry-after", "0")), "{}");
    ask(&patient).await.unwrap();
}

#[tokio::test]
async fn pages_follow_each_other_but_not_for_ever() {
    let server = Server::default();
    let client = client(&server.start().await);
    let page = |name: &str, next: Option<&str>| json!({"items": [{"name": name, "date": null, "advisories": 1}], "nextPageToken": next});
    server.will(FEEDS, 200, page("a", Some("two")));
    server.will(FEEDS, 200, page("b", None));
    let names: Vec<String> = client.feeds().await.unwrap().into_iter().map(|feed| feed.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(server.asked()[1].target, "/api/v1/feeds?pageToken=two");
    server.will(FEEDS, 200, page("a", Some("two")));
    server.will(FEEDS, 200, page("a", Some("two")));
    assert!(client.feeds().await.unwrap_err().to_string().contains("a page follows itself"));
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_limit() {
    let server = Server::default();
    let client = client(&server.start().await);
    let call = |limit| Call::at(operation::Operation::Feeds, FEEDS).up_to(limit);
    for _ in 0..2 {
        server.will(FEEDS, 200, "x".repeat(1000));
    }
    assert_eq!(client.bytes(&call(1000)).await.unwrap().len(), 1000);
    let error = client.bytes(&call(999)).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { limit: 999, .. }), "{error}");
}

#[tokio::test]
async fn a_connection_is_kept_until_it_leads_to_who_is_ill_or_others_are_trusted() {
    let (server, folder) = (Server::default(), tempfile::tempdir().unwrap());
    let [token, authorities] = ["token", "ca.pem"].map(|name| folder.path().join(name));
    put(&token, "own");
    std::fs::write(&authorities, "# none\n").unwrap();
    let settings = Settings {
        server: server.start().await,
        credential: Credential::Exchanged(token),
        ca_file: Some(authorities.clone()),
        ..Settings::default()
    };
    let client = Client::new(settings).unwrap();
    // By which connection it came.
    let ask = async || {
        let outcome = ask(&client).await;
        // What is read is given back by a task of its own.
        tokio::time::sleep(Duration::from_millis(20)).await;
        (outcome.is_ok(), server.asked().last().unwrap().peer)
    };
    server.will(TOKEN, 503, "{}");
    let (_, of_ill) = ask().await;
    let (has_token, first) = ask().await;
    assert!(has_token && of_ill != first, "a token is asked for elsewhere");
    assert_eq!(ask().await, (true, first));
    server.will(POLICY, 503, "{}");
    assert_eq!(ask().await, (false, first));
    let (_, second) = ask().await;
    assert_ne!(second, first);
    server.will(POLICY, 400, "{}");
    assert_eq!(ask().await, (false, second), "that is no illness");
    assert_eq!(ask().await, (true, second));
    std::fs::write(&authorities, "# others\n").unwrap();
    assert_ne!(ask().await.1, second);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (server, other) = (Server::default(), Server::default());
    let elsewhere: &'static str = Box::leak(format!("{}{FEEDS}", other.start().await).into_boxed_str());
    let client = client_as(&server.start().await, Credential::Secret("secret".parse().unwrap()));
    server.will_with(FEEDS, 307, Some(("location", elsewhere)), "");
    assert_eq!(client.feeds().await.unwrap_err().status(), Some(StatusCode::TEMPORARY_REDIRECT));
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn nobody_there_is_named_without_a_password() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let nobody = client("http://me:secret@127.0.0.1:1/behind");
    assert!(!format!("{nobody:?}").contains("secret"), "{nobody:?}");
    let error = nobody.feeds().await.unwrap_err();
    assert_eq!(error.to_string(), "GET /api/v1/feeds: cannot reach http://127.0.0.1:1");
    assert!(error.is_transient() && error.status().is_none() && !format!("{error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn a_stream_gives_its_events_and_is_given_up_when_it_is_silent() {
    let server = Server::default();
    let client = client(&server.start().await);
    server.will("/api/v1/nodes/n%2F1/work", 200, ": heartbeat\nretry: 250\n\nid: 7\ndata: one\n\n");
    let mut stream = client.node_work("n/1", Some("6"), Duration::from_secs(10)).await.unwrap();
    let events = stream.more().await.unwrap().unwrap();
    assert_eq!((events[0].data.as_str(), events[0].id.as_deref()), ("one", Some("7")));
    assert_eq!(stream.retry(), Some(Duration::from_millis(250)));
    assert!(stream.more().await.unwrap().is_none(), "the server closed it");
    let asked = server.asked().remove(0);
    assert_eq!((asked.header("last-event-id"), asked.header("accept")), ("6", "text/event-stream"));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let silent = client_as(&address, Credential::None).verdicts(None, Duration::from_millis(100)).await;
    assert!(matches!(silent, Err(ClientError::Silent { .. })), "{silent:?}");
}

#[tokio::test]
async fn the_accounts_token_is_changed_for_one_that_is_used_while_it_is_good() {
    let (server, folder) = (Server::default(), tempfile::tempdir().unwrap());
    let file = folder.path().join("token");
    put(&file, "own.1");
    let client = client_as(&server.start().await, Credential::Exchanged(file.clone()));
    for _ in 0..3 {
        ask(&client).await.unwrap();
        assert_eq!(server.last(), ("Bearer given-1".to_owned(), 1));
    }
    let asked = server.asked().remove(0);
    assert_eq!((asked.target.as_str(), &asked.body[..]), (TOKEN, exchange_form("own.1").as_bytes()));
    assert_eq!(asked.header("authorization"), "");

    put(&file, "own.2");
    ask(&client).await.unwrap();
    assert_eq!(server.last(), ("Bearer given-2".to_owned(), 2), "the kubelet renewed it");

    server.will(POLICY, 401, "{}");
    assert_eq!(ask(&client).await.unwrap_err().status(), Some(StatusCode::UNAUTHORIZED));
    ask(&client).await.unwrap();
    assert_eq!(server.last(), ("Bearer given-3".to_owned(), 3), "one that is not taken is not used again");

    put(&file, "own.3");
    server.will(TOKEN, 503, "{}");
    ask(&client).await.unwrap();
    assert_eq!(server.last(), ("Bearer given-3".to_owned(), 4), "the old one does while no other is to be had");
}

#[tokio::test]
async fn without_a_token_nothing_is_asked_and_it_may_be_had_later() {
    let (server, folder) = (Server::default(), tempfile::tempdir().unwrap());
    let file = folder.path().join("token");
    put(&file, "own");
    let client = client_as(&server.start().await, Credential::Exchanged(file));
    server.will(TOKEN, 400, json!({"error": "invalid_grant", "error_description": "the account is unknown"}));
    let error = ask(&client).await.unwrap_err();
    assert!(matches!(error, ClientError::NoToken(_)) && error.status().is_none(), "{error:?}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "POST /connect/token: 400 invalid_grant: the account is unknown");
    assert!(!error.is_transient());
    server.will_with(TOKEN, 503, Some(("retry-after", "3")), "{}");
    let error = ask(&client).await.unwrap_err();
    assert_eq!((error.is_transient(), error.retry_after()), (true, Some(Duration::from_secs(3))));
    assert_eq!(server.last(), (String::new(), 2));
    ask(&client).await.unwrap();
    assert_eq!(server.last(), ("Bearer given-1".to_owned(), 3));
}

#[tokio::test]
async fn a_server_without_an_authority_gets_the_accounts_own_token() {
    let (server, folder) = (Server::default(), tempfile::tempdir().unwrap());
    let file = folder.path().join("token");
    put(&file, "own");
    let client = client_as(&server.start().await, Credential::Exchanged(file));
    server.will(TOKEN, 404, "{}");
    for _ in 0..2 {
        ask(&client).await.unwrap();
        assert_eq!(server.last(), ("Bearer own".to_owned(), 1));
    }
}

#[tokio::test]
async fn files_are_read_anew_and_named_when_they_are_of_no_use() {
    let (server, folder) = (Server::default(), tempfile::tempdir().unwrap());
    let address = server.start().await;
    let file = folder.path().join("token");
    let client = client_as(&address, Credential::File(file.clone()));
    assert!(ask(&client).await.unwrap_err().to_string().contains(file.to_str().unwrap()));
    for token in ["one", "two"] {
        put(&file, token);
        ask(&client).await.unwrap();
        assert_eq!(server.last().0, format!("Bearer {token}"));
    }
    put(&file, "a\nb");
    let error = ask(&client).await.unwrap_err();
    assert!(matches!(error, ClientError::Token(_)) && error.to_string().contains(file.to_str().unwrap()), "{error}");

    let authorities = folder.path().join("ca.pem");
    let settings = Settings { server: address, ca_file: Some(authorities.clone()), ..Settings::default() };
    let client = Client::new(settings).unwrap();
    assert!(matches!(ask(&client).await, Err(ClientError::File { path, .. }) if path == authorities));
}

#[test]
fn the_example_on_the_page_is_the_one_that_compiles() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md")).unwrap();
    assert!(page.contains(include_str!("../../examples/feeds.rs")));
}
