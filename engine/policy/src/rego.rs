//! Policies written in Rego v1, evaluated by regorus (docs/rego.md).
//!
//! ```text
//!   source ──check──> issues            Module ──run (a thread, within limits)──> answers
//!          └──Module::compile──> Module   │  verdict: once for each finding
//!                                         │  image:   once, with all verdicts
//! ```
//!
//! A module has no clock, no chance, no environment and no network: what it may know is its input. It is compiled once and
//! may be asked from any number of threads; each evaluation gets a machine of its own.

mod answer;
mod builtins;
mod check;
mod document;
mod guard;
mod limits;
mod run;
mod suite;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::program::Program;
use regorus::{Engine, Rc};

pub use answer::{ImageAnswer, VerdictAnswer};
pub use builtins::{GUARDED, REFUSED};
pub(crate) use check::check;
pub use document::{finding_document, image_document};
pub use limits::RegoLimits;
pub use suite::{RegoTest, RegoTestOutcome, rego_tests};

/// The package of every policy.
pub const REGO_PACKAGE: &str = "data.stella.policy";
/// The entrypoint that is asked for each finding.
pub const REGO_VERDICT: &str = "data.stella.policy.verdict";
/// The entrypoint that is asked once for the image.
pub const REGO_IMAGE: &str = "data.stella.policy.image";
/// The name its source has in messages.
const FILE: &str = "policy.rego";

/// Why Rego gave no answer. Each of them counts as an error of the policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegoError {
    /// It cannot be compiled.
    #[error("rego cannot be compiled: {0}")]
    Compile(String),
    /// It took longer than allowed.
    #[error("{entrypoint} took longer than {millis} ms")]
    Time {
        /// What was asked.
        entrypoint: &'static str,
        /// The limit.
        millis: u128,
    },
    /// It executed more instructions than allowed.
    #[error("{entrypoint} took more than {limit} instructions")]
    Instructions {
        /// What was asked.
        entrypoint: &'static str,
        /// The limit.
        limit: usize,
    },
    /// It asked for more memory than allowed.
    #[error("{entrypoint} asked for more than {limit} bytes")]
    Memory {
        /// What was asked.
        entrypoint: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Its answer is longer than allowed.
    #[error("the answer of {entrypoint} is longer than {limit} bytes")]
    Output {
        /// What was asked.
        entrypoint: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Its answer is none of those that mean something.
    #[error("{entrypoint} answers {found}; {expected}")]
    Answer {
        /// What was asked.
        entrypoint: &'static str,
        /// What came, cut.
        found: String,
        /// What may come.
        expected: &'static str,
    },
    /// Evaluation failed, for example because two rules disagree.
    #[error("{entrypoint} failed: {message}")]
    Failed {
        /// What was asked.
        entrypoint: &'static str,
        /// What the machine said.
        message: String,
    },
}

/// A compiled policy.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Inner>,
}

struct Inner {
    program: Arc<Program>,
    engine: Engine,
    verdict: bool,
    image: bool,
    limits: RegoLimits,
    /// Set when a machine did not come back from a single instruction: its thread is lost, and no second one is risked.
    stuck: AtomicBool,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("verdict", &self.inner.verdict)
            .field("image", &self.inner.image)
            .field("limits", &self.inner.limits)
            .finish_non_exhaustive()
    }
}

impl Module {
    /// Compiles `source` with the limits of [`RegoLimits::default`].
    ///
    /// # Errors
    /// When it is no Rego, calls what is refused, or defines neither entrypoint.
    pub fn compile(source: &str) -> Result<Self, RegoError> {
        Self::compile_within(source, RegoLimits::default())
    }

    /// Compiles `source` with `limits`.
    ///
    /// # Errors
    /// As [`Module::compile`].
    pub fn compile_within(source: &str, limits: RegoLimits) -> Result<Self, RegoError> {
        let made = match check::refused_calls(source).into_iter().next() {
            Some(issue) => Err(issue),
            None => compiled(source, limits).map_err(|rejected| check::told(&rejected)),
        };
        made.map_err(|issue| RegoError::Compile(issue.message))
    }

    /// Whether it says something of each finding.
    #[must_use]
    pub fn has_verdict(&self) -> bool {
        self.inner.verdict
    }

    /// Whether it says something of the image.
    #[must_use]
    pub fn has_image(&self) -> bool {
        self.inner.image
    }

    fn is_stuck(&self) -> bool {
        self.inner.stuck.load(Ordering::Relaxed)
    }

    fn give_up(&self) {
        self.inner.stuck.store(true, Ordering::Relaxed);
    }
}

/// Why a source is no policy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Rejected {
    /// It is no Rego, or cannot be compiled; the compiler's own words.
    #[error("{0}")]
    Compiler(String),
    /// Its package is another one.
    #[error("the package is {0}; expected {REGO_PACKAGE}")]
    Package(String),
    /// Nothing in it is asked.
    #[error("neither verdict nor image is defined")]
    Entrypoint,
    /// It calls what has no meaning here.
    #[error("{name} is refused: {reason}")]
    Builtin {
        /// The function.
        name: String,
        /// Why it is refused.
        reason: &'static str,
    },
}

fn compiled(source: &str, limits: RegoLimits) -> Result<Module, Rejected> {
    let compiler = |error: &dyn std::fmt::Display| Rejected::Compiler(error.to_string());
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(false);
    let package = engine.add_policy(FILE.to_owned(), source.to_owned()).map_err(|e| compiler(&e))?;
    if package != REGO_PACKAGE {
        return Err(Rejected::Package(package));
    }
    let defines = |engine: &Engine, name: &str| engine.has_declared_rule_rooted_at(FILE, name).unwrap_or_default();
    let (verdict, image) = (defines(&engine, "verdict"), defines(&engine, "image"));
    let entrypoints: Vec<&str> =
        [(verdict, REGO_VERDICT), (image, REGO_IMAGE)].iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
    let Some(first) = entrypoints.first() else {
        return Err(Rejected::Entrypoint);
    };
    let policy = engine.compile_with_entrypoint(&Rc::from(*first)).map_err(|e| compiler(&e))?;
    let program =
        Compiler::compile_from_policy_with_host_await(&policy, &entrypoints, GUARDED).map_err(|e| compiler(&e))?;
    // The check of the source sees names as they are written; `time["now_ns"]` is seen here.
    let called = program.builtin_info_table.iter().map(|builtin| builtin.name.as_str());
    if let Some((name, reason)) = called.filter_map(|name| Some((name, builtins::refusal(name)?))).next() {
        return Err(Rejected::Builtin { name: name.to_owned(), reason });
    }
    let inner = Inner { program, engine, verdict, image, limits, stuck: AtomicBool::new(false) };
    Ok(Module { inner: Arc::new(inner) })
}

#[cfg(test)]
mod tests;
