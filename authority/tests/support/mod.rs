//! An authority in a folder, with a clock that tests move.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use serde_json::Value;
use stella_authority::accounts::{AccountError, ServiceAccounts};
use stella_authority::audit::{AuditLog, Place};
use stella_authority::bootstrap::{self, ADMIN_FILE, BOOTSTRAP_FILE};
use stella_authority::entropy::Entropy;
use stella_authority::external::External;
use stella_authority::keys::KeyStore;
use stella_authority::secret::Hashing;
use stella_authority::vault::MemoryVault;
use stella_authority::{Authority, Parts, Settings, routes};
use stella_domain::Timestamp;
use stella_service::clock::Clock;
use tower::ServiceExt as _;

/// An authority under test.
pub struct World {
    pub authority: Authority,
    pub app: Router,
    pub admin_secret: String,
    pub bootstrap_key: String,
    pub folder: tempfile::TempDir,
    millis: Arc<AtomicI64>,
}

/// Knows one token of one account.
struct OneAccount;

impl ServiceAccounts for OneAccount {
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<String, AccountError>> {
        let known = match token {
            "token-of-the-agent" => Ok("stella-system/zastava".to_owned()),
            "token-of-a-stranger" => Ok("shop/web".to_owned()),
            "token-when-nobody-answers" => Err(AccountError::Unavailable("down".to_owned())),
            _ => Err(AccountError::Invalid("not known".to_owned())),
        };
        std::future::ready(known).boxed()
    }
}

impl World {
    pub async fn new(settings: Settings) -> Self {
        // Secrets are hashed fast, but where time matters.
        Self::hashing(settings, Hashing::new(64, 1)).await
    }

    pub async fn hashing(settings: Settings, hashing: Hashing) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let millis = Arc::new(AtomicI64::new(Clock::system().now().as_millis()));
        let told = Arc::clone(&millis);
        let clock = Clock::new(move || Timestamp::from_millis(told.load(Ordering::Relaxed)));
        Self::with(folder, settings, hashing, clock, millis).await
    }

    async fn with(
        folder: tempfile::TempDir,
        settings: Settings,
        hashing: Hashing,
        clock: Clock,
        millis: Arc<AtomicI64>,
    ) -> Self {
        stella_service::crypto::install();
        let vault = Arc::new(MemoryVault::default());
        let entropy = Entropy::system();
        bootstrap::bootstrap(folder.path(), &*vault, &hashing, &entropy, &clock).await.unwrap();
        let external = settings.issuer.clone().map(|issuer| External::new(issuer).unwrap());
        let authority = Authority::new(Parts {
            keys: KeyStore::open(&folder.path().join("keys"), settings.algorithm).unwrap(),
            audit: AuditLog::open(Place::new(folder.path().join("audit")), clock.clone()).unwrap(),
            settings,
            clock,
            entropy,
            vault,
            hashing,
            accounts: Some(Arc::new(OneAccount)),
            external,
            bootstrap_key: Some(folder.path().join(BOOTSTRAP_FILE)),
        });
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap().trim().to_owned();
        Self {
            app: routes(authority.clone()),
            authority,
            admin_secret: read(ADMIN_FILE),
            bootstrap_key: read(BOOTSTRAP_FILE),
            folder,
            millis,
        }
    }

    /// Lets time go by.
    pub fn pass(&self, seconds: i64) {
        self.millis.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    pub fn audit(&self) -> String {
        std::fs::read_to_string(Path::new(self.folder.path()).join("audit").join("audit.jsonl")).unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }

    /// Asks the token endpoint, with further headers.
    pub async fn ask(&self, form: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::post("/connect/token")
            .header(header::HOST, "localhost:8080")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// A token of the administrator.
    pub async fn admin(&self) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "stella-admin"),
            ("client_secret", &self.admin_secret),
        ];
        let answer = self.ask(&form, &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.text("access_token")
    }

    /// Sends JSON with a bearer token.
    pub async fn call(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        let mut request =
            Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).unwrap()).await
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn text(&self, name: &str) -> String {
        self.body[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.body)).to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
