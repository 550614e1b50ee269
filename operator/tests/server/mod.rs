//! A real server: the program, with a data folder of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

#[path = "../schema/mod.rs"]
mod schema_of;

/// A running server; ended when dropped.
pub struct Server {
    child: Child,
    address: String,
    _data: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// [`schema_of::own`], for tests that have no runtime.
pub fn schema(url: &str, name: &str) -> String {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(schema_of::own(url, name))
}

impl Server {
    /// On SQLite, or on the database of that URL.
    pub fn start(database: Option<&str>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stella-operator"));
        command.args(["serve", "--allow-anonymous", "--listen", &address, "--data"]).arg(data.path());
        if let Some(url) = database {
            command.args(["--database-url", url]);
        }
        let child = command
            .env_remove("KUBERNETES_SERVICE_HOST")
            .env_remove("KUBECONFIG")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, address, _data: data };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(&server.address).is_err() {
            assert!(Instant::now() < deadline, "the server does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// Status and JSON of an answer.
    pub fn ask(&self, line: &str, tenant: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-stella-tenant: {tenant}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        let text = rest.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        let code = status.split(' ').nth(1).unwrap().parse().unwrap();
        (code, serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}
