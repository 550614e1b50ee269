use std::time::{Duration, Instant};

use stella_domain::Severity;

use super::*;
use crate::{
    Compiled, Context, Document, FindingInput, Format, ImageVerdict, IssueCode, PolicyError, Status, evaluate, parse,
};

fn limits() -> RegoLimits {
    RegoLimits { total_time: Duration::from_secs(4), ..RegoLimits::default() }
}

fn module(body: &str) -> Module {
    Module::compile_within(&format!("package stella.policy\n\n{body}\n"), limits()).unwrap()
}

fn documents(count: usize) -> Vec<serde_json::Value> {
    let context = Context::default();
    (0..count).map(|n| finding_document(&FindingInput::new(n.to_string(), Severity::High), &context)).collect()
}

fn verdict(body: &str) -> Result<Option<VerdictAnswer>, RegoError> {
    module(body).verdicts(documents(1)).map(|mut answers| answers.pop().flatten())
}

fn status(body: &str) -> Option<Status> {
    verdict(body).unwrap().map(|answer| answer.status)
}

#[test]
fn the_words_of_a_verdict_have_their_statuses() {
    let words = ["pass", "ignore", "warn", "defer", "escalate", "requireVex", "block", "quiet"];
    let statuses = words.map(|word| status(&format!("verdict := \"{word}\"")).unwrap());
    let expected = [
        Status::Pass,
        Status::Ignored,
        Status::Warned,
        Status::Deferred,
        Status::Escalated,
        Status::RequiresVex,
        Status::Blocked,
        Status::Quieted,
    ];
    assert_eq!(statuses, expected);
    assert_eq!(status("verdict := \"block\" if input.finding.kev"), None);
    let named = verdict("verdict := {\"action\": \"warn\", \"rule\": \"look\"}").unwrap().unwrap();
    assert_eq!(named, VerdictAnswer { status: Status::Warned, action: "warn", rule: Some("look".to_owned()) });
}

#[test]
fn an_answer_that_means_nothing_is_an_error() {
    for body in [
        "verdict := true",
        "verdict := \"Block\"",
        "verdict := {\"rule\": \"x\"}",
        "verdict contains \"block\" if true",
    ] {
        assert!(matches!(verdict(body), Err(RegoError::Answer { .. })), "{body}: {:?}", verdict(body));
    }
    let disagree =
        "verdict := \"warn\" if input.finding.severity == \"High\"\nverdict := \"block\" if input.finding.id == \"0\"";
    assert!(matches!(verdict(disagree), Err(RegoError::Failed { .. })), "{:?}", verdict(disagree));
}

