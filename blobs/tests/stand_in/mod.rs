//! A server that keeps objects in memory, as far as this client asks for it, and takes conditions as it is told to. It checks no
//! signature; MinIO does.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a server makes of `If-None-Match: *` on a PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// As it is meant.
    Kept,
    /// It passes over it.
    Ignored,
    /// It refuses the request with this status.
    Refused(u16),
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub has_condition: bool,
}

/// A running server. Its threads end with the process.
pub struct StandIn {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    conditions: Conditions,
    objects: BTreeMap<String, Vec<u8>>,
    asked: Vec<Asked>,
}

impl StandIn {
    pub fn start(conditions: Conditions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { conditions, objects: BTreeMap::new(), asked: Vec::new() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || {
                    // Whoever goes away in between asks again.
                    let _ = answer(stream, &state);
                });
            }
        });
        Self { address, state }
    }

    /// What was asked since the last time.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }

    /// Puts an object there by other ways.
    pub fn place(&self, path: &str, bytes: &[u8]) {
        self.state.lock().unwrap().objects.insert(path.to_owned(), bytes.to_vec());
    }

    pub fn object(&self, path: &str) -> Option<Vec<u8>> {
        self.state.lock().unwrap().objects.get(path).cloned()
    }
}

/// One request a connection.
fn answer(stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut length, mut has_condition) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "if-none-match" => has_condition = value.trim() == "*",
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (status, body) = state.lock().unwrap().answer(Asked { method, path, has_condition }, body);
    let mut stream = reader.into_inner();
    write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

impl State {
    fn answer(&mut self, asked: Asked, body: Vec<u8>) -> (u16, Vec<u8>) {
        self.asked.push(asked.clone());
        let is_there = self.objects.contains_key(&asked.path);
        match (asked.method.as_str(), self.conditions) {
            ("GET", _) => self.objects.get(&asked.path).map_or((404, Vec::new()), |bytes| (200, bytes.clone())),
            ("DELETE", _) => {
                self.objects.remove(&asked.path);
                (204, Vec::new())
            }
            ("PUT", Conditions::Refused(status)) if asked.has_condition => {
                (status, b"<Error><Code>NotImplemented</Code></Error>".to_vec())
            }
            ("PUT", Conditions::Kept) if asked.has_condition && is_there => (412, Vec::new()),
            ("PUT", _) => {
                self.objects.insert(asked.path, body);
                (200, Vec::new())
            }
            _ => (405, Vec::new()),
        }
    }
}
