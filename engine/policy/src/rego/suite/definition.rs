//! Tests as they are written. Each definition is a test of its own, as for `opa test`: of two with one name, one may fail.

use std::ops::Range;

use regorus::unstable::{Expr, Parser, Rule, RuleHead, Source};

/// One definition of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    /// Its name within the package, such as `test_exploited` or `nested.test_exploited`.
    pub name: String,
    /// How many definitions of this name stand before it.
    pub before: usize,
    /// Whether its name begins with `todo_`.
    pub waits: bool,
    /// Why it cannot be run.
    pub refused: Option<&'static str>,
    /// Where it stands, in bytes, up to the rule behind it.
    place: Range<usize>,
}

/// The definitions in `tests`, a source that is called `file`, in their order.
///
/// # Errors
/// What the parser says when it is no Rego v1.
pub(super) fn definitions(file: &str, tests: &str) -> Result<Vec<Definition>, String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let source = Source::from_contents(file.to_owned(), tests.to_owned()).map_err(|error| told(&error))?;
    let mut parser = Parser::new(&source).map_err(|error| told(&error))?;
    parser.enable_rego_v1().map_err(|error| told(&error))?;
    let module = parser.parse().map_err(|error| told(&error))?;
    let mut found: Vec<Definition> = Vec::new();
    // A rule's own span ends before the quote that closes a text at its end.
    let starts: Vec<usize> = module.policy.iter().map(|rule| rule.span().start as usize).collect();
    let ends = starts.iter().copied().skip(1).chain([tests.len()]);
    for ((rule, start), end) in module.policy.iter().zip(&starts).zip(ends) {
        let Some((name, waits, has_cases)) = named(rule) else { continue };
        let before = found.iter().filter(|definition| definition.name == name).count();
        found.push(Definition { name, before, waits, refused: refused(rule, has_cases), place: *start..end });
    }
    Ok(found)
}

/// `tests` with one definition of each name: of the name of `chosen` that one, of others the first. Lines stay where they are.
pub(super) fn with_one_of_each(tests: &str, definitions: &[Definition], chosen: &Definition) -> String {
    let stays = |definition: &Definition| {
        let wanted = if definition.name == chosen.name { chosen.before } else { 0 };
        definition.before == wanted
    };
    let mut source = String::with_capacity(tests.len());
    let mut at = 0;
    for definition in definitions.iter().filter(|definition| !stays(definition)) {
        source.push_str(&tests[at..definition.place.start]);
        source.extend(tests[definition.place.clone()].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        at = definition.place.end;
    }
    source + &tests[at..]
}

/// The name of a test up to the step that makes it one, whether it waits, and whether a step that is not fixed comes after it.
fn named(rule: &Rule) -> Option<(String, bool, bool)> {
    let reference = match rule {
        Rule::Spec {
            head: RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. },
            ..
        } => refr,
        Rule::Default { refr, .. } => refr,
    };
    let mut name = String::new();
    let steps = steps(reference);
    for (at, step) in steps.iter().enumerate() {
        let step = step.as_deref()?;
        let plain = step.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match at {
            0 => name.push_str(step),
            _ if plain => name.extend([".", step]),
            _ => name.push_str(&format!("[{}]", serde_json::Value::from(step))),
        }
        let waits = step.starts_with("todo_test_");
        if waits || step.starts_with("test_") {
            return Some((name, waits, steps[at..].contains(&None)));
        }
    }
    None
}

/// The steps of a reference from the outermost; one that is not a fixed text is nothing.
fn steps(reference: &Expr) -> Vec<Option<String>> {
    match reference {
        Expr::Var { span, .. } => vec![Some(span.text().to_owned())],
        Expr::RefDot { refr, field, .. } => [steps(refr), vec![Some(field.0.text().to_owned())]].concat(),
        Expr::RefBrack { refr, index, .. } => {
            let text = match &**index {
                Expr::String { value, .. } | Expr::RawString { value, .. } => value.as_string().ok(),
                _ => None,
            };
            [steps(refr), vec![text.map(ToString::to_string)]].concat()
        }
        _ => vec![None],
    }
}

/// What OPA runs in a way of its own. To run it as a plain rule would let pass what fails there.
fn refused(rule: &Rule, has_cases: bool) -> Option<&'static str> {
    match rule {
        Rule::Spec { head: RuleHead::Func { .. }, .. } => Some("a function is no test"),
        Rule::Spec { bodies, .. } if bodies.iter().skip(1).any(|body| !body.is_else) => {
            Some("a test with several bodies is not run here; write a rule for each")
        }
        Rule::Spec { .. } if has_cases => Some("cases in a test's name are not run here; write a test for each"),
        Rule::Spec { .. } | Rule::Default { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: &str = "package t
default test_a := false
  test_a if true
nested.test_b if true
nested[\"todo_test_c\"] if false
helper if true
nested[\"a test\"].test_d if true
test_e.more if { true } else := true
";

    fn told(tests: &str) -> Vec<(String, usize, bool)> {
        let definitions = definitions("t.rego", tests).unwrap();
        definitions.into_iter().map(|found| (found.name, found.before, found.waits)).collect()
    }

    #[test]
    fn every_definition_is_found() {
        let found = told(TESTS);
        let wanted = [
            ("test_a", 0, false),
            ("test_a", 1, false),
            ("nested.test_b", 0, false),
            ("nested.todo_test_c", 0, true),
            ("nested[\"a test\"].test_d", 0, false),
            ("test_e", 0, false),
        ];
        let wanted: Vec<_> = wanted.map(|(name, before, waits)| (name.to_owned(), before, waits)).into();
        assert_eq!(found, wanted);
        assert!(definitions("t.rego", "package").unwrap_err().contains("t.rego"));
    }

    #[test]
    fn one_definition_stands_and_no_line_moves() {
        let tests = "package t\ntest_a if {\n\ttrue\n}\ntest_b if true\ntest_b if \"ä\"\ntest_a if false # why\n";
        let found = definitions("t.rego", tests).unwrap();
        assert_eq!(
            with_one_of_each(tests, &found, &found[0]).lines().map(str::trim_end).collect::<Vec<_>>(),
            ["package t", "test_a if {", "\ttrue", "}", "test_b if true", "", ""]
        );
        let second = with_one_of_each(tests, &found, &found[3]);
        assert_eq!(
            second.lines().map(str::trim_end).collect::<Vec<_>>(),
            ["package t", "", "", "", "test_b if true", "", "test_a if false # why"]
        );
    }

    #[test]
    fn what_opa_runs_in_its_own_way_is_refused() {
        for (test, part) in [
            ("test_f(x) if x", "function"),
            ("test_c[n] if some n in [1, 2]", "cases"),
            ("test_c[n].more if some n in [\"a\"]", "cases"),
            ("test_t if { true } { false }", "several bodies"),
        ] {
            let found = definitions("t.rego", &format!("package t\n{test}\n")).unwrap();
            assert!(found[0].refused.is_some_and(|reason| reason.contains(part)), "{test}: {found:?}");
        }
    }
}