#[test]
fn loops_without_end_are_stopped_by_their_instructions() {
    let loops = [
        "n := numbers.range(1, 1000)\nverdict := \"warn\" if count([1 | some a in n; some b in n; some c in n; a + b + c == 0]) == 0",
        "n := numbers.range(1, 90000)\nverdict := \"warn\" if { some a in n; some b in n; a * b == -1 }",
        "n := numbers.range(1, 90000)\nverdict := \"warn\" if { every a in n { some b in n; b > a } }",
    ];
    for body in loops {
        let began = Instant::now();
        let answer = verdict(body);
        assert!(matches!(answer, Err(RegoError::Instructions { .. } | RegoError::Memory { .. })), "{body}: {answer:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "{body}: {:?}", began.elapsed());
    }
}

#[test]
fn time_is_limited_even_where_instructions_are_not() {
    let body = "n := numbers.range(1, 2000)\nverdict := \"warn\" if { some a in n; some b in n; some c in n; a * b * c == -1 }";
    let limits =
        RegoLimits { instructions: usize::MAX, memory_bytes: 1 << 40, time: Duration::from_millis(50), ..limits() };
    let module = Module::compile_within(&format!("package stella.policy\n{body}"), limits).unwrap();
    assert!(matches!(module.verdicts(documents(1)), Err(RegoError::Time { millis: 50, .. })));
}

#[test]
fn recursion_is_refused_when_it_is_compiled() {
    for body in ["f(x) := f(x + 1)\nverdict := \"warn\" if f(1) > 0", "a := b\nb := a\nverdict := \"warn\" if a == 1"] {
        let source = format!("package stella.policy\n{body}");
        let refused = Module::compile(&source).map(|module| module.verdicts(documents(1)));
        assert!(matches!(refused, Err(RegoError::Compile(_)) | Ok(Err(_))), "{body}: {refused:?}");
    }
    let endless = [
        format!("verdict := {}1", "- ".repeat(5000)),
        format!("verdict := 1{}", "\n+1".repeat(20_000)),
        format!("verdict := {}1", "[f(set(), set(), ".repeat(40)),
        "verdict := 0e2147483647".to_owned(),
    ];
    for body in endless {
        let began = Instant::now();
        assert!(Module::compile(&format!("package stella.policy\n{body}")).is_err(), "{}", &body[..40.min(body.len())]);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
    let deep = format!("package stella.policy\nverdict := \"warn\" if {}1{} == 1", "(".repeat(5000), ")".repeat(5000));
    assert!(matches!(Module::compile(&deep), Err(RegoError::Compile(_))));
    let nested = format!("package stella.policy\nverdict := {}1{}", "[".repeat(5000), "]".repeat(5000));
    assert!(matches!(Module::compile(&nested), Err(RegoError::Compile(_))));
}

#[test]
fn the_deepest_brackets_that_are_allowed_are_compiled_in_time() {
    for (open, close) in [("(", ")"), ("[", "]"), ("{", "}"), ("{1: ", "}")] {
        let began = Instant::now();
        let source = format!(
            "package stella.policy\nverdict := \"warn\" if x == 1\nx := {}1{}",
            open.repeat(12),
            close.repeat(12)
        );
        let _ = Module::compile(&source);
        assert!(began.elapsed() < Duration::from_secs(2), "{open}: {:?}", began.elapsed());
    }
}

#[test]
fn memory_is_limited() {
    let doubling: String = (1..60).map(|n| format!("s{n} := concat(\"\", [s{0}, s{0}])\n", n - 1)).collect();
    let hungry = [
        format!("s0 := \"aaaaaaaaaaaaaaaa\"\n{doubling}verdict := \"warn\" if count(s59) > 0"),
        "verdict := \"warn\" if count(numbers.range(0, 9000000000000000)) > 0".to_owned(),
        "verdict := \"warn\" if count(numbers.range(18446744073709551616, 18446745073709551616)) > 0".to_owned(),
        "verdict := \"warn\" if count(sprintf(\"%4000000000d\", [1])) > 0".to_owned(),
        "verdict := \"warn\" if bits.lsh(1, 4000000000) > 0".to_owned(),
        "n := numbers.range(1, 5000)\nverdict := \"warn\" if count({x: y | some x in n; y := [z | some z in n]}) > 0"
            .to_owned(),
        format!(
            "a := concat(\"\", [\"a\" | some _ in numbers.range(1, 20000)])\nb := replace(a, \"a\", a)\n{}",
            "verdict := \"warn\" if count(b) > 0"
        ),
    ];
    for body in &hungry {
        let answer = verdict(body);
        let stopped = matches!(answer, Err(RegoError::Memory { .. } | RegoError::Instructions { .. }));
        assert!(stopped, "{}: {answer:?}", body.chars().take(80).collect::<String>());
    }
}

#[test]
fn an_answer_that_is_too_long_is_an_error() {
    let body = "n := numbers.range(1, 20000)\nverdict := {\"action\": \"warn\", \"reasons\": n}";
    assert!(matches!(verdict(body), Err(RegoError::Output { .. })), "{:?}", verdict(body));
    let shared: String = (1..60).map(|n| format!("x{n} := [x{0}, x{0}]\n", n - 1)).collect();
    let body = format!("x0 := [1]\n{shared}verdict := {{\"action\": \"warn\", \"x\": x59}}");
    assert!(matches!(verdict(&body), Err(RegoError::Output { .. })), "{:?}", verdict(&body));
}

#[test]
fn a_machine_that_does_not_come_back_is_given_up_once() {
    // Two values of 2^60 leaves, each of 60 parts: to compare them is one instruction.
    let shared =
        |name: &str| -> String { (1..60).map(|n| format!("{name}{n} := [{name}{0}, {name}{0}]\n", n - 1)).collect() };
    let body = format!("x0 := [1]\ny0 := [1]\n{}{}verdict := \"warn\" if x59 == y59", shared("x"), shared("y"));
    let limits = RegoLimits { total_time: Duration::from_millis(300), time: Duration::from_millis(200), ..limits() };
    let module = Module::compile_within(&format!("package stella.policy\n{body}"), limits).unwrap();
    assert!(matches!(module.verdicts(documents(1)), Err(RegoError::Time { .. })));
    let began = Instant::now();
    assert!(matches!(module.verdicts(documents(1)), Err(RegoError::Time { .. })));
    assert!(began.elapsed() < Duration::from_millis(100));
}

#[test]
fn what_has_no_meaning_here_is_refused_with_line_and_column() {
    let calls = [
        "http.send({\"url\": \"x\"})",
        "time.now_ns()",
        "rand.intn(\"a\", 5)",
        "opa.runtime()",
        "net.lookup_ip_addr(\"x\")",
        "uuid.rfc4122(\"a\")",
        "io.jwt.decode(\"a\")",
        "crypto.md5(\"a\")",
        "walk(input)",
    ];
    for call in calls {
        let source = format!("package stella.policy\n\nverdict := \"warn\" if {{\n  x := {call}\n}}\n");
        let issues = parse(&source, Format::Rego).issues;
        assert_eq!(issues[0].code, IssueCode::RegoBuiltinRefused, "{call}");
        assert_eq!(issues[0].position.map(|at| (at.line, at.column)), Some((4, 8)), "{call}");
        assert!(matches!(Module::compile(&source), Err(RegoError::Compile(_))), "{call}");
    }
}

#[test]
fn a_source_that_is_no_rego_has_line_and_column() {
    let at = |source: &str| {
        let issue = parse(source, Format::Rego).issues.remove(0);
        (issue.code, issue.position.map(|at| at.line))
    };
    assert_eq!(at("package stella.policy\n\nverdict := \"warn\" if {\n  1 +\n}\n"), (IssueCode::RegoSyntax, Some(5)));
    assert_eq!(at("package stella.policy\n\nverdict := \"warn\" if nonesuch(1)\n"), (IssueCode::RegoSyntax, Some(3)));
    assert_eq!(at("package stella.policy\n\nverdict := \"warn\" { true }\n").0, IssueCode::RegoSyntax);
    assert_eq!(at("package other\n\nverdict := \"warn\"\n").0, IssueCode::RegoPackageWrong);
    assert_eq!(at("package stella.policy\n\nallow := true\n").0, IssueCode::RegoEntrypointMissing);
    assert_eq!(at("").0, IssueCode::RegoSyntax);
}

fn policy(source: &str) -> Compiled {
    let document = parse(source, Format::Rego).accept().unwrap();
    Compiled::within("team/rego", 0, &document, limits()).unwrap()
}

#[test]
fn one_function_evaluates_rules_and_rego() {
    let rego = policy(
        "package stella.policy\n\nverdict := {\"action\": \"block\", \"rule\": \"no kev\"} if input.finding.kev\n",
    );
    let rules = parse("version: '1.0'\nrules: [{name: rest, action: warn}]", Format::Yaml).accept().unwrap();
    let rules = Compiled::new("team/rules", -1, &rules).unwrap();
    let mut exploited = FindingInput::new("a", Severity::Low);
    exploited.kev = true;
    let found = [exploited, FindingInput::new("b", Severity::Low)];
    let evaluation = evaluate(&[&rules, &rego], &found, &Context::default());
    assert_eq!(evaluation.failures, []);
    let decided: Vec<_> =
        evaluation.verdicts.iter().map(|v| (v.status, v.rule_name.as_deref(), v.policy.as_deref())).collect();
    assert_eq!(
        decided,
        [(Status::Blocked, Some("no kev"), Some("team/rego")), (Status::Warned, Some("rest"), Some("team/rules"))]
    );
    assert_eq!(evaluation.decider.unwrap().rule, "no kev");
}

#[test]
fn the_image_is_told_its_verdicts_and_gets_no_milder() {
    let source = "package stella.policy\n\nverdict := \"warn\"\n\nimage := {\"verdict\": \"blocked\", \"rule\": \"too many\"} if count([f | some f in input.findings; f.status == \"Warned\"]) > 1\n";
    let found = |count: usize| (0..count).map(|n| FindingInput::new(n.to_string(), Severity::Low)).collect::<Vec<_>>();
    let of = |count| evaluate(&[policy(source)], &found(count), &Context::default());
    assert_eq!([0, 1, 2].map(|count| of(count).image), [ImageVerdict::Pass, ImageVerdict::Warn, ImageVerdict::Blocked]);
    assert_eq!(of(2).decider.unwrap().rule, "too many");
    assert!(policy(source).asks_for_entrypoints(), "it may");
    let again = source.replace("too many", "once more");
    let later = Compiled::within("team/s", 0, &parse(&again, Format::Rego).accept().unwrap(), limits()).unwrap();
    let both = evaluate(&[policy(source), later], &found(2), &Context::default());
    assert_eq!(both.decider.unwrap().rule, "too many", "a later one that is no stricter decides nothing");
    let milder = "package stella.policy\n\nverdict := \"block\"\n\nimage := \"pass\"\n";
    assert_eq!(evaluate(&[policy(milder)], &found(1), &Context::default()).image, ImageVerdict::Blocked);
}

#[test]
fn a_policy_beyond_its_limits_blocks_what_it_was_asked_about() {
    let endless = policy(
        "package stella.policy\n\nn := numbers.range(1, 90000)\n\nverdict := \"pass\" if { some a in n; some b in n; a * b == -1 }\n",
    );
    let evaluation = evaluate(&[endless], &[FindingInput::new("a", Severity::Low)], &Context::default());
    assert_eq!(evaluation.image, ImageVerdict::Blocked);
    let verdict = &evaluation.verdicts[0];
    assert_eq!((verdict.status, &verdict.rule_name, verdict.rule_action), (Status::Blocked, &None, None));
    assert_eq!(evaluation.failures[0].policy, "team/rego");
    let decider = evaluation.decider.unwrap();
    assert_eq!((decider.policy.as_str(), decider.rule.as_str()), ("team/rego", "the policy gave no answer"));
    assert!(matches!(
        evaluation.failures[0].error,
        PolicyError::Rego(RegoError::Instructions { .. } | RegoError::Memory { .. })
    ));
}

#[test]
fn waivers_scoring_and_environments_hold_for_rego_too() {
    let text = "version: '1.0'\nenvironments: [prod]\nrego: |\n  package stella.policy\n  verdict := \"block\"\n\
        waivers:\n- {id: w, cve: CVE-1, justification: j, owner: o, ticket: t, expires: 2030-01-01T00:00:00Z}\n";
    let document: Document = parse(text, Format::Yaml).accept().unwrap();
    let policy = Compiled::new("p", 0, &document).unwrap();
    let mut waived = FindingInput::new("a", Severity::High);
    waived.advisory_ids = vec!["CVE-1".to_owned()];
    let found = [waived, FindingInput::new("b", Severity::High)];
    let at = |environment: &str| Context {
        environment: Some(environment.to_owned()),
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        ..Context::default()
    };
    let statuses = |environment| {
        evaluate(&[&policy], &found, &at(environment)).verdicts.iter().map(|v| v.status).collect::<Vec<_>>()
    };
    assert_eq!(statuses("prod"), [Status::Ignored, Status::Blocked]);
    assert_eq!(statuses("dev"), [Status::Pass, Status::Pass]);
    assert_eq!(parse(&document.to_yaml().unwrap(), Format::Yaml).accept().unwrap(), document);
}

#[test]
fn threads_share_a_module_and_agree() {
    let module = module("verdict := \"warn\" if to_number(input.finding.id) % 3 == 0");
    let expected = module.verdicts(documents(100)).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let module = module.clone();
            std::thread::spawn(move || module.verdicts(documents(100)).unwrap())
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), expected);
    }
}

