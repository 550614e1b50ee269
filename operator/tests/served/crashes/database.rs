//! Databases to crash on.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// URL of the SQLite database of the data folder, to be read.
pub fn sqlite(data: &Path) -> String {
    format!("sqlite://{}?mode=ro", data.join("stella.db").display())
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

    /// Ends the server at once and starts it again.
    pub fn crash(&mut self) {
        let input = self.child.stdin.as_mut().expect("its input");
        input.write_all(b"crash\n").and_then(|()| input.flush()).expect("serve.sh reads");
        assert_eq!(self.answer(), self.url, "the server is there again");
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
