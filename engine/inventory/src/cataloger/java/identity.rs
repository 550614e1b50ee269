//! Which artifact an archive is that carries no `pom.properties` of its own: by file name and manifest.
//!
//! Gradle, Ant and Bazel leave no coordinates. The file name tells artifact and version as repositories spell them;
//! the group comes from the manifest or, for builds that are known not to write it there, from a table.

use super::manifest::Manifest;
use super::project::{Coordinates, is_plain};

/// Groups of artifacts whose builds leave no coordinates, by name or by prefix ending in `-`. A longer prefix
/// stands before a shorter one.
const GROUPS: &[(&str, &str)] = &[
    ("bcmail-", "org.bouncycastle"),
    ("bcpg-", "org.bouncycastle"),
    ("bcpkix-", "org.bouncycastle"),
    ("bcprov-", "org.bouncycastle"),
    ("bctls-", "org.bouncycastle"),
    ("bcutil-", "org.bouncycastle"),
    ("commons-beanutils", "commons-beanutils"),
    ("commons-codec", "commons-codec"),
    ("commons-collections", "commons-collections"),
    ("commons-digester", "commons-digester"),
    ("commons-fileupload", "commons-fileupload"),
    ("commons-httpclient", "commons-httpclient"),
    ("commons-io", "commons-io"),
    ("commons-lang", "commons-lang"),
    ("commons-logging", "commons-logging"),
    ("h2", "com.h2database"),
    ("kafka-", "org.apache.kafka"),
    ("kotlin-", "org.jetbrains.kotlin"),
    ("kotlinx-", "org.jetbrains.kotlinx"),
    ("lucene-", "org.apache.lucene"),
    ("micrometer-", "io.micrometer"),
    ("mysql-connector-j", "com.mysql"),
    ("mysql-connector-java", "mysql"),
    ("okhttp", "com.squareup.okhttp3"),
    ("okio", "com.squareup.okio"),
    ("okio-", "com.squareup.okio"),
    ("poi", "org.apache.poi"),
    ("poi-", "org.apache.poi"),
    ("reactor-core", "io.projectreactor"),
    ("reactor-netty", "io.projectreactor.netty"),
    ("reactor-netty-", "io.projectreactor.netty"),
    ("retrofit", "com.squareup.retrofit2"),
    ("solr-", "org.apache.solr"),
    ("spring-boot", "org.springframework.boot"),
    ("spring-boot-", "org.springframework.boot"),
    ("spring-cloud-function-", "org.springframework.cloud"),
    ("spring-cloud-gateway-", "org.springframework.cloud"),
    ("spring-data-", "org.springframework.data"),
    ("spring-security-", "org.springframework.security"),
    ("spring-session-", "org.springframework.session"),
    ("spring-aop", "org.springframework"),
    ("spring-aspects", "org.springframework"),
    ("spring-beans", "org.springframework"),
    ("spring-context", "org.springframework"),
    ("spring-context-", "org.springframework"),
    ("spring-core", "org.springframework"),
    ("spring-expression", "org.springframework"),
    ("spring-jcl", "org.springframework"),
    ("spring-jdbc", "org.springframework"),
    ("spring-jms", "org.springframework"),
    ("spring-messaging", "org.springframework"),
    ("spring-orm", "org.springframework"),
    ("spring-oxm", "org.springframework"),
    ("spring-r2dbc", "org.springframework"),
    ("spring-test", "org.springframework"),
    ("spring-tx", "org.springframework"),
    ("spring-web", "org.springframework"),
    ("spring-webflux", "org.springframework"),
    ("spring-webmvc", "org.springframework"),
    ("spring-websocket", "org.springframework"),
    ("tomcat-embed-", "org.apache.tomcat.embed"),
    ("tomcat-", "org.apache.tomcat"),
    ("xmlbeans", "org.apache.xmlbeans"),
];

/// Files of a Tomcat installation and the artifacts they are published as.
const TOMCAT: &[(&str, &str)] = &[
    ("catalina", "tomcat-catalina"),
    ("catalina-ha", "tomcat-catalina-ha"),
    ("jasper", "tomcat-jasper"),
    ("jasper-el", "tomcat-jasper-el"),
    ("tomcat-coyote", "tomcat-coyote"),
];

/// Artifact and version of a file name without its extension: the version is what follows the first hyphen before
/// a digit.
pub(super) fn of_file_name(stem: &str) -> (&str, &str) {
    let bytes = stem.as_bytes();
    let starts = |at: &usize| bytes[*at] == b'-' && bytes[at + 1].is_ascii_digit();
    let mut hyphens = (1..bytes.len().saturating_sub(1)).filter(starts);
    let Some(first) = hyphens.next() else { return (stem, "") };
    // `log4j-1.2-api-2.17.0` is version 2.17.0 of `log4j-1.2-api`.
    let at = hyphens.next_back().filter(|last| !is_qualifier(&stem[first + 1..*last])).unwrap_or(first);
    (&stem[..at], &stem[at + 1..])
}

