//! Tests of a policy that are written in Rego, as `opa test` runs them.

mod definition;

use std::num::NonZeroU32;
use std::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

use self::definition::{Definition, definitions, with_one_of_each};
use super::run::STACK_BYTES;
use super::{FILE, Module, RegoError};

/// The name the tests have in messages.
const TESTS: &str = "tests.rego";
/// The time one test may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A test and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegoTest {
    /// Name of its rule within the package; of further rules of the name with `#01`, `#02` and so on behind it.
    pub name: String,
    /// The whole name of its rule, such as `data.stella.policy_test.test_exploited`.
    pub path: String,
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
    /// It cannot be evaluated, or not as `opa test` does.
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
    let definitions = definitions(TESTS, &tests).map_err(RegoError::Compile)?;
    let with = |tests: &str| engine(&policy, tests).map_err(RegoError::Compile);
    let Some(first) = definitions.first() else { return with(&tests).map(|_| Vec::new()) };
    let firsts = with(&with_one_of_each(&tests, &definitions, first))?;
    let outcome = |definition: &Definition| match (definition, definition.refused) {
        (Definition { waits: true, .. }, _) => RegoTestOutcome::Skipped,
        (_, Some(reason)) => RegoTestOutcome::Broken(reason.to_owned()),
        // A fresh copy: what one test leaves behind is nothing to the next.
        (Definition { before: 0, name, .. }, None) => evaluated(firsts.clone(), name),
        (Definition { name, .. }, None) => match engine(&policy, &with_one_of_each(&tests, &definitions, definition)) {
            Ok(engine) => evaluated(engine, name),
            Err(reason) => RegoTestOutcome::Broken(reason),
        },
    };
    let ran = definitions.iter().map(|definition| {
        let Definition { name, before, waits, .. } = definition;
        let outcome = outcome(definition);
        let path = format!("{}.{name}", firsts.1);
        let name = if *before > 0 && !waits { format!("{name}#{before:02}") } else { name.clone() };
        RegoTest { name, path, outcome }
    });
    Ok(ran.collect())
}

/// An engine that holds `policy` and `tests`, and the package of the tests.
fn engine(policy: &str, tests: &str) -> Result<(Engine, String), String> {
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(false);
    engine.add_policy(FILE.to_owned(), policy.to_owned()).map_err(|error| error.to_string())?;
    let package = engine.add_policy(TESTS.to_owned(), tests.to_owned()).map_err(|error| error.to_string())?;
    let check_interval = NonZeroU32::new(256).unwrap_or(NonZeroU32::MIN);
    engine.set_execution_timer_config(ExecutionTimerConfig { limit: PATIENCE, check_interval });
    Ok((engine, package))
}

fn evaluated((mut engine, package): (Engine, String), name: &str) -> RegoTestOutcome {
    match engine.eval_rule(format!("{package}.{name}")) {
        Ok(Value::Bool(true)) => RegoTestOutcome::Passed,
        Ok(_) => RegoTestOutcome::Failed,
        Err(error) => RegoTestOutcome::Broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "package stella.policy\nverdict := \"block\" if input.finding.kev";

    fn told(tests: &str) -> Vec<(String, RegoTestOutcome)> {
        rego_tests(POLICY, tests).unwrap().into_iter().map(|test| (test.name, test.outcome)).collect()
    }

    #[test]
    fn tests_pass_fail_break_and_wait() {
        let tests = r#"package stella.policy_test
import data.stella.policy

test_exploited if policy.verdict == "block" with input as {"finding": {"kev": true}}
test_quiet if not policy.verdict with input as {"finding": {"kev": false}}
test_wrong if policy.verdict == "warn" with input as {"finding": {"kev": true}}
test_function(x) if x
todo_test_later if false
helper if true
"#;
        use RegoTestOutcome::{Broken, Failed, Passed, Skipped};
        let wanted = [
            ("test_exploited", Passed),
            ("test_quiet", Passed),
            ("test_wrong", Failed),
            ("test_function", Broken("a function is no test".to_owned())),
            ("todo_test_later", Skipped),
        ];
        assert_eq!(told(tests), wanted.map(|(name, outcome)| (name.to_owned(), outcome)));
        assert_eq!(rego_tests(POLICY, tests).unwrap()[0].path, "data.stella.policy_test.test_exploited");
        assert_eq!(told("package t"), []);
    }

    /// Together they would pass, since one of them does.
    #[test]
    fn of_two_tests_with_one_name_each_is_run() {
        use RegoTestOutcome::{Failed, Passed};
        let tests = "package t\ntest_a if true\ntest_a if false\ntest_b if true\ntest_a if { true }\ntest_a := 1";
        let wanted = [
            ("test_a", Passed),
            ("test_a#01", Failed),
            ("test_b", Passed),
            ("test_a#02", Passed),
            ("test_a#03", Failed),
        ];
        assert_eq!(told(tests), wanted.map(|(name, outcome)| (name.to_owned(), outcome)));
    }

    #[test]
    fn tests_are_found_wherever_they_stand() {
        let tests = "package t\nimport data.stella.policy\n  test_in if true\nshop.test_deep if true\nshop[\"a b\"].test_c if true";
        let names = ["test_in", "shop.test_deep", "shop[\"a b\"].test_c"];
        assert_eq!(told(tests), names.map(|name| (name.to_owned(), RegoTestOutcome::Passed)));
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
