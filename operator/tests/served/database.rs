//! Databases to crash on, and looking into them.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _};

/// URL of the SQLite database of the data folder, to be read.
pub fn sqlite(data: &Path) -> String {
    format!("sqlite://{}?mode=ro", data.join("stella.db").display())
}

/// What SQLite finds wrong with its file.
pub async fn damage(url: &str) -> Vec<String> {
    let mut connection = connect(url).await;
    let mut found = names(&mut connection, "PRAGMA integrity_check").await;
    connection.close().await.unwrap();
    found.remove("ok");
    found.into_iter().collect()
}

/// A connection to the database at `url`.
pub async fn connect(url: &str) -> AnyConnection {
    sqlx::any::install_default_drivers();
    AnyConnection::connect(url).await.unwrap()
}

/// The rows of a query.
pub async fn rows(connection: &mut AnyConnection, sql: &str) -> Vec<sqlx::any::AnyRow> {
    sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await.unwrap()
}

/// The first column of a query.
pub async fn names(connection: &mut AnyConnection, sql: &str) -> BTreeSet<String> {
    rows(connection, sql).await.into_iter().map(|row| row.get(0)).collect()
}

/// A PostgreSQL server of its own. It ends when this goes.
pub struct Server {
    child: Child,
    answers: BufReader<ChildStdout>,
    pub url: String,
}

impl Server {
    /// `None` where the tests have no PostgreSQL.
    pub fn start() -> Option<Self> {
        if std::env::var_os("STELLA_TEST_POSTGRES").is_none() {
            eprintln!("SKIPPED: $STELLA_TEST_POSTGRES names no server (tests/postgres/with.sh)");
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/postgres/serve.sh");
        let mut child =
            Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("serve.sh starts");
        let answers = BufReader::new(child.stdout.take().expect("its output"));
        let mut server = Self { child, answers, url: String::new() };
        server.url = server.answer();
        Some(server)
    }

    /// Ends the server at once and starts it again; one that was stopped is started.
    pub fn crash(&mut self) {
        assert_eq!(self.tell("crash\n"), self.url, "the server is there again");
    }

    /// Ends the server at once.
    pub fn stop(&mut self) {
        assert_eq!(self.tell("stop\n"), "stopped");
    }

    fn tell(&mut self, word: &str) -> String {
        let input = self.child.stdin.as_mut().expect("its input");
        input.write_all(word.as_bytes()).and_then(|()| input.flush()).expect("serve.sh reads");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("serve.sh answers");
        line.trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
