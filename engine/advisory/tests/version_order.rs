//! Every version list of the conformance folder, line by line.

mod public_data;

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use public_data::public_data;
use stella_advisory::version::Scheme;

/// Lines where the list is wrong about its ecosystem, and who says so.
const EXCEPTIONS: [(&str, &str, &str); 8] = [
    ("maven-versions-generated.txt", "2.9.0-1 < 2.9.0.RC1", MAVEN),
    ("maven-versions-generated.txt", "6.1.12.rc5 < 6.1.12rc1", MAVEN),
    ("maven-versions-generated.txt", "1.1.46.sec10 < 1.1.46_noneautotype", MAVEN),
    ("maven-versions-generated.txt", "1.2.31.sec10 < 1.2.31_noneautotype", MAVEN),
    ("maven-versions-generated.txt", "1.2.48.sec10 < 1.2.48_noneautotype", MAVEN),
    ("maven-versions-generated.txt", "1.2.57.sec10 < 1.2.57_noneautotype", MAVEN),
    (
        "packagist-versions-generated.txt",
        "v1.9.0-BETA.1 < v1.9.0-ALPHA.2",
        "composer/semver 3.3.2, VersionParser::normalize: 1.9.0.0-beta1 and 1.9.0.0-alpha2",
    ),
    (
        "packagist-versions.txt",
        "1.2.3.# = 1.2.3.1",
        "PHP 8.2, version_compare: -1; composer/semver 3.3.2: no version. The list also has it equal to 1.2.3",
    ),
];
/// Zeros before a qualifier do not count, and a dot before a qualifier is as good as a hyphen.
const MAVEN: &str = "Maven 3.8.7, org.apache.maven.artifact.versioning.ComparableVersion: greater";

/// Lists are called by their ecosystem, without case, spaces and punctuation, up to the first hyphen; these by another name
/// than OSV's.
const NAMES: [(&str, &str); 5] = [
    ("semver", "npm"),
    ("crates", "crates.io"),
    ("cargo", "crates.io"),
    ("conan", "ConanCenter"),
    ("swift", "SwiftURL"),
];

/// The order of the list called `file`; `None` when none of ours is meant.
fn scheme_of(file: &str) -> Option<Scheme> {
    let plain = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let word = plain(file.strip_suffix(".txt")?.split('-').next()?);
    let own = NAMES.iter().find(|(name, _)| *name == word).map(|(_, ecosystem)| *ecosystem);
    let same = || Scheme::ECOSYSTEMS.iter().map(|(ecosystem, _)| *ecosystem).find(|ecosystem| plain(ecosystem) == word);
    Scheme::of_ecosystem(own.or_else(same)?)
}

/// A line of a list: two versions and how they stand to each other. `None` for blank lines and comments.
fn relation(line: &str) -> Result<Option<(&str, Ordering, &str)>, String> {
    if line.is_empty() || line.starts_with('#') || line.starts_with("//") {
        return Ok(None);
    }
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        [a, "<", b] => Ok(Some((a, Ordering::Less, b))),
        [a, "=", b] => Ok(Some((a, Ordering::Equal, b))),
        [a, ">", b] => Ok(Some((a, Ordering::Greater, b))),
        _ => Err(format!("'{line}' compares no two versions")),
    }
}

/// How many lines of a list compare, and what is wrong with the list or our order.
fn judge(file: &str, text: &str) -> (usize, Vec<String>) {
    let Some(scheme) = scheme_of(file) else {
        return (0, vec!["is of no ecosystem that has an order here".to_owned()]);
    };
    let mut lines = 0;
    let mut wrong = Vec::new();
    let mut unmet: Vec<&str> =
        EXCEPTIONS.iter().filter(|(of, ..)| *of == file).map(|(_, excepted, _)| *excepted).collect();
    for line in text.lines().map(str::trim) {
        let (a, expected, b) = match relation(line) {
            Ok(Some(relation)) => relation,
            Ok(None) => continue,
            Err(error) => {
                wrong.push(error);
                continue;
            }
        };
        lines += 1;
        let order = scheme.compare(a, b);
        let as_listed = order == expected && scheme.compare(b, a) == expected.reverse();
        let excepted = EXCEPTIONS.iter().any(|(of, excepted, _)| *of == file && *excepted == line);
        unmet.retain(|excepted| *excepted != line);
        match (as_listed, excepted) {
            (true, true) => wrong.push(format!("{line} needs no exception")),
            (false, false) => wrong.push(format!("{line} (ours: {order:?})")),
            _ => {}
        }
    }
    wrong.extend(unmet.into_iter().map(|line| format!("{line} is an exception and not in the list")));
    if lines == 0 {
        wrong.push("has no line that compares".to_owned());
    }
    (lines, wrong)
}