/// Words that belong to a version: `1.0-rc-2`, `2.0-beta4`, `1.1-SNAPSHOT`.
fn is_qualifier(between: &str) -> bool {
    const WORDS: [&str; 9] = ["alpha", "beta", "rc", "m", "cr", "snapshot", "build", "jre", "incubating"];
    between.split('-').skip(1).all(|part| {
        let word = part.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').to_ascii_lowercase();
        word.is_empty() || WORDS.contains(&word.as_str())
    })
}

/// What file name and manifest tell together; the group is empty where neither tells it.
pub(super) fn of_manifest(stem: &str, manifest: &Manifest) -> Coordinates {
    let (file_artifact, file_version) = of_file_name(stem);
    let plain = |name: &str| manifest.get(name).filter(|value| is_plain(value));
    let symbolic = plain("bundle-symbolicname").or_else(|| plain("automatic-module-name"));
    let tomcat = TOMCAT.iter().find(|(file, _)| *file == stem && is_tomcat(manifest)).map(|(_, artifact)| *artifact);
    let version = Some(file_version)
        .filter(|version| is_plain(version))
        .or_else(|| plain("implementation-version"))
        .or_else(|| plain("bundle-version"))
        .or_else(|| plain("specification-version"));
    let artifact = if let Some(artifact) = tomcat {
        artifact
    } else if file_version.is_empty() {
        let title = plain("implementation-title").filter(|title| !title.contains('#'));
        title.or(symbolic.map(last_segment)).unwrap_or(file_artifact)
    } else {
        file_artifact
    };
    let group = known_group(artifact)
        .or_else(|| symbolic.and_then(|symbolic| group_in(symbolic, artifact)))
        .or_else(|| plain("implementation-vendor-id").filter(|id| id.contains('.')));
    Coordinates {
        group: group.unwrap_or("").to_owned(),
        artifact: artifact.to_owned(),
        version: version.unwrap_or("").to_owned(),
    }
}

fn is_tomcat(manifest: &Manifest) -> bool {
    manifest.get("implementation-title") == Some("Apache Tomcat")
}

fn known_group(artifact: &str) -> Option<&'static str> {
    let knows = |name: &str| if name.ends_with('-') { artifact.starts_with(name) } else { artifact == name };
    GROUPS.iter().find(|(name, _)| knows(name)).map(|(_, group)| *group)
}

/// `org.example.lib-core` and `org.example.lib.core` are in the group `org.example` when the artifact is `lib-core`.
fn group_in<'a>(symbolic: &'a str, artifact: &str) -> Option<&'a str> {
    let dotted = artifact.replace(['-', '_'], ".");
    [artifact, dotted.as_str()]
        .into_iter()
        .find_map(|tail| symbolic.strip_suffix(tail)?.strip_suffix('.'))
        .filter(|group| !group.is_empty())
}

fn last_segment(symbolic: &str) -> &str {
    symbolic.rsplit('.').next().unwrap_or(symbolic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names() {
        for (stem, artifact, version) in [
            ("spring-core-5.3.18", "spring-core", "5.3.18"),
            ("guava-31.0.1-jre", "guava", "31.0.1-jre"),
            ("log4j-1.2-api-2.17.0", "log4j-1.2-api", "2.17.0"),
            ("htrace-core4-4.0.1-incubating", "htrace-core4", "4.0.1-incubating"),
            ("x-1.0-rc-2", "x", "1.0-rc-2"),
            ("x-2.0-beta4", "x", "2.0-beta4"),
            ("bcprov-jdk15on-1.69", "bcprov-jdk15on", "1.69"),
            ("app", "app", ""),
            ("-1", "-1", ""),
            ("", "", ""),
        ] {
            assert_eq!(of_file_name(stem), (artifact, version), "{stem}");
        }
    }

    #[test]
    fn groups_come_from_manifest_or_table() {
        let coordinates = |stem: &str, text: &str| {
            let found = of_manifest(stem, &Manifest::parse(text));
            format!("{}@{}", found.name(), found.version)
        };
        assert_eq!(
            coordinates("spring-web-5.3.18", "Implementation-Title: spring-web\n"),
            "org.springframework:spring-web@5.3.18"
        );
        assert_eq!(
            coordinates("lib-core-1.2", "Bundle-SymbolicName: org.example.lib-core\nBundle-Version: 1.2.0.X\n"),
            "org.example:lib-core@1.2"
        );
        assert_eq!(
            coordinates("catalina", "Implementation-Title: Apache Tomcat\nImplementation-Version: 9.0.58\n"),
            "org.apache.tomcat:tomcat-catalina@9.0.58"
        );
        assert_eq!(coordinates("odd", "Implementation-Title: My App\nImplementation-Version: 1\n"), ":odd@1");
    }
}
