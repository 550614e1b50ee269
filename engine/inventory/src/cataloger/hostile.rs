//! Every cataloger of languages against damage of every kind; a new one is missed here until it has a sample.

use proptest::prelude::*;

use super::*;

/// A path and a content that the cataloger of this name reads.
const SAMPLES: &[(&str, &str, &str)] = &[
    ("npm", "node_modules/a/package.json", r#"{"name":"a","version":"1.0.0","license":"MIT"}"#),
    ("npm-lock", "package-lock.json", r#"{"packages":{"node_modules/a":{"version":"1.0.0"}}}"#),
    ("yarn-lock", "yarn.lock", "# yarn lockfile v1\n\n\"@s/a@^1.0.0\", a@1:\n  version \"1.0.0\"\n"),
    ("pnpm-lock", "pnpm-lock.yaml", "lockfileVersion: 5.4\npackages:\n  /@s/a/1.0.0_b@2:\n    dev: false\n"),
    ("bun-lock", "bun.lock", "{\"packages\":{\"a\":[\"@s/a@1.0.0\",\"\",{},\"x\"],},/* x */} // y"),
    ("bun-lockb", "bun.lockb", "#!/usr/bin/env bun"),
    ("python", "x/a.dist-info/METADATA", "Name: a\nVersion: 1\n"),
    ("python-files", "x/a.dist-info/RECORD", "a.py,sha256=x,1\n\"b,c\",,\n"),
    ("requirements", "requirements.txt", "a[x]==1.0 ; y # z\nb === 2 \\\n --hash=c\n"),
    ("poetry-lock", "poetry.lock", "[[package]]\nname = \"a\"\nversion = \"1\"\ngroups = [\"main\"]\n"),
    ("pdm-lock", "pdm.lock", "[[package]]\nname = \"a\"\nversion = \"1\"\ngroups = [\"default\"]\n"),
    (
        "uv-lock",
        "uv.lock",
        "[[package]]\nname = \"a\"\nversion = \"1\"\nsource = { virtual = \".\" }\ndependencies = [{ name = \"a\" }]\n",
    ),
    ("pylock", "pylock.toml", "[[packages]]\nname = \"a\"\nversion = \"1\"\n"),
    ("pipenv-lock", "Pipfile.lock", r#"{"default":{"a":{"version":"==1"}}}"#),
    ("conda", "conda-meta/a.json", r#"{"name":"a","version":"1","license":"MIT","files":["a/../../b"]}"#),
    ("go-mod", "go.mod", "module m\nrequire (\n\ta v1.0.0 // indirect\n)\nreplace a v1.0.0 => b v1.1.0\n"),
    ("cargo-lock", "Cargo.lock", "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n"),
    ("gem", "specifications/a-1.gemspec", "# stub: a 1 ruby lib\n  s.licenses = [\"MIT\".freeze]\n"),
    ("bundler-lock", "Gemfile.lock", "GEM\n  specs:\n    a (1.0-java)\n      b (~> 1)\n"),
    ("composer", "vendor/composer/installed.json", r#"[{"name":"a/b","version":"v1","license":["MIT"]}]"#),
    ("composer-lock", "composer.lock", r#"{"packages":[{"name":"a/b","version":"1"}]}"#),
    (
        "dotnet",
        "a.deps.json",
        r#"{"targets":{"x":{"A/1":{"runtime":{"a.dll":{}}}}},"libraries":{"A/1":{"type":"package"}}}"#,
    ),
    ("nuget-lock", "packages.lock.json", r#"{"dependencies":{"net":{"A":{"resolved":"1"}}}}"#),
    ("nuget-assets", "project.assets.json", r#"{"libraries":{"A/1":{"type":"package"}}}"#),
    ("java-unpacked", "META-INF/maven/g/a/pom.properties", "groupId=g\nartifactId=a\nversion=1\n"),
    ("gradle-lock", "gradle.lockfile", "g:a:1=compile,test\n"),
    (
        "maven",
        "pom.xml",
        "<project><dependencies><dependency><groupId>g</groupId><artifactId>a</artifactId>\
         <version>1</version></dependency></dependencies></project>",
    ),
];

fn read(name: &str, path: &str, bytes: &[u8]) -> Findings {
    let cataloger = wanting(path).unwrap_or_else(|| panic!("nobody wants {path}"));
    assert_eq!(cataloger.name, name, "{path}");
    let mut findings = Findings::default();
    // What cannot be read is an error, which is fine; a panic is not.
    let _ = (cataloger.parse)(&SourceFile { path, bytes }, &mut findings);
    for package in &findings.packages {
        assert_eq!(package.path, path, "{name}");
    }
    findings
}

#[test]
fn every_lock_has_a_sample_and_every_sample_is_read() {
    for cataloger in LOCKS {
        assert!(SAMPLES.iter().any(|(name, ..)| *name == cataloger.name), "{} has no sample", cataloger.name);
    }
    for (name, path, text) in SAMPLES.iter().filter(|(name, ..)| !matches!(*name, "bun-lockb" | "python-files")) {
        let found = read(name, path, text.as_bytes());
        let is_own_project = *name == "uv-lock";
        assert_eq!(found.packages.is_empty(), is_own_project, "{name}: {found:?}");
    }
}

#[test]
fn depth_and_size_harm_nobody() {
    let deep = [("[", "]"), ("{\"a\":", "}"), ("<a>", "</a>"), ("a:\n ", ""), ("a.", "")];
    for (name, path, _) in SAMPLES {
        for (open, close) in deep {
            read(name, path, format!("{}1{}", open.repeat(50_000), close.repeat(50_000)).as_bytes());
        }
        read(name, path, "x".repeat(4 << 20).as_bytes());
        read(name, path, "a==1\n".repeat(200_000).as_bytes());
        for inner in ["packages", "dependencies", "libraries", "default", "license"] {
            let text = format!("{{\"name\":\"a\",\"version\":\"1\",\"{inner}\":{}", "{\"a\":".repeat(100_000));
            read(name, path, text.as_bytes());
        }
    }
}

#[test]
fn packages_of_one_file_are_bounded() {
    let text: String = (0..Limits::PACKAGES_PER_FILE + 5).map(|index| format!("a=={index}\n")).collect();
    let found = read("requirements", "requirements.txt", text.as_bytes());
    assert_eq!(found.packages.len(), Limits::PACKAGES_PER_FILE);
    assert_eq!(found.problems, [TOO_MANY]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn damage_panics_nowhere(
        sample in 0..SAMPLES.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..6),
    ) {
        let (name, path, text) = SAMPLES[sample];
        let mut bytes = text.as_bytes().to_vec();
        for (at, value, kind) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => bytes.truncate(at),
                2 => bytes.insert(at, value),
                _ => {
                    let tail = bytes[at..].to_vec();
                    bytes.extend(tail);
                }
            }
        }
        read(name, path, &bytes);
    }
}