/// Judges every list of a folder, which must have some.
fn judge_folder(folder: &Path) {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut lists: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "txt")).collect();
    lists.sort();
    assert!(!lists.is_empty(), "there is no list in {}", folder.display());
    let mut failures = Vec::new();
    for path in lists {
        let file = path.file_name().unwrap().to_str().unwrap();
        let (lines, wrong) = judge(file, &std::fs::read_to_string(&path).unwrap());
        println!("{file}: {lines} lines, {} contradicted", wrong.len());
        failures.extend(wrong.into_iter().take(20).map(|line| format!("{file}: {line}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn orders_agree_with_the_conformance_lists() {
    let Some(folder) = public_data("conformance/versions") else { return };
    judge_folder(&folder);
}

fn own_lists() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/versions")
}

#[test]
fn orders_agree_with_our_own_lists() {
    judge_folder(&own_lists());
}

#[test]
fn the_crate_that_cargo_uses_agrees_with_the_lists_of_plain_semantic_versions() {
    for file in ["crates-versions.txt", "hex-versions.txt", "swift-versions.txt"] {
        let text = std::fs::read_to_string(own_lists().join(file)).unwrap();
        let relations = text.lines().filter_map(|line| relation(line).unwrap());
        let version = |text: &str| text.trim_start_matches('v').parse::<semver::Version>().unwrap();
        for (a, expected, b) in relations {
            assert_eq!(version(a).cmp_precedence(&version(b)), expected, "{file}: {a} and {b}");
        }
    }
}

#[test]
fn a_list_that_says_nothing_fails() {
    let wrong = |file: &str, text: &str| judge(file, text).1;
    assert!(wrong("go-versions.txt", "# a comment\n// another\n\nv1.0.0 < v1.0.1\n").is_empty());
    for (file, text) in [
        ("vax-versions.txt", "1 < 2"),
        ("go-versions.txt", ""),
        ("go-versions.txt", "# v1.0.0 < v1.0.1"),
        ("go-versions.txt", "v1.0.0 < v1.0.1\nv1.0.0 <= v1.0.1"),
        ("go-versions.txt", "v1.0.0 < v1.0.1\nv1.0.0"),
        ("go-versions.txt", "v1.0.0 < v1.0.1 and more"),
        ("go-versions.txt", "v1.0.0 > v1.0.1"),
        ("packagist-versions.txt", "1.0 < 1.1"),
    ] {
        assert!(!wrong(file, text).is_empty(), "{file}: {text}");
    }
}

#[test]
fn lists_are_known_by_their_names() {
    for (file, scheme) in [
        ("redhat-versions.txt", Some(Scheme::Rpm)),
        ("semver-versions.txt", Some(Scheme::Semver)),
        ("debian-versions-generated.txt", Some(Scheme::Deb)),
        ("cran.txt", Some(Scheme::Numbers)),
        ("pypi-versions.txt", Some(Scheme::Pep440)),
        ("crates.io-versions.txt", Some(Scheme::Semver)),
        ("conan-versions.txt", Some(Scheme::Conan)),
        ("vax-versions.txt", None),
        ("versions.txt", None),
    ] {
        assert_eq!(scheme_of(file), scheme, "{file}");
    }
    for (ecosystem, scheme) in Scheme::ECOSYSTEMS {
        assert_eq!(scheme_of(&format!("{ecosystem}-versions.txt")), Some(scheme), "{ecosystem}");
    }
}

/// What versions are made of, and some of what they are not.
fn versions() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[0-9]{1,3}",
        "[a-z]{1,2}",
        Just("alpha".to_owned()),
        Just("rc".to_owned()),
        Just("SNAPSHOT".to_owned()),
        Just("_p".to_owned()),
        Just("-r1".to_owned()),
        Just("00".to_owned()),
        Just("0".to_owned()),
        Just("é".to_owned()),
    ];
    let separator = prop_oneof![Just(""), Just("."), Just("-"), Just("+"), Just("~"), Just("^"), Just("_"), Just(":")];
    proptest::collection::vec((word, separator), 0..6)
        .prop_map(|parts| parts.into_iter().map(|(word, separator)| word + separator).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_order_is_total(a in versions(), b in versions(), c in versions()) {
        for scheme in Scheme::ALL {
            let compare = |a: &str, b: &str| scheme.compare(a, b);
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le(), "{scheme:?}: {a} <= {b} <= {c}");
            }
        }
    }

    #[test]
    fn a_key_never_continues_another(a in versions(), b in versions()) {
        for scheme in Scheme::ALL {
            let (a, b) = (scheme.key(&a), scheme.key(&b));
            let build_metadata = matches!(scheme, Scheme::SemverBuild | Scheme::Conan);
            prop_assert!(a == b || build_metadata || !b.starts_with(&a), "{scheme:?}");
        }
    }

    #[test]
    fn any_text_has_a_key(text in ".{0,40}") {
        prop_assert!(Scheme::ALL.iter().all(|scheme| !scheme.key(&text).is_empty()));
    }

    #[test]
    fn numbers_order_by_value(a in 0u64..100_000, b in 0u64..100_000, c in 0u64..100) {
        for scheme in Scheme::ALL {
            prop_assert_eq!(scheme.compare(&format!("{c}.{a}.1"), &format!("{c}.{b}.1")), a.cmp(&b));
        }
    }
}
