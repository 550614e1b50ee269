//! Names of images (grammar of the distribution project's `reference` package).

use std::fmt;
use std::str::FromStr;

use stella_domain::Digest;

/// Where images without a registry in their name come from.
pub(crate) const DOCKER_HUB: &str = "docker.io";
/// Where Docker Hub answers.
pub(crate) const DOCKER_HUB_API: &str = "registry-1.docker.io";
/// Bytes of a repository, its registry included.
const LONGEST_NAME: usize = 255;
/// Characters of a tag.
const LONGEST_TAG: usize = 128;

/// The name of an image, complete: `debian` becomes `docker.io/library/debian:latest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not an image reference: {reason}")]
pub struct ReferenceError {
    /// What was given, cut to 200 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Reference {
    /// Host and port of the registry.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in it.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Registry and repository, without tag and digest.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The tag; absent when a digest alone names the image.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, which goes before the tag.
    #[must_use]
    pub const fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same repository, by digest.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// What stands behind `manifests/` in the registry's API.
    pub(crate) fn manifest(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))?;
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |reason| ReferenceError { text: text.chars().take(200).collect(), reason };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| wrong("the digest is no sha256"))?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("the tag has other characters than letters, digits, '_', '.' and '-', or too many"));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_registry(first) => (first, path),
            _ => (DOCKER_HUB, name),
        };
        let registry = match registry {
            "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
            other => other,
        };
        if !is_host(registry) {
            return Err(wrong("the registry is no host with an optional port"));
        }
        if path.is_empty() || !path.split('/').all(is_component) {
            return Err(wrong("the repository has other parts than lower-case letters and digits with separators"));
        }
        let official = registry == DOCKER_HUB && !path.contains('/');
        let repository = if official { format!("library/{path}") } else { path.to_owned() };
        if registry.len() + 1 + repository.len() > LONGEST_NAME {
            return Err(wrong("the name is longer than 255 characters"));
        }
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

/// Whether the first part of a name is a registry rather than a part of the repository.
fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Whether `text` is a host name or address, with or without a port.
pub(crate) fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => (None, port.strip_prefix(':')),
            _ => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    if text.starts_with('[') && port.is_none() && !text.ends_with(']') {
        return false;
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let digits = |port: &str| !port.starts_with('+') && port.parse::<u16>().is_ok_and(|port| port > 0);
    text.len() <= LONGEST_NAME && host.is_none_or(|host| host.split('.').all(label)) && port.is_none_or(digits)
}

fn is_tag(text: &str) -> bool {
    (1..=LONGEST_TAG).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Letters and digits, with one `.`, one or two `_`, or any number of `-` between them.
pub(crate) fn is_component(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    word(first)
        && word(last)
        && bytes
            .split(|&byte| word(byte))
            .all(|between| matches!(between, b"" | b"." | b"_" | b"__") || between.iter().all(|&byte| byte == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        text.parse::<Reference>().ok().map(|reference| reference.to_string())
    }

    #[test]
    fn names_become_complete() {
        let digest = Digest::of("x");
        for (text, complete) in [
            ("debian", "docker.io/library/debian:latest".to_owned()),
            ("debian:12", "docker.io/library/debian:12".to_owned()),
            ("team/app", "docker.io/team/app:latest".to_owned()),
            ("index.docker.io/debian", "docker.io/library/debian:latest".to_owned()),
            ("localhost/app", "localhost/app:latest".to_owned()),
            ("localhost:5000/a/b__c/d-.e", String::new()),
            ("localhost:5000/a/b__c/d--e:V1.0_x", "localhost:5000/a/b__c/d--e:V1.0_x".to_owned()),
            ("[::1]:5000/app", "[::1]:5000/app:latest".to_owned()),
            (&format!("r.example/app@{digest}"), format!("r.example/app@{digest}")),
            (&format!("r.example/app:1@{digest}"), format!("r.example/app:1@{digest}")),
        ] {
            assert_eq!(read(text).unwrap_or_default(), complete, "{text}");
        }
    }

    #[test]
    fn the_digest_goes_before_the_tag() {
        let digest = Digest::of("x");
        let reference: Reference = "r.example/app:1".parse().unwrap();
        assert_eq!(reference.manifest(), "1");
        assert_eq!(reference.with_digest(digest).manifest(), digest.to_string());
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in [
            "",
            ":1",
            "/app",
            "App",
            "r.example/",
            "r.example//app",
            "r.example/../app",
            "r.example/app:",
            "r.example/app:-1",
            "r.example/app@sha256:12",
            "r.example/app@md5:12",
            "r.example:99999/app",
            "r.example:+80/app",
            "user@r.example/app",
            "http://r.example/app",
            "r_x.example/app",
            "[::1/app",
            "[::1]x/app",
            "r.example/a?b",
            "r.example/a b",
            &format!("r.example/{}", "a".repeat(260)),
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_reads_what_it_writes(text in "[a-z0-9.:/@_\\[\\]-]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                proptest::prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
            }
        }

        #[test]
        fn never_panics(text: String) {
            let _ = text.parse::<Reference>();
        }
    }
}
