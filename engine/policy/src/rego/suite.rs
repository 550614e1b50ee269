//! Tests of a policy that are written in Rego, as `opa test` runs them.

use std::num::NonZeroU32;
use std::time::Duration;

use regorus::unstable::{Lexer, Source, TokenKind};
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

use super::run::STACK_BYTES;
use super::{FILE, Module, RegoError};

/// The name the tests have in messages.
const TESTS: &str = "tests.rego";
/// The time one test may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A test and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegoTest {
    /// Name of its rule.
    pub name: String,
    /// What came of it.
    pub outcome: RegoTestOutcome,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegoTestOutcome {
    /// Its rule is `true`.
    Passed,
    /// Its rule is undefined, or anything else.
    Failed,
    /// Its name begins with `todo_`.
    Skipped,
    /// It cannot be evaluated.
    Broken(String),
}

/// Runs the rules of `tests` whose names begin with `test_`, in the order in which they are written, against `policy`. Tests
/// may do what a policy may not, such as `with input as`. They are the author's own: of limits they have a time each.
///
/// # Errors
/// When the policy cannot be put into force as it is, or the tests are no Rego.
pub fn rego_tests(policy: &str, tests: &str) -> Result<Vec<RegoTest>, RegoError> {
    Module::compile(policy)?;
    let (policy, tests) = (policy.to_owned(), tests.to_owned());
    let failed = |message: &str| RegoError::Compile(message.to_owned());
    let thread = std::thread::Builder::new().name("rego tests".to_owned()).stack_size(STACK_BYTES);
    let running = thread.spawn(move || run(policy, tests)).map_err(|error| failed(&error.to_string()))?;
    running.join().unwrap_or_else(|_| Err(failed("the tests broke the evaluator")))
}

fn run(policy: String, tests: String) -> Result<Vec<RegoTest>, RegoError> {
    let told = |error: &dyn std::fmt::Display| RegoError::Compile(error.to_string());
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(false);
    engine.add_policy(FILE.to_owned(), policy).map_err(|error| told(&error))?;
    let names = names(&tests);
    let package = engine.add_policy(TESTS.to_owned(), tests).map_err(|error| told(&error))?;
    let check_interval = NonZeroU32::new(256).unwrap_or(NonZeroU32::MIN);
    engine.set_execution_timer_config(ExecutionTimerConfig { limit: PATIENCE, check_interval });
    let outcome = |name: &str| {
        if name.starts_with("todo_") {
            return RegoTestOutcome::Skipped;
        }
        // A fresh copy: what one test leaves behind is nothing to the next.
        match engine.clone().eval_rule(format!("{package}.{name}")) {
            Ok(Value::Bool(true)) => RegoTestOutcome::Passed,
            Ok(_) => RegoTestOutcome::Failed,
            Err(error) => RegoTestOutcome::Broken(error.to_string()),
        }
    };
    Ok(names.into_iter().map(|name| RegoTest { outcome: outcome(&name), name }).collect())
}

/// Names of rules at the start of a line that are those of tests, each once.
fn names(tests: &str) -> Vec<String> {
    let Ok(source) = Source::from_contents(TESTS.to_owned(), tests.to_owned()) else { return Vec::new() };
    let mut lexer = Lexer::new(&source);
    let mut names: Vec<String> = Vec::new();
    while let Ok(token) = lexer.next_token() {
        let (name, at_start) = (token.1.text(), token.1.col == 1);
        let is_test = at_start && (name.starts_with("test_") || name.starts_with("todo_test_"));
        match token.0 {
            TokenKind::Eof => break,
            TokenKind::Ident if is_test && !names.iter().any(|known| known == name) => names.push(name.to_owned()),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "package stella.policy\nverdict := \"block\" if input.finding.kev";

    #[test]
    fn tests_pass_fail_break_and_wait() {
        let tests = r#"package stella.policy_test
import data.stella.policy

test_exploited if policy.verdict == "block" with input as {"finding": {"kev": true}}
test_quiet if not policy.verdict with input as {"finding": {"kev": false}}
test_wrong if policy.verdict == "warn" with input as {"finding": {"kev": true}}
test_twice := 1
test_twice := 2
todo_test_later if false
helper if true
"#;
        let ran = rego_tests(POLICY, tests).unwrap();
        use RegoTestOutcome::{Failed, Passed, Skipped};
        let told: Vec<_> = ran.iter().map(|test| (test.name.as_str(), test.outcome.clone())).collect();
        assert_eq!(told[..3], [("test_exploited", Passed), ("test_quiet", Passed), ("test_wrong", Failed)]);
        assert!(matches!(&told[3], ("test_twice", RegoTestOutcome::Broken(_))), "{told:?}");
        assert_eq!(told[4..], [("todo_test_later", Skipped)]);
    }

    #[test]
    fn tests_may_stand_in_the_policys_own_package() {
        let tests = "package stella.policy\ntest_exploited if verdict == \"block\" with input.finding.kev as true";
        assert_eq!(rego_tests(POLICY, tests).unwrap()[0].outcome, RegoTestOutcome::Passed);
    }

    #[test]
    fn what_cannot_come_into_force_is_not_tested() {
        let refused = rego_tests("package stella.policy\nverdict := http.send({})", "package t\ntest_a if true");
        assert!(refused.unwrap_err().to_string().contains("http.send"));
        assert!(rego_tests(POLICY, "package").is_err());
    }
}
