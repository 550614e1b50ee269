//! The life of policies, waivers and statements, against an operator that really runs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::ground::{BLOCK_CRITICAL, Ground, WARN_ALL};

#[test]
fn rules_come_in_are_shown_beforehand_and_go_back() {
    let ground = Ground::new();
    let (block, warn) = (ground.work.write("block.yaml", BLOCK_CRITICAL), ground.work.write("warn.yaml", WARN_ALL));
    let beforehand = ground.ctl(&["policy", "diff", &block, "--json"]);
    assert_eq!(beforehand.code, Some(1), "something would be newly blocked: {beforehand:?}");
    let told = beforehand.json();
    assert_eq!((&told["totals"]["newlyBlocked"], &told["images"]), (&json!(1), &json!(1)));
    assert_eq!(told["changes"][0]["examples"][0]["advisoryId"], "CVE-2022-28346");
    assert_eq!(told["changes"][0]["decidedBy"], "import: no criticals");
    assert_eq!(ground.verdict(), "pass", "a preview changes nothing");

    let first = ground.ctl(&["policy", "import", &block, "--json"]).json();
    assert_eq!((&first["revision"], &first["changed"]), (&json!("rev-1"), &json!(true)));
    assert_eq!(first["digest"], told["policyDigest"]);
    ground.becomes("fail");
    let exported = ground.ctl(&["policy", "export"]);
    assert!(exported.out.contains("# rev-1 of import") && exported.out.contains("no criticals"), "{exported:?}");
    assert_eq!(ground.runtime()["metadata"]["policy"], "import");
    assert_eq!(ground.ctl(&["policy", "export", "import"]).out, exported.out);
    ground.ctl(&["policy", "export", "shop/none"]).failed_with(&["shop/none"]);
    let (status, same) = ground.import(&exported.out, &[]);
    assert_eq!((status, &same["changed"], &same["digest"]), (200, &json!(false), &first["digest"]), "{same}");

    let (status, stale) = ground.import(WARN_ALL, &[("if-match", "\"0000\"")]);
    assert_eq!(status, 412, "{stale}");
    assert!(stale["detail"].as_str().unwrap().contains(first["digest"].as_str().unwrap()), "{stale}");
    let tag = format!("\"{}\"", first["digest"].as_str().unwrap());
    assert_eq!(ground.import(WARN_ALL, &[("if-match", &tag)]).0, 200);
    ground.becomes("warn");
    let history = ground.get("/policy/history?pageSize=1");
    assert_eq!(
        history["items"][0]["diff"]["rules"],
        json!({
            "added": ["look"], "removed": ["no criticals"], "changed": [], "reordered": false,
        })
    );
    let next = history["nextPageToken"].as_str().unwrap();
    let rest = ground.get(&format!("/policy/history?pageSize=1&pageToken={next}"));
    assert_eq!((&rest["items"][0]["description"], &rest["nextPageToken"]), (&json!("first"), &Value::Null));

    let back = ground.ctl(&["policy", "rollback", "rev-1", "--json"]).json();
    assert_eq!((&back["revision"], &back["digest"]), (&json!("rev-3"), &first["digest"]));
    ground.becomes("fail");
    let (status, _) = ground.post("/policy/rollback", &json!({"revision": "rev-77"}));
    assert_eq!(status, 404);

    let (status, problem) =
        ground.import("version: \"1.0\"\nrules:\n- {name: a, severity: [Foo], action: block}\n", &[]);
    assert_eq!((status, &problem["errors"][0]["path"]), (400, &json!("$.rules[0].severity")), "{problem}");
    assert_eq!(problem["errors"][0]["msg"], "Invalid level 'Foo'");
    let diff = ground.ctl(&["policy", "diff", &warn]);
    assert_eq!(diff.code, Some(0), "{diff:?}");
    assert!(diff.out.contains("1 freed") && diff.out.contains("blocked to warn"), "{diff:?}");
}

