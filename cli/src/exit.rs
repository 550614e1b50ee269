//! How a run ends: exit codes (cli.md) and the one line an error is told in.

use std::error::Error;
use std::process::ExitCode;

use crate::terminal;

/// Exit code of anything that kept the run from an answer.
const TROUBLE: u8 = 2;

/// The answer of a run that reached one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing speaks against it: exit code 0.
    Passed,
    /// The thing asked about does not hold: exit code 1.
    Failed,
}

impl Outcome {
    /// [`Outcome::Passed`] when `good`.
    #[must_use]
    pub const fn of(good: bool) -> Self {
        if good { Self::Passed } else { Self::Failed }
    }
}

/// Turns the end of a run into an exit code; an error is told on standard error, in one line with its causes.
#[must_use]
pub fn conclude<E: Error>(ended: Result<Outcome, E>) -> ExitCode {
    match ended {
        Ok(Outcome::Passed) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(error) => {
            terminal::note(format!("error: {}", with_causes(&error)));
            ExitCode::from(TROUBLE)
        }
    }
}

/// The error and what caused it, `: ` between them. Causes that the text before them repeats are left out.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read 'a'")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("layer 3: {0}")]
    struct Middle(#[source] std::io::Error);

    #[test]
    fn causes_are_told_once() {
        let error = Outer(Middle(std::io::Error::other("disk on fire")));
        assert_eq!(with_causes(&error), "cannot read 'a': layer 3: disk on fire");
    }
}
