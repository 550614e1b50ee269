//! docs/policy-issues.md: a section for each code, an example that has this issue and no worse one, and the same mended.

use std::collections::BTreeSet;
use std::path::Path;

use stella_policy::{Format, Issue, IssueCode, Parsed, lint, parse};

/// The two documents that are too long to be written down.
const GENERATED: [&str; 2] = ["policy.document.too_large", "policy.limit.exceeded"];

struct Section {
    code: String,
    text: String,
    blocks: Vec<(Format, String)>,
}

fn sections() -> Vec<Section> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policy-issues.md");
    let page = std::fs::read_to_string(file).unwrap();
    page.split("\n## `").skip(1).map(section).collect()
}

fn section(text: &str) -> Section {
    let (code, text) = text.split_once("`\n").unwrap();
    let blocks = text.split("\n```").skip(1).step_by(2).map(|block| {
        let (language, content) = block.split_once('\n').unwrap();
        let format = match language {
            "yaml" => Format::Yaml,
            "json" => Format::Json,
            "rego" => Format::Rego,
            other => panic!("{code}: a block of {other:?}"),
        };
        (format, content.to_owned())
    });
    Section { code: code.to_owned(), text: text.to_owned(), blocks: blocks.collect() }
}

fn issues(format: Format, text: &str) -> Vec<Issue> {
    let Parsed { document, mut issues } = parse(text, format);
    issues.extend(lint(&document, "2026-06-01T00:00:00Z".parse().unwrap()));
    issues
}

#[test]
fn every_code_has_its_section() {
    let written: Vec<String> = sections().into_iter().map(|section| section.code).collect();
    let known: BTreeSet<String> = IssueCode::ALL.iter().map(|code| code.name().to_owned()).collect();
    assert_eq!(written.iter().cloned().collect::<BTreeSet<_>>(), known);
    assert_eq!(written.len(), known.len(), "a code has two sections");
}

#[test]
fn every_section_says_how_serious_it_is_and_what_it_means() {
    for section in sections() {
        let code = IssueCode::ALL.iter().find(|code| code.name() == section.code).unwrap();
        let blocks = if code.blocking() { ", blocks" } else { "" };
        let expected = format!("{:?}{blocks}. {}", code.severity(), code.summary());
        let flat = section.text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(&expected), "{}: {expected}", section.code);
    }
}

#[test]
fn every_example_has_exactly_its_issue_and_none_when_mended() {
    for section in sections().iter().filter(|section| !GENERATED.contains(&section.code.as_str())) {
        let [(format, example), (mended_format, mended)] = &section.blocks[..] else {
            panic!("{}: an example and the same mended, {} blocks", section.code, section.blocks.len());
        };
        let found: BTreeSet<&str> = issues(*format, example).iter().map(|issue| issue.code.name()).collect();
        assert_eq!(found, BTreeSet::from([section.code.as_str()]), "{}", section.code);
        assert_eq!(issues(*mended_format, mended), [], "{}", section.code);
    }
}

#[test]
fn what_is_too_long_to_write_down_is_made() {
    let head = "version: \"1.0\"\nrules:\n- {name: a, action: warn}\n";
    let large = format!("{head}# {}", "x".repeat(1024 * 1024));
    assert_eq!(issues(Format::Yaml, &large)[0].code, IssueCode::TooLarge);
    assert_eq!(issues(Format::Yaml, head), []);
    let list = |count: usize| {
        format!(
            "version: \"1.0\"\nrules:\n- {{name: a, match: {{cves: [{}]}}, action: warn}}\n",
            "CVE-1,".repeat(count)
        )
    };
    assert_eq!(issues(Format::Yaml, &list(1001))[0].code, IssueCode::LimitExceeded);
    assert_eq!(issues(Format::Yaml, &list(1000)), []);
}