#[test]
fn objects_of_the_cluster_go_before_what_is_imported() {
    let ground = Ground::new();
    assert_eq!(ground.import(BLOCK_CRITICAL, &[]).0, 200);
    ground.becomes("fail");
    let object = "apiVersion: stella-ops.org/v1alpha1\nkind: Policy\nmetadata: {name: base, namespace: stella-system}\n\
                  spec:\n  format: rules\n  rules:\n  - {name: look, action: {type: warn}}\n";
    ground.work.write("manifests/policy.yaml", object);
    ground.becomes("warn");
    let (status, refused) = ground.import(BLOCK_CRITICAL, &[]);
    assert_eq!(status, 409, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("stella-system/base"), "{refused}");
    assert_eq!(ground.post("/policy/rollback", &json!({"revision": "rev-1"})).0, 409);
    let status_file = ground.work.path("manifests/policy.stella-system.base.status.yaml");
    let good = std::fs::read_to_string(&status_file).unwrap();
    assert!(good.contains("warned: 1"), "projected from what is stored: {good}");
    ground.work.write("manifests/policy.yaml", object.replace("name: look,", "name: look, match: {packages: ['[']},"));
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let broken = std::fs::read_to_string(&status_file).unwrap_or_default();
        if broken.contains("Stalled") {
            assert!(broken.contains("policy.rule.glob.invalid") && broken.contains("active: true"), "{broken}");
            break;
        }
        assert!(Instant::now() < end, "{broken}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(ground.verdict(), "warn", "the last good revision stays");
}

#[test]
fn a_waiver_hides_one_vulnerability_until_its_second() {
    let ground = Ground::new();
    assert_eq!(ground.import(BLOCK_CRITICAL, &[]).0, 200);
    ground.becomes("fail");
    let (status, bare) = ground.post("/api/v1/waivers", &json!({"cve": "CVE-2022-28346"}));
    assert_eq!(status, 400, "{bare}");
    let paths: Vec<&str> = bare["errors"].as_array().unwrap().iter().map(|e| e["path"].as_str().unwrap()).collect();
    for field in ["$.justification", "$.owner", "$.ticket", "$.expires"] {
        assert!(paths.contains(&field), "{bare}");
    }
    let until = stella_service::clock::Clock::system().now().plus_seconds(6);
    let waiver = |id: &str, cve: &str, expires: String| {
        json!({"id": id, "cve": cve, "justification": "behind a proxy", "owner": "shop", "ticket": "T-1",
            "expires": expires})
    };
    assert_eq!(ground.post("/api/v1/waivers", &waiver("past", "CVE-2022-28346", "2020-01-01T00:00:00Z".into())).0, 400);
    let (status, made) = ground.post("/api/v1/waivers", &waiver("w1", "CVE-2022-28346", until.to_string()));
    assert_eq!((status, &made["hides"]["findings"]), (201, &json!(1)), "{made}");
    assert_eq!(ground.post("/api/v1/waivers", &waiver("w1", "CVE-2022-28346", until.to_string())).0, 409);
    ground.becomes("pass");
    assert_eq!(ground.finding("CVE-2022-28346")["verdict"]["quietedBy"], "w1");
    loop {
        let before = stella_service::clock::Clock::system().now();
        let verdict = ground.verdict();
        let after = stella_service::clock::Clock::system().now();
        if after < until {
            assert_eq!(verdict, "pass", "it holds to its last second");
        } else if before >= until {
            assert_eq!(verdict, "fail", "and not a moment longer");
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let list = ground.get("/api/v1/waivers");
    assert_eq!((&list["items"][0]["state"], &list["items"][0]["hides"]["findings"]), (&json!("expired"), &json!(0)));
    let far = waiver("w2", "CVE-2022-28346", "2099-01-01T00:00:00Z".into());
    assert_eq!(ground.post("/api/v1/waivers", &far).0, 201);
    ground.becomes("pass");
    let (status, gone) = ground.operator.call("DELETE", "/api/v1/waivers/w2", &[], b"");
    assert_eq!((status, &gone["state"]), (200, &json!("withdrawn")), "{gone}");
    ground.becomes("fail");
    assert_eq!(ground.operator.call("DELETE", "/api/v1/waivers/w2", &[], b"").0, 409);
    assert_eq!(ground.operator.call("DELETE", "/api/v1/waivers/w9", &[], b"").0, 404);
}

fn openvex(package: &str, author: &str) -> Value {
    json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": format!("https://vex.example/{author}"), "author": author,
        "timestamp": "2026-01-01T00:00:00Z",
        "statements": [{"vulnerability": {"name": "CVE-2022-28346"}, "products": [{"@id": package}],
            "status": "not_affected", "justification": "vulnerable_code_not_in_execute_path"}],
    })
}

#[test]
fn a_statement_changes_verdicts_as_far_as_it_reaches() {
    let ground = Ground::new();
    assert_eq!(ground.import(BLOCK_CRITICAL, &[]).0, 200);
    ground.becomes("fail");
    let (status, taken) = ground.post("/console/vex/statements", &openvex("pkg:pypi/django@2.2.1", "Acme"));
    assert_eq!((status, &taken["statements"]), (201, &json!(1)), "{taken}");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(ground.verdict(), "fail", "it speaks of another version");
    assert_eq!(ground.finding("CVE-2022-28346")["vex"], Value::Null);
    let near = openvex("pkg:pypi/django@2.2.0", "Acme");
    let (status, taken) = ground.post("/console/vex/statements", &near);
    assert_eq!(status, 201, "{taken}");
    assert_eq!(ground.post("/console/vex/statements", &near).0, 200, "the same again");
    ground.becomes("pass");
    let finding = ground.finding("CVE-2022-28346");
    assert_eq!((&finding["vex"]["state"], &finding["vex"]["author"]), (&json!("not_affected"), &json!("Acme")));
    assert!(finding["vex"]["statementId"].as_str().unwrap().starts_with("vex-"), "{finding}");
    assert_eq!(
        (&finding["verdict"]["status"], &finding["verdict"]["quietedBy"]),
        (&json!("Quieted"), &json!("vex: Acme"))
    );
    let listed = ground.get("/console/vuln/findings?search=CVE-2022-28346");
    assert_eq!(listed["items"][0]["vex"]["state"], "not_affected");
    // A rule that asks for statements of certain authors is not satisfied by others.
    let asks =
        "version: \"1.0\"\nrules:\n- {name: ask, severity: [Critical], action: {type: requireVex, vendors: [Other]}}\n";
    assert_eq!(ground.import(asks, &[]).0, 200);
    ground.becomes("fail");
    assert_eq!(ground.post("/console/vex/statements", &openvex("pkg:pypi/django@2.2.0", "Other")).0, 201);
    ground.becomes("pass");
    assert_eq!(ground.post("/console/vex/statements", &json!({"hello": "world"})).0, 400);

    let policy = ground.work.write("block.yaml", BLOCK_CRITICAL);
    let vex = ground.work.write("vex.json", near.to_string());
    let here = ground.work.scan_bom(&["--policy-file", &policy, "--vex", &vex, "--json"]);
    assert_eq!((here.code, &here.json()["policyStatus"]), (Some(0), &json!("pass")), "{here:?}");
    let far = ground.work.write("far.json", openvex("pkg:pypi/django@2.2.1", "Acme").to_string());
    let here = ground.work.scan_bom(&["--policy-file", &policy, "--vex", &far, "--json"]);
    assert_eq!((here.code, &here.json()["policyStatus"]), (Some(1), &json!("blocked")), "{here:?}");
}

#[test]
fn diagnostics_and_preview_follow_the_contract() {
    let ground = Ground::new();
    let content = "version: \"1.0\"\nrules:\n- name: q\n  severity: [Low]\n  action: {type: ignore, quiet: true}\n";
    let policy = json!({"format": "yaml", "actor": "a", "description": "d", "content": content});
    let (status, told) = ground.post("/api/v1/policy/diagnostics", &json!({"policy": policy}));
    assert_eq!((status, &told["success"], &told["ruleCount"]), (200, &json!(false), &json!(1)), "{told}");
    let codes: Vec<&Value> = told["issues"].as_array().unwrap().iter().map(|issue| &issue["code"]).collect();
    assert!(codes.contains(&&json!("policy.rule.quiet.missing_vex")), "{told}");
    let question = json!({
        "imageDigest": ground.digest,
        "findings": [{"id": "f1", "severity": "Critical", "source": "NVD", "reachability": "runtime"},
            {"id": "f2", "severity": "Low"}],
        "policy": {"format": "yaml", "content": BLOCK_CRITICAL},
    });
    let (status, told) = ground.post("/api/v1/policy/preview", &question);
    assert_eq!(status, 200, "{told}");
    assert_eq!((&told["success"], &told["revisionId"], &told["changed"]), (&json!(true), &json!("preview"), &json!(1)));
    assert_eq!(told["diffs"][0]["baseline"]["status"], "Pass");
    assert_eq!(
        (&told["diffs"][0]["projected"]["status"], &told["diffs"][0]["projected"]["score"]),
        (&json!("Blocked"), &json!(40.5))
    );
    let digest = ground.import(BLOCK_CRITICAL, &[]).1["digest"].clone();
    assert_eq!(told["policyDigest"], digest);
    let mut active = question;
    active["policy"] = Value::Null;
    active["baseline"] = json!([{"findingId": "f1", "status": "Blocked"}]);
    let (_, told) = ground.post("/api/v1/policy/preview", &active);
    assert_eq!((&told["revisionId"], &told["changed"], &told["policyDigest"]), (&json!("rev-1"), &json!(0), &digest));
}

/// A policy made from a number, over all that the tiny feeds can tell apart.
fn made(seed: usize) -> String {
    let actions = ["block", "warn", "ignore", "defer", "{type: escalate, minimumSeverity: Critical}"];
    let conditions = [
        "severity: [Critical]",
        "severity: [Medium]",
        "match: {packages: [django]}",
        "match: {packages: [crypto*]}",
        "fixAvailable: true",
        "fixAvailable: false",
        "match: {cves: [CVE-2022-*]}",
        "kev: false",
        "epssMin: 0.5",
        "match: {purls: ['pkg:pypi/*@2.*']}",
        "reachability: [unknown]",
        "environments: [prod]",
    ];
    let mut text = "version: \"1.0\"\nrules:\n".to_owned();
    let mut number = seed.wrapping_mul(2_654_435_761) % 1_000_003;
    for rule in 0..=seed % 3 {
        let (condition, action) = (conditions[number % conditions.len()], actions[(number / 16) % actions.len()]);
        text.push_str(&format!("- {{name: r{rule}, {condition}, action: {action}}}\n"));
        number = number.wrapping_mul(31).wrapping_add(17) % 1_000_003;
    }
    text
}

#[test]
fn server_preview_and_command_line_agree() {
    let ground = Ground::new();
    let word = |verdict: &str| if verdict == "blocked" { "fail".to_owned() } else { verdict.to_owned() };
    for seed in 0..30 {
        let text = made(seed);
        let file = ground.work.write("made.yaml", &text);
        let local = ground.work.scan_bom(&["--policy-file", &file, "--json"]).json();
        let (status, impact) = ground.operator.call(
            "POST",
            "/api/v1/policy/impact",
            &[("content-type", "application/yaml")],
            text.as_bytes(),
        );
        assert_eq!(status, 200, "{impact}");
        assert_eq!(ground.import(&text, &[]).0, 200, "{text}");
        let wanted = word(local["policyStatus"].as_str().unwrap());
        ground.becomes(&wanted);
        if let Some(change) = impact["changes"].get(0) {
            assert_eq!(word(change["to"].as_str().unwrap()), wanted, "{text}");
        }
        let again = ground
            .operator
            .call("POST", "/api/v1/policy/impact", &[("content-type", "application/yaml")], text.as_bytes())
            .1;
        assert_eq!(again["changes"], json!([]), "what is in force changes nothing: {text}");
    }
}