#[test]
fn a_refused_name_is_found_however_it_is_written() {
    for call in ["time[\"now_ns\"]()", "http[\"send\"]({})"] {
        let source = format!("package stella.policy\n\nverdict := \"warn\" if {{\n  x := {call}\n}}\n");
        let issues = parse(&source, Format::Rego).issues;
        assert!(matches!(issues[0].code, IssueCode::RegoBuiltinRefused | IssueCode::RegoSyntax), "{call}: {issues:?}");
    }
    let mocked =
        "package stella.policy\n\nf(x) := count(x)\n\nverdict := \"warn\" if f(\"a\") with count as http.send\n";
    assert!(parse(mocked, Format::Rego).is_blocked());
}

#[test]
fn every_function_of_the_engine_is_refused_guarded_or_known_to_be_harmless() {
    const HARMLESS: &[&str] = &[
        "__builtin_sets.intersection",
        "__builtin_sets.union",
        "abs",
        "array.concat",
        "array.reverse",
        "array.slice",
        "bits.and",
        "bits.negate",
        "bits.or",
        "bits.rsh",
        "bits.xor",
        "ceil",
        "contains",
        "count",
        "endswith",
        "floor",
        "format_int",
        "glob.match",
        "glob.quote_meta",
        "indexof",
        "indexof_n",
        "intersection",
        "is_array",
        "is_boolean",
        "is_null",
        "is_number",
        "is_object",
        "is_set",
        "is_string",
        "json.is_valid",
        "json.unmarshal",
        "lower",
        "max",
        "min",
        "object.filter",
        "object.get",
        "object.keys",
        "object.remove",
        "object.subset",
        "product",
        "regex.find_n",
        "regex.is_valid",
        "regex.match",
        "regex.split",
        "round",
        "semver.compare",
        "semver.is_valid",
        "sort",
        "split",
        "startswith",
        "strings.any_prefix_match",
        "strings.any_suffix_match",
        "strings.count",
        "strings.reverse",
        "substring",
        "sum",
        "time.date",
        "time.diff",
        "time.format",
        "time.parse_duration_ns",
        "time.parse_ns",
        "time.parse_rfc3339_ns",
        "time.weekday",
        "to_number",
        "trim",
        "trim_left",
        "trim_prefix",
        "trim_right",
        "trim_space",
        "trim_suffix",
        "type_name",
        "union",
        "upper",
    ];
    let mut unknown: Vec<&str> = regorus::unstable::BUILTINS.keys().copied().collect();
    unknown.retain(|name| {
        let guarded = GUARDED.iter().any(|(guarded, _)| guarded == name);
        builtins::refusal(name).is_none() && !guarded && !HARMLESS.contains(name)
    });
    unknown.sort_unstable();
    assert_eq!(unknown, Vec::<&str>::new());
    let dead: Vec<&&str> = HARMLESS.iter().filter(|name| builtins::refusal(name).is_some()).collect();
    assert!(dead.is_empty(), "refused, so nothing here: {dead:?}");
}
