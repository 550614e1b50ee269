//! The two streams of a command line: results on standard output, everything else on standard error.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _, stderr, stdout};

use serde::Serialize;

/// Why a result could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Standard output refuses.
    #[error("cannot write to standard output")]
    Write(#[source] io::Error),
    /// A value that cannot be JSON.
    #[error("cannot write the result as json")]
    Json(#[source] serde_json::Error),
}

/// Writes a result. A reader that has seen enough and closed its pipe is no error.
///
/// # Errors
/// When standard output cannot be written for another reason, such as a full disk.
pub fn print(result: &[u8]) -> Result<(), OutputError> {
    let mut output = stdout().lock();
    match output.write_all(result).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(OutputError::Write(error)),
        _ => Ok(()),
    }
}

/// Writes a value as indented JSON.
///
/// # Errors
/// As [`print`].
pub fn print_json<T: Serialize + ?Sized>(value: &T) -> Result<(), OutputError> {
    print(&json(value)?)
}

/// A value as indented JSON with a line end.
///
/// # Errors
/// When a number in it is not finite.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, OutputError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(OutputError::Json)?;
    text.push(b'\n');
    Ok(text)
}

/// Tells a person something in one line on standard error. Nobody listening is no reason to stop.
pub fn note(text: impl Display) {
    let _ = writeln!(stderr().lock(), "{}", printable(&text.to_string()));
}

/// Whether results may be coloured: standard output is a terminal and `NO_COLOR` is not set.
#[must_use]
pub fn colours() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Columns of the terminal that standard output is.
#[must_use]
pub fn width() -> Option<u16> {
    if !stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(terminal_size::Width(columns), _)| columns)
}

/// Foreign text without the characters that steer a terminal.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        Cow::Owned(text.replace(char::is_control, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A line on standard error while something takes its time; only on a terminal, and gone when dropped.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
}

impl Progress {
    /// Shows `text`.
    #[must_use]
    pub fn show(text: &str) -> Self {
        let shown = stderr().is_terminal();
        if shown {
            let mut line = stderr().lock();
            let _ = write!(line, "{} ...", printable(text)).and_then(|()| line.flush());
        }
        Self { shown }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let mut line = stderr().lock();
            let _ = write!(line, "\r\x1b[K").and_then(|()| line.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_steers_the_terminal() {
        assert_eq!(printable("plain"), "plain");
        assert_eq!(printable("a\x1b[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
