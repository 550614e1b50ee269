//! Every task has an owner: one that ends before it was told to ends the process.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// Why a supervised process ends other than as asked. Each names the task.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuperviseError {
    /// A task returned although nobody asked it to.
    #[error("task '{task}' ended on its own")]
    Ended {
        /// Its name.
        task: String,
    },
    /// A task returned an error.
    #[error("task '{task}' failed: {reason}")]
    Failed {
        /// Its name.
        task: String,
        /// The error and what caused it.
        reason: String,
    },
    /// A task panicked.
    #[error("task '{task}' panicked: {message}")]
    Panicked {
        /// Its name.
        task: String,
        /// What the panic said.
        message: String,
    },
    /// Tasks did not finish within the grace and were dropped.
    #[error("tasks did not finish within {grace:?}: {}", tasks.join(", "))]
    Stuck {
        /// Their names.
        tasks: Vec<String>,
        /// How long they were given.
        grace: Duration,
    },
}

/// Owns the tasks of a process. Dropping it aborts them.
#[derive(Debug)]
pub struct Supervisor {
    tasks: JoinSet<Outcome>,
    names: HashMap<Id, String>,
    token: CancellationToken,
}

impl Supervisor {
    /// A supervisor whose tasks run until `token` is cancelled.
    #[must_use]
    pub fn new(token: CancellationToken) -> Self {
        Self { tasks: JoinSet::new(), names: HashMap::new(), token }
    }

    /// The token that asks tasks to finish; hand it to each of them.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Starts a task that is to run until the token is cancelled.
    pub fn spawn<F, E>(&mut self, name: impl Into<String>, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let handle = self.tasks.spawn(async move { task.await.map_err(Into::into) });
        self.names.insert(handle.id(), name.into());
    }

    /// Runs until the token is cancelled or a task ends; then cancels the token, waits at most `grace` for the others,
    /// and drops those that are still there.
    ///
    /// # Errors
    /// The first thing that went wrong; later ones are logged.
    pub async fn run(mut self, grace: Duration) -> Result<(), SuperviseError> {
        let token = self.token.clone();
        let first = tokio::select! {
            () = token.cancelled() => None,
            Some(error) = self.unasked_end() => Some(error),
        };
        if let Some(error) = &first {
            tracing::error!(%error, "a task is gone: stopping");
        }
        token.cancel();
        let late = self.drain(grace).await;
        first.or(late).map_or(Ok(()), Err)
    }

    async fn unasked_end(&mut self) -> Option<SuperviseError> {
        let ended = self.tasks.join_next_with_id().await?;
        let (task, failure) = self.identify(ended);
        // A task may see the cancellation before this select does.
        if failure.is_none() && self.token.is_cancelled() {
            return None;
        }
        Some(failure.unwrap_or(SuperviseError::Ended { task }))
    }

    async fn drain(&mut self, grace: Duration) -> Option<SuperviseError> {
        let deadline = tokio::time::Instant::now() + grace;
        let mut first = None;
        while !self.tasks.is_empty() {
            let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.tasks.join_next_with_id()).await else {
                self.tasks.abort_all();
                return first.or(Some(SuperviseError::Stuck { tasks: self.names_left(), grace }));
            };
            if let (_, Some(error)) = self.identify(ended) {
                tracing::error!(%error, "while stopping");
                first = first.or(Some(error));
            }
        }
        first
    }

    fn names_left(&self) -> Vec<String> {
        let mut names: Vec<_> = self.names.values().cloned().collect();
        names.sort_unstable();
        names
    }

    fn identify(&mut self, ended: Result<(Id, Outcome), JoinError>) -> (String, Option<SuperviseError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let task = self.names.remove(&id).unwrap_or_default();
        let failure = match ended {
            Ok((_, Ok(()))) => None,
            Ok((_, Err(error))) => Some(SuperviseError::Failed { task: task.clone(), reason: chain(error.as_ref()) }),
            Err(error) => Some(SuperviseError::Panicked { task: task.clone(), message: panic_message(error) }),
        };
        (task, failure)
    }
}

/// An error and its causes, joined by colons. A cause that its parent already quotes is not repeated.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}

fn panic_message(error: JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "aborted".to_owned() };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().map_or("no message", |text| text).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn supervisor() -> Supervisor {
        Supervisor::new(CancellationToken::new())
    }

    async fn until(token: CancellationToken) -> Result<(), std::io::Error> {
        token.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn a_cancelled_token_ends_quietly() {
        let mut tasks = supervisor();
        tasks.spawn("one", until(tasks.token()));
        tasks.token().cancel();
        assert!(tasks.run(GRACE).await.is_ok());
    }

    #[tokio::test]
    async fn a_task_that_ends_is_named_and_ends_the_others() {
        let mut tasks = supervisor();
        let other = tasks.token();
        tasks.spawn("stream", async { Ok::<(), std::io::Error>(()) });
        tasks.spawn("server", until(other.clone()));
        let error = tasks.run(GRACE).await.unwrap_err();
        assert_eq!(error.to_string(), "task 'stream' ended on its own");
        assert!(other.is_cancelled());
    }

    #[tokio::test]
    async fn a_panic_is_named_with_its_words() {
        let mut tasks = supervisor();
        tasks.spawn("cache", async {
            assert!(std::env::var_os("STELLA_NEVER_SET").is_some(), "nothing there");
            Ok::<(), std::io::Error>(())
        });
        assert_eq!(tasks.run(GRACE).await.unwrap_err().to_string(), "task 'cache' panicked: nothing there");
    }

    #[tokio::test]
    async fn a_failure_tells_its_causes() {
        let mut tasks = supervisor();
        tasks.spawn("disk", async { Err(std::io::Error::other("full")) });
        assert_eq!(tasks.run(GRACE).await.unwrap_err().to_string(), "task 'disk' failed: full");
    }

    #[tokio::test]
    async fn a_task_that_will_not_stop_is_named() {
        let mut tasks = supervisor();
        tasks.spawn("deaf", std::future::pending::<Result<(), std::io::Error>>());
        tasks.token().cancel();
        let error = tasks.run(Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.to_string(), "tasks did not finish within 20ms: deaf");
    }
}
