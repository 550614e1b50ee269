//! Real databases for tests: a SQLite file in a folder, or a schema of its own on a PostgreSQL server.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::Connection as _;
use stella_store::Store;

/// Makes two tests of each scenario, one on each kind of database.
#[macro_export]
macro_rules! on_both {
    ($($scenario:ident),+ $(,)?) => {
        mod on_sqlite {
            use super::database::TestDatabase;
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(TestDatabase::sqlite()).await;
            })+
        }
        mod on_postgresql {
            use super::database::TestDatabase;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(TestDatabase::postgres().await).await;
            })+
        }
    };
}

/// An empty database.
pub enum TestDatabase {
    /// In a folder that goes with it.
    Sqlite(tempfile::TempDir),
    /// A schema, as the URL names it.
    Postgres(String),
}

impl TestDatabase {
    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a temporary folder"))
    }

    pub async fn postgres() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos();
        let schema = format!("t{}_{}_{now}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        sqlx::any::install_default_drivers();
        let mut connection = sqlx::AnyConnection::connect(server()).await.expect("the test server answers");
        let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
        sqlx::query(create).execute(&mut connection).await.expect("a schema");
        connection.close().await.expect("an end");
        Self::Postgres(format!("{}&options[search_path]={schema}", server()))
    }

    /// Opens it; what was there before is there again.
    pub async fn open(&self) -> Store {
        match self {
            Self::Sqlite(folder) => Store::open(folder.path()).await,
            Self::Postgres(url) => Store::connect(url).await,
        }
        .expect("the database opens")
    }
}

/// URL of the server: of `$STELLA_TEST_POSTGRES`, else of one that lives as long as this process.
fn server() -> &'static str {
    static SERVER: OnceLock<(String, Option<Child>)> = OnceLock::new();
    let (url, _) = SERVER.get_or_init(|| match std::env::var("STELLA_TEST_POSTGRES") {
        Ok(url) => (url, None),
        Err(_) => start(),
    });
    url
}

/// The script ends the server when its standard input ends, which this process holds.
fn start() -> (String, Option<Child>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/postgres/serve.sh");
    let mut child = Command::new(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    let mut url = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut url).expect("the server's URL");
    assert!(
        url.starts_with("postgres://"),
        "no PostgreSQL server for this test; scripts/install/postgres.sh installs one"
    );
    (url.trim_end().to_owned(), Some(child))
}
