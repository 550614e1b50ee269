use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex as StdMutex;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::json;

use super::*;

/// An operator that gives tokens, each of a name of its own, and remembers by which it was asked.
#[derive(Clone, Default)]
struct Operator(Arc<StdMutex<Asked>>);

#[derive(Default)]
struct Asked {
    /// Forms with which a token was asked for.
    forms: Vec<String>,
    /// Tokens of questions.
    tokens: Vec<String>,
    /// Statuses of the next answers with a token, and to questions; 200 when there are none.
    giving: VecDeque<u16>,
    answering: VecDeque<u16>,
}

async fn give(State(operator): State<Operator>, form: String) -> (StatusCode, String) {
    let mut asked = operator.0.lock().unwrap();
    asked.forms.push(form);
    let token = json!({"access_token": format!("given-{}", asked.forms.len()), "token_type": "Bearer", "expires_in": 3600, "scope": "x"});
    let status = asked.giving.pop_front().unwrap_or(200);
    (StatusCode::from_u16(status).unwrap(), token.to_string())
}

async fn answer(State(operator): State<Operator>, headers: HeaderMap) -> StatusCode {
    let mut asked = operator.0.lock().unwrap();
    assert!(stella_service::traceparent::is_recorded(headers["traceparent"].to_str().unwrap()));
    asked.tokens.push(headers["authorization"].to_str().unwrap().to_owned());
    StatusCode::from_u16(asked.answering.pop_front().unwrap_or(200)).unwrap()
}

impl Operator {
    async fn serve(&self) -> String {
        stella_service::crypto::install();
        let app = Router::new()
            .route("/connect/token", post(give))
            .route("/api/v1/scanner/policy/runtime", post(answer))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, app).into_future());
        url
    }

    /// The token of the last question, and how often one was asked for.
    fn last(&self) -> (String, usize) {
        let asked = self.0.lock().unwrap();
        (asked.tokens.last().cloned().unwrap_or_default(), asked.forms.len())
    }

    fn will_give(&self, status: u16) {
        self.0.lock().unwrap().giving.push_back(status);
    }
}

async fn ask(server: &Server) -> Result<(), ClientError> {
    let question =
        RuntimePolicyRequest { namespace: "shop".into(), labels: std::collections::BTreeMap::new(), images: vec![] };
    server.runtime_policy(&question, Duration::from_secs(10)).await
}

fn put(path: &Path, token: &str) {
    std::fs::write(path, format!("{token}\n")).unwrap();
}

#[tokio::test]
async fn the_accounts_token_is_changed_for_one_that_is_used_while_it_is_good() {
    let (operator, folder) = (Operator::default(), tempfile::tempdir().unwrap());
    let file = folder.path().join("token");
    put(&file, "own.1");
    let server = Server::new(&operator.serve().await, Some(file.clone()), None).unwrap().exchanging_its_token();
    for _ in 0..3 {
        ask(&server.clone()).await.unwrap();
        assert_eq!(operator.last(), ("Bearer given-1".to_owned(), 1));
    }
    assert_eq!(operator.0.lock().unwrap().forms[0], exchange_form("own.1"));

    put(&file, "own.2");
    ask(&server).await.unwrap();
    assert_eq!(operator.last(), ("Bearer given-2".to_owned(), 2), "the kubelet renewed it");
    assert_eq!(operator.0.lock().unwrap().forms[1], exchange_form("own.2"));

    operator.0.lock().unwrap().answering.push_back(401);
    assert!(ask(&server).await.unwrap_err().may_pass());
    ask(&server).await.unwrap();
    assert_eq!(operator.last(), ("Bearer given-3".to_owned(), 3), "one that is not taken is not used again");

    put(&file, "own.3");
    operator.will_give(503);
    ask(&server).await.unwrap();
    assert_eq!(operator.last(), ("Bearer given-3".to_owned(), 4), "the old one does while no other is to be had");
}

#[tokio::test]
async fn without_a_token_nothing_is_asked_and_it_may_be_had_later() {
    let (operator, folder) = (Operator::default(), tempfile::tempdir().unwrap());
    let file = folder.path().join("token");
    put(&file, "own");
    let server = Server::new(&operator.serve().await, Some(file), None).unwrap().exchanging_its_token();
    operator.will_give(400);
    let error = ask(&server).await.unwrap_err();
    assert!(error.may_pass() && error.is_away(), "{error}");
    assert_eq!(operator.last(), (String::new(), 1));
    ask(&server).await.unwrap();
    assert_eq!(operator.last(), ("Bearer given-2".to_owned(), 2));
}

#[tokio::test]
async fn an_operator_without_an_authority_gets_the_accounts_own_token() {
    let (operator, folder) = (Operator::default(), tempfile::tempdir().unwrap());
    let file = folder.path().join("token");
    put(&file, "own");
    let server = Server::new(&operator.serve().await, Some(file), None).unwrap().exchanging_its_token();
    operator.will_give(404);
    for _ in 0..2 {
        ask(&server).await.unwrap();
        assert_eq!(operator.last(), ("Bearer own".to_owned(), 1));
    }
}
