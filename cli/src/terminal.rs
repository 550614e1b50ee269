//! The two streams of a command line: results on standard output, everything else on standard error.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _, stderr, stdout};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// How often a line of progress is drawn anew.
const TICK: Duration = Duration::from_millis(120);

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
pub struct Progress(ProgressBar);

impl Progress {
    /// Shows `text` and how long it takes already.
    #[must_use]
    pub fn show(text: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, target());
        bar.set_style(style("{spinner} {msg} ({elapsed})"));
        bar.set_message(printable(text).into_owned());
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// Shows `text` and how many of `bytes` are done.
    #[must_use]
    pub fn bytes(text: &str, bytes: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(bytes), target());
        bar.set_style(style("{spinner} {msg} [{bar:30}] {bytes} of {total_bytes}, {eta} left"));
        bar.set_message(printable(text).into_owned());
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// More bytes are done.
    pub fn add(&self, bytes: u64) {
        self.0.inc(bytes);
        if self.0.length().is_some_and(|all| self.0.position() >= all) {
            // The other side takes its time from here on.
            self.0.set_style(style("{spinner} {msg}: sent, waiting for the answer ({elapsed})"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Nothing is drawn where nobody would see it.
fn target() -> ProgressDrawTarget {
    if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_progress_can_be_drawn() {
        let progress = Progress::bytes("sending a\x1b[2J", 10);
        assert!(!progress.0.message().contains('\x1b'));
        progress.add(10);
        drop((progress, Progress::show("reading")));
        for template in
            ["{spinner} {msg} ({elapsed})", "{spinner} {msg} [{bar:30}] {bytes} of {total_bytes}, {eta} left"]
        {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn nothing_foreign_steers_the_terminal() {
        assert_eq!(printable("plain"), "plain");
        assert_eq!(printable("a\x1b[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
