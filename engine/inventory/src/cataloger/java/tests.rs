//! Archives made on the spot, nested, shaded and built to harm.

use std::io::Write;

use ::zip::write::SimpleFileOptions;
use ::zip::{CompressionMethod, ZipWriter};
use proptest::prelude::*;

use super::*;
use crate::Limits;

const DEFLATED: CompressionMethod = CompressionMethod::Deflated;
const STORED: CompressionMethod = CompressionMethod::Stored;

fn jar(files: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn pom(group: &str, artifact: &str, version: &str) -> (String, String) {
    (
        format!("META-INF/maven/{group}/{artifact}/pom.properties"),
        format!("groupId={group}\nartifactId={artifact}\nversion={version}\n"),
    )
}

fn maven_jar(poms: &[(&str, &str, &str)]) -> Vec<u8> {
    let files: Vec<(String, String)> = poms.iter().map(|(g, a, v)| pom(g, a, v)).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    jar(&files, DEFLATED)
}

fn read(path: &str, bytes: &[u8]) -> Findings {
    let mut findings = Findings::default();
    let file = SourceFile { path, bytes };
    (ARCHIVE.parse)(&file, &mut findings).unwrap();
    findings.packages.sort_unstable();
    findings
}

fn shown(findings: &Findings) -> Vec<String> {
    findings.packages.iter().map(|p| format!("{}@{} {}", p.name, p.version, p.path)).collect()
}

#[test]
fn archives_in_archives_keep_their_way() {
    let lib = maven_jar(&[("org.example", "lib", "1.0")]);
    let war = jar(&[("WEB-INF/lib/lib-1.0.jar", &lib), ("WEB-INF/web.xml", b"<x/>")], STORED);
    let ear = jar(&[("app.war", &war)], DEFLATED);
    let found = read("srv/all.ear", &ear);
    let inner = "srv/all.ear/app.war/WEB-INF/lib/lib-1.0.jar";
    let lib = format!("org.example:lib@1.0 {inner}/META-INF/maven/org.example/lib/pom.properties");
    assert_eq!(shown(&found), [lib.as_str(), "all.ear@ srv/all.ear", "app.war@ srv/all.ear/app.war"]);
    assert_eq!(found.packages[0].files, ["srv/all.ear"]);
    assert_eq!(outermost(&found.packages[0].path), "srv/all.ear");
    assert_eq!(found.problems.len(), 2, "{:?}", found.problems);
    assert!(found.problems.iter().all(|p| p.contains("SHA-1")), "{:?}", found.problems);
}

#[test]
fn shaded_archives_are_several_packages() {
    let found = read("a/app-2.0.jar", &maven_jar(&[("g", "app", "2.0"), ("h", "shaded", "1.1")]));
    let names: Vec<_> = found.packages.iter().map(|p| format!("{}@{}", p.name, p.version)).collect();
    assert_eq!(names, ["g:app@2.0", "h:shaded@1.1"]);
}

#[test]
fn projects_stand_in_for_missing_properties_and_tell_licences() {
    let project = b"<project><groupId>g</groupId><artifactId>a</artifactId><version>1</version>\
        <licenses><license><name>MIT</name></license></licenses></project>";
    let found = read("a.jar", &jar(&[("META-INF/maven/g/a/pom.xml", project)], DEFLATED));
    assert_eq!(shown(&found), ["g:a@1 a.jar/META-INF/maven/g/a/pom.xml"]);
    assert_eq!(found.packages[0].licences, ["MIT"]);
}

#[test]
fn manifests_name_what_other_builds_made() {
    let manifest = b"Manifest-Version: 1.0\nImplementation-Title: spring-core\nImplementation-Version: 5.3.18\n";
    let found = read("lib/spring-core-5.3.18.jar", &jar(&[("META-INF/MANIFEST.MF", manifest)], DEFLATED));
    assert_eq!(
        shown(&found),
        ["org.springframework:spring-core@5.3.18 lib/spring-core-5.3.18.jar/META-INF/MANIFEST.MF"]
    );
}

#[test]
fn archives_without_coordinates_leave_their_sha1() {
    let bytes = jar(&[("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n")], STORED);
    let found = read("x/app.jar", &bytes);
    let sha1 = hex::encode(<sha1::Sha1 as sha1::Digest>::digest(&bytes));
    assert_eq!(found.problems, [format!("it does not tell its Maven coordinates; its SHA-1 is {sha1}")]);
    assert_eq!(shown(&found), ["app.jar@ x/app.jar"]);
    assert_eq!(
        (found.packages[0].kind, found.packages[0].sha1.as_deref()),
        (PackageKind::Generic, Some(sha1.as_str()))
    );
}

fn is_unnamed(found: &Findings, path: &str, bytes: &[u8]) -> bool {
    let sha1 = hex::encode(<sha1::Sha1 as sha1::Digest>::digest(bytes));
    let package = found.packages.iter().find(|package| package.path == path);
    package.is_some_and(|package| package.kind == PackageKind::Generic && package.sha1.as_ref() == Some(&sha1))
        && found.problems.iter().any(|problem| problem.ends_with(&sha1))
}

#[test]
fn archives_without_manifest_and_version_leave_their_sha1() {
    let bytes = jar(&[("org/example/Main.class", b"\xca\xfe\xba\xbe")], DEFLATED);
    let found = read("x/app.jar", &bytes);
    assert!(is_unnamed(&found, "x/app.jar", &bytes), "{found:?}");
    let bytes = jar(&[], STORED);
    assert!(is_unnamed(&read("x/empty.jar", &bytes), "x/empty.jar", &bytes));
}

#[test]
fn what_others_left_in_an_archive_does_not_name_it() {
    let shaded = maven_jar(&[("g", "one", "1"), ("h", "two", "2")]);
    let found = read("x/all.jar", &shaded);
    assert!(is_unnamed(&found, "x/all.jar", &shaded), "{found:?}");
    assert_eq!(found.packages.len(), 3);

    // As resources of Maven are left unfiltered.
    let incomplete = jar(&[("META-INF/maven/g/a/pom.properties", b"groupId=g\nartifactId=a\nversion=${v}\n")], STORED);
    let found = read("x/a.jar", &incomplete);
    assert!(is_unnamed(&found, "x/a.jar", &incomplete), "{found:?}");
    assert_eq!(found.packages.len(), 1);
}

#[test]
fn archives_nested_too_deep_are_named() {
    let mut bytes = maven_jar(&[("g", "deep", "1")]);
    for _ in 0..20 {
        bytes = jar(&[("x.jar", &bytes)], STORED);
    }
    let found = read("x.jar", &bytes);
    assert_eq!(found.packages.len(), Limits::default().max_archive_depth);
    assert!(found.packages.iter().all(|package| package.kind == PackageKind::Generic));
    assert!(found.problems.iter().any(|p| p.contains("archives in each other")), "{:?}", found.problems);
}

#[test]
fn bombs_are_refused_and_the_rest_is_read() {
    let zeros = vec![0u8; 200 << 20];
    let lib = maven_jar(&[("g", "lib", "1")]);
    let bytes = jar(&[("bomb.jar", &zeros), ("lib.jar", &lib)], DEFLATED);
    let found = read("x.war", &bytes);
    assert!(found.problems.iter().any(|p| p.starts_with("bomb.jar: ") && p.contains("limit")), "{:?}", found.problems);
    assert_eq!(shown(&found), ["g:lib@1 x.war/lib.jar/META-INF/maven/g/lib/pom.properties", "x.war@ x.war"]);
}

#[test]
fn many_bombs_meet_the_limit_of_all_together() {
    let zeros = vec![0u8; 100 << 20];
    let one = jar(&[("0.jar", &zeros)], DEFLATED);
    let many: Vec<(String, &[u8])> = (0..6).map(|index| (format!("{index}.jar"), one.as_slice())).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    let found = read("x.war", &jar(&many, STORED));
    assert!(found.problems.iter().any(|p| p.contains("would have to be unpacked")), "{:?}", found.problems);
}

/// What may be unpacked of an archive at once within the limits as they are.
fn unpacked(archive: &[u8]) -> u64 {
    unpacked_bytes(archive, &Limits::default())
}

#[test]
fn what_may_be_unpacked_is_known_before() {
    let lib = maven_jar(&[("g", "lib", "1")]);
    assert!((1..1000).contains(&unpacked(&lib)));
    assert_eq!(unpacked(&jar(&[("org/example/Main.class", &[0; 5000])], DEFLATED)), 0);
    assert_eq!(unpacked(&jar(&[("META-INF/MANIFEST.MF", &[b'a'; 5000])], DEFLATED)), 15_000);
    assert_eq!(unpacked(&jar(&[("lib.jar", &lib)], STORED)), Limits::default().max_archive_bytes);
    assert_eq!(unpacked(b"no archive"), 0);
}

#[test]
fn what_is_read_of_an_archive_is_as_limited_as_somebody_wants_it() {
    let lib = maven_jar(&[("g", "lib", "1")]);
    let bytes = jar(&[("META-INF/MANIFEST.MF", &[b'a'; 5000]), ("lib.jar", &lib)], DEFLATED);
    let told = |limits: Limits| {
        let mut found = Findings::within(&limits);
        let parsed = (ARCHIVE.parse)(&SourceFile { path: "x.war", bytes: &bytes }, &mut found);
        found.problems.into_iter().chain(parsed.err().map(|error| error.to_string())).collect::<Vec<_>>().join("\n")
    };
    let default = Limits::default;
    for (limits, says) in [
        (Limits { max_archive_depth: 1, ..default() }, "lib.jar: more than 1 archives in each other"),
        (Limits { max_archive_entries: 1, ..default() }, "it has more than 1 entries"),
        (Limits { max_archive_entry_bytes: 4000, ..default() }, "claims 5000 bytes, more than the limit of 4000"),
        (Limits { max_archive_bytes: 4000, ..default() }, "more than 4000 bytes would have to be unpacked"),
    ] {
        let told = told(limits);
        assert!(told.contains(says), "{says}: {told}");
    }
    assert!(!told(default()).contains("more than"));
    let few = Limits { max_archive_bytes: 4000, ..default() };
    assert_eq!(unpacked_bytes(&bytes, &few), 4000);
}

#[test]
fn entries_that_lead_out_are_refused() {
    let lib = maven_jar(&[("g", "lib", "1")]);
    let found = read("x.war", &jar(&[("../../lib.jar", &lib)], STORED));
    assert_eq!(shown(&found), ["x.war@ x.war"]);
    assert!(found.problems.iter().any(|p| p.contains("leads out")), "{:?}", found.problems);
}

#[test]
fn what_is_no_archive_is_an_error() {
    let file = SourceFile { path: "x.jar", bytes: b"<html>not found</html>" };
    assert!((ARCHIVE.parse)(&file, &mut Findings::default()).is_err());
}

#[test]
fn unpacked_archives_and_locks() {
    use super::super::tests::parse;
    let (path, text) = pom("g", "a", "1");
    assert_eq!(shown(&parse(&UNPACKED, &format!("srv/app/{path}"), &text)), [format!("g:a@1 srv/app/{path}")]);
    let lock = "# This is a Gradle generated file\norg.example:lib:1.0=compileClasspath,runtimeClasspath\n\
        junit:junit:4.13=testCompileClasspath,testRuntimeClasspath\nempty=annotationProcessor\n";
    assert_eq!(shown(&parse(&GRADLE, "app/gradle.lockfile", lock)), ["org.example:lib@1.0 app/gradle.lockfile"]);
    let project = "<project><properties><v>2</v></properties><dependencies>\
        <dependency><groupId>g</groupId><artifactId>a</artifactId><version>${v}</version></dependency>\
        <dependency><groupId>g</groupId><artifactId>range</artifactId><version>[1,2)</version></dependency>\
        <dependency><groupId>g</groupId><artifactId>managed</artifactId></dependency></dependencies></project>";
    assert_eq!(shown(&parse(&PROJECT, "app/pom.xml", project)), ["g:a@2 app/pom.xml"]);
    assert!(!(PROJECT.wants)("x/META-INF/maven/g/a/pom.xml"));
    assert!(!(ARCHIVE.wants)("x/.jar") && (ARCHIVE.wants)("x/A.JAR") && !(ARCHIVE.wants)("x/jar"));
}

proptest! {
    #[test]
    fn no_damage_panics(at: prop::sample::Index, value: u8, cut: prop::sample::Index) {
        let lib = maven_jar(&[("org.example", "lib", "1.0")]);
        let mut bytes = jar(&[("lib.jar", &lib), ("META-INF/MANIFEST.MF", b"Bundle-SymbolicName: a.b\n")], STORED);
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = (ARCHIVE.parse)(&SourceFile { path: "x.jar", bytes: &bytes }, &mut Findings::default());
        bytes.truncate(cut.index(bytes.len()));
        let _ = (ARCHIVE.parse)(&SourceFile { path: "x.jar", bytes: &bytes }, &mut Findings::default());
    }
}
