//! Server-sent events, read as they arrive (HTML Living Standard, section 9.2.6).

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// `event:`; empty when none was given.
    pub name: String,
    /// `data:` lines, joined by line feeds.
    pub data: String,
    /// `id:` of this event, if it has one.
    pub id: Option<String>,
}

/// An event stream that cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SseError {
    /// One event is larger than any the server sends.
    #[error("an event has more than {0} bytes")]
    TooLarge(usize),
    /// A line is not UTF-8.
    #[error("a line is not UTF-8")]
    Encoding,
}

/// Turns chunks of bytes, cut anywhere, into events.
#[derive(Debug)]
pub struct SseParser {
    limit: usize,
    line: Vec<u8>,
    after_return: bool,
    event: SseEvent,
    has_data: bool,
    /// What the server last asked to wait before connecting again, in milliseconds (`retry:`).
    pub retry_millis: Option<u64>,
}

impl SseParser {
    /// A parser that takes events of up to `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            after_return: false,
            event: SseEvent::default(),
            has_data: false,
            retry_millis: None,
        }
    }

    /// Takes the next bytes and returns the events they complete.
    ///
    /// # Errors
    /// An event over the limit, or bytes that are no text. The stream cannot be read on.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, SseError> {
        let mut events = Vec::new();
        for &byte in bytes {
            let paired = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if paired => {}
                b'\n' | b'\r' => events.extend(self.end_line()?),
                _ => self.line.push(byte),
            }
            if self.line.len() + self.event.data.len() > self.limit {
                return Err(SseError::TooLarge(self.limit));
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Result<Option<SseEvent>, SseError> {
        let line = String::from_utf8(std::mem::take(&mut self.line)).map_err(|_| SseError::Encoding)?;
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(std::mem::take(&mut self.has_data).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        self.field(field, value.strip_prefix(' ').unwrap_or(value));
        Ok(None)
    }

    /// A field with an empty name is a comment; unknown ones are passed over.
    fn field(&mut self, field: &str, value: &str) {
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "retry" => self.retry_millis = value.parse().ok().or(self.retry_millis),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = ": hello\r\nretry: 250\n\nevent: image\nid: 7\ndata: one\ndata:two\n\nid: 8\n\ndata\n\n";

    fn expected() -> Vec<SseEvent> {
        let image = SseEvent { name: "image".to_owned(), data: "one\ntwo".to_owned(), id: Some("7".to_owned()) };
        vec![image, SseEvent::default()]
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(cuts in prop::collection::vec(0..STREAM.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut parser = SseParser::new(1000);
            let mut events = Vec::new();
            let mut from = 0;
            for to in cuts.into_iter().chain([STREAM.len()]) {
                events.extend(parser.push(&STREAM.as_bytes()[from..to]).unwrap());
                from = to;
            }
            prop_assert_eq!(events, expected());
            prop_assert_eq!(parser.retry_millis, Some(250));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = SseParser::new(64).push(&bytes);
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = SseParser::new(10);
        assert_eq!(parser.push(b"data: 0123456789"), Err(SseError::TooLarge(10)));
        assert_eq!(SseParser::new(10).push(b"data: \xff\n"), Err(SseError::Encoding));
    }
}
