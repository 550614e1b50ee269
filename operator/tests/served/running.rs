//! A running `stella-operator`, as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

/// The number in an environment variable, else `default`.
pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number in the variable"))
}

/// The JSON of an answer that went well.
pub async fn json_of(request: RequestBuilder) -> Value {
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    let body = answer.text().await.expect("a body");
    assert!(status.is_success(), "{status} {body}");
    serde_json::from_str(&body).expect("JSON")
}

/// An operator on the data folder `data`, with further flags, that knows nothing of a cluster and whose log can be read.
fn command(data: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stella-operator"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .args(flags)
        .env("DOCKER_CONFIG", data.join("docker"))
        .env_remove("KUBECONFIG")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// The exit code and the log of an operator that does not start.
pub fn refusal(data: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let mut child = command(data, flags).spawn().expect("the operator starts");
    let until = Instant::now() + Duration::from_secs(60);
    while child.try_wait().expect("it can be asked").is_none() {
        if Instant::now() > until {
            let _ = child.kill();
            panic!("it serves");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().expect("it ended");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// An operator that serves. It is killed when this goes.
pub struct Operator {
    child: Child,
    pub url: String,
    pub data: PathBuf,
    pub http: Client,
    log: Arc<Mutex<Vec<String>>>,
}

impl Operator {
    /// Starts one on the data folder `data`, with further flags, and waits until it serves.
    pub fn start(data: &Path, flags: &[&str]) -> Self {
        Self::start_in(data, flags, &[])
    }

    /// The same, with further environment variables.
    pub fn start_in(data: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut child = command(data, flags)
            .envs(environment.iter().copied())
            .env("STELLA_LOG_FORMAT", "json")
            .spawn()
            .expect("the operator starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (tell, told) = mpsc::channel();
        let (lines, kept) = (BufReader::new(child.stderr.take().expect("its log")), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let event: Value = serde_json::from_str(&line).unwrap_or_default();
                if event["message"] == "serving" {
                    let _ = tell.send(event["address"].as_str().unwrap_or_default().to_owned());
                }
                kept.lock().unwrap().push(line);
            }
        });
        let Ok(address) = told.recv_timeout(Duration::from_secs(60)) else {
            let _ = child.kill();
            panic!("it does not serve: {:?}", log.lock().unwrap());
        };
        Self { child, url: format!("http://{address}"), data: data.to_owned(), http: Client::new(), log }
    }

    /// A request for `path`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Waits until everything it serves with is there, the index too.
    pub async fn until_ready(&self) {
        let mut said = String::new();
        for _ in 0..600 {
            let answer = self.request(Method::GET, "/readyz").send().await.expect("an answer");
            if answer.status() == 200 {
                return;
            }
            said = answer.text().await.unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it does not become ready: {said}");
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// A file that the first start made for the administrator.
    pub fn secret(&self, name: &str) -> String {
        let path = self.data.join("authority").join(name);
        std::fs::read_to_string(&path).expect("the file is there").trim().to_owned()
    }

    /// A token by client credentials.
    pub async fn token(&self, client: &str, secret: &str, scope: &str) -> String {
        let answer = self
            .request(Method::POST, "/connect/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .basic_auth(client, Some(secret))
            .body(format!("grant_type=client_credentials&scope={}", scope.replace(' ', "+")))
            .send()
            .await
            .expect("an answer");
        let (status, body) = (answer.status(), answer.json::<Value>().await.expect("JSON"));
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().expect("a token").to_owned()
    }

    /// A token of the first administrator.
    pub async fn admin(&self) -> String {
        self.token("stella-admin", &self.secret("admin-secret"), "stella.admin stella.api").await
    }

    /// A new client's token.
    pub async fn client(&self, id: &str, scopes: &[&str], tenants: &[&str]) -> String {
        let answer = self
            .request(Method::POST, "/api/v1/admin/clients")
            .bearer_auth(self.admin().await)
            .json(&serde_json::json!({"id": id, "scopes": scopes, "tenants": tenants}))
            .send()
            .await
            .expect("an answer");
        let (status, body) = (answer.status(), answer.json::<Value>().await.expect("JSON"));
        assert_eq!(status, 201, "{body}");
        self.token(id, body["secret"].as_str().expect("a secret"), &scopes.join(" ")).await
    }

    /// Whether it has not ended by itself.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it ended");
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
