//! Reads a stream of server-sent events (WHATWG HTML, section 9.2.6).

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The last id seen, to resume after.
    pub id: Option<String>,
    /// Its data, lines joined.
    pub data: String,
}

/// The stream has an event larger than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream has more than {0} bytes")]
pub struct TooLarge(pub usize);

const MOST_BYTES: usize = 1 << 20;

/// Puts events together from whatever pieces arrive.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    data: String,
    id: Option<String>,
    retry: Option<u64>,
}

impl Parser {
    /// Takes the next bytes and returns the events they complete.
    ///
    /// # Errors
    /// When an event grows beyond 1 MiB.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Message>, TooLarge> {
        let mut messages = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                messages.extend(self.end_of_line(&String::from_utf8_lossy(&line)));
            } else {
                self.line.push(*byte);
            }
            if self.line.len() + self.data.len() > MOST_BYTES {
                return Err(TooLarge(MOST_BYTES));
            }
        }
        Ok(messages)
    }

    /// Milliseconds the server wants between two connections, once it has told them.
    #[must_use]
    pub fn retry(&self) -> Option<u64> {
        self.retry
    }

    fn end_of_line(&mut self, line: &str) -> Option<Message> {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            let data = data.strip_suffix('\n')?.to_owned();
            return Some(Message { id: self.id.clone(), data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" => self.retry = value.parse().ok().or(self.retry),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b": hello\nretry: 1500\n\nid: 7\nevent: read\ndata: {\"a\":\ndata: 1}\n\ndata: x\r\n\r\n";

    #[test]
    fn gives_the_same_however_the_bytes_are_cut() {
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let messages: Vec<Message> = STREAM.chunks(size).flat_map(|piece| parser.feed(piece).unwrap()).collect();
            let expected = [("7", "{\"a\":\n1}"), ("7", "x")];
            let got: Vec<_> = messages.iter().map(|m| (m.id.as_deref().unwrap(), m.data.as_str())).collect();
            assert_eq!(got, expected, "pieces of {size}");
            assert_eq!(parser.retry(), Some(1500));
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::default();
        assert!((0..20).any(|_| parser.feed(&[b'x'; 100_000]).is_err()));
    }
}
