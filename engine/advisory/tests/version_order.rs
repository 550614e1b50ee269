//! Every version list of the conformance folder that has a scheme here, line by line.

use std::cmp::Ordering;
use std::path::PathBuf;

use proptest::prelude::*;
use stella_advisory::version::Scheme;

fn data() -> PathBuf {
    std::env::var_os("STELLA_TEST_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")), PathBuf::from)
}

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

/// Lines of `file` that our order contradicts.
fn contradictions(file: &str, ecosystem: &str) -> Option<(usize, Vec<String>)> {
    let path = data().join("conformance/versions").join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED {file}: {} cannot be read; set STELLA_TEST_DATA", path.display());
        return None;
    };
    let scheme = Scheme::of_ecosystem(ecosystem).unwrap();
    let mut lines = 0;
    let mut wrong = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [a, sign @ ("<" | "=" | ">"), b] = words[..] else { continue };
        let expected = match sign {
            "<" => Ordering::Less,
            ">" => Ordering::Greater,
            _ => Ordering::Equal,
        };
        lines += 1;
        let order = scheme.compare(a, b);
        let as_listed = order == expected && scheme.compare(b, a) == expected.reverse();
        let excepted = EXCEPTIONS.iter().any(|(of, excepted, _)| *of == file && *excepted == line);
        assert!(!(as_listed && excepted), "{file}: {line} needs no exception");
        if !as_listed && !excepted {
            wrong.push(format!("{line} (ours: {order:?})"));
        }
    }
    Some((lines, wrong))
}

#[test]
fn orders_agree_with_the_conformance_lists() {
    let lists = [
        ("alpine-versions-generated.txt", "Alpine"),
        ("alpine-versions.txt", "Alpine"),
        ("debian-versions-generated.txt", "Debian"),
        ("debian-versions.txt", "Debian"),
        ("maven-versions-generated.txt", "Maven"),
        ("maven-versions.txt", "Maven"),
        ("nuget-versions.txt", "NuGet"),
        ("packagist-versions-generated.txt", "Packagist"),
        ("packagist-versions.txt", "Packagist"),
        ("pypi-versions-generated.txt", "PyPI"),
        ("pypi-versions.txt", "PyPI"),
        ("redhat-versions.txt", "Red Hat"),
        ("rubygems-versions-generated.txt", "RubyGems"),
        ("rubygems-versions.txt", "RubyGems"),
        ("semver-versions.txt", "npm"),
    ];
    let mut failures = Vec::new();
    for (file, ecosystem) in lists {
        if let Some((lines, wrong)) = contradictions(file, ecosystem) {
            println!("{file}: {lines} lines, {} contradicted", wrong.len());
            failures.extend(wrong.into_iter().take(20).map(|line| format!("{file}: {line}")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
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
            let build_metadata = matches!(scheme, Scheme::SemverBuild);
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
