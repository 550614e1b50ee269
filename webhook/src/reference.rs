//! Image references, brought into the one spelling that verdicts are filed under.

use std::fmt;

use stella_domain::Digest;

const DEFAULT_REGISTRY: &str = "docker.io";
/// Hosts that are Docker Hub, as its own name is.
const HUB: [&str; 4] = ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];
/// The port of a registry that names none.
const DEFAULT_PORT: u16 = 443;
const LONGEST: usize = 4096;

/// An image as a pod names it: a repository with a tag, or a digest, or both (then the digest decides).
///
/// Follows the grammar of the distribution project ("reference" package) as container runtimes apply it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    repository: Option<String>,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Nothing is there.
    #[error("the image is empty")]
    Empty,
    /// Longer than any runtime takes.
    #[error("the image has more than {LONGEST} bytes")]
    TooLong,
    /// The repository has characters no repository has.
    #[error("'{0}' is not a repository")]
    Repository(String),
    /// The tag has characters no tag has.
    #[error("'{0}' is not a tag")]
    Tag(String),
    /// The digest is not SHA-256.
    #[error(transparent)]
    Digest(#[from] stella_domain::DigestError),
}

impl ImageName {
    /// Reads an image as it stands in a pod.
    ///
    /// # Errors
    /// The text is no reference, or its digest is not SHA-256.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let text = text.trim();
        match text.len() {
            0 => return Err(ReferenceError::Empty),
            1..=LONGEST => {}
            _ => return Err(ReferenceError::TooLong),
        }
        if text.starts_with("sha256:") {
            return Ok(Self { repository: None, tag: None, digest: Some(text.parse()?) });
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse()?)),
            None => (text, None),
        };
        let (repository, tag) = split_tag(name);
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag(shortened(tag)));
        }
        Ok(Self { repository: Some(full_repository(repository)?), tag: tag.map(str::to_owned), digest })
    }

    /// The digest, where the reference has one.
    #[must_use]
    pub const fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The image of that digest in the same repository.
    #[must_use]
    pub fn at(self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self }
    }

    /// `registry/repository:tag`, `latest` where no tag is named. `None` where a digest decides.
    #[must_use]
    pub fn tagged(&self) -> Option<String> {
        let repository = self.repository.as_ref().filter(|_| self.digest.is_none())?;
        Some(format!("{repository}:{}", self.tag.as_deref().unwrap_or("latest")))
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.repository, self.digest) {
            (Some(repository), Some(digest)) => write!(f, "{repository}@{digest}"),
            (None, Some(digest)) => write!(f, "{digest}"),
            (Some(repository), None) => write!(f, "{repository}:{}", self.tag.as_deref().unwrap_or("latest")),
            (None, None) => Ok(()),
        }
    }
}

/// A colon begins a tag only after the last slash; before it, it begins a port.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[path..].find(':') {
        Some(colon) => (&name[..path + colon], Some(&name[path + colon + 1..])),
        None => (name, None),
    }
}

fn full_repository(text: &str) -> Result<String, ReferenceError> {
    let (registry, path) = match text.split_once('/') {
        Some((first, rest)) if is_registry(first) => (first, rest),
        _ => (DEFAULT_REGISTRY, text),
    };
    if !is_path(path) {
        return Err(ReferenceError::Repository(shortened(text)));
    }
    let registry = host(registry).ok_or_else(|| ReferenceError::Repository(shortened(text)))?;
    let library = if registry == DEFAULT_REGISTRY && !path.contains('/') { "library/" } else { "" };
    Ok(format!("{registry}/{library}{path}"))
}

/// One spelling for all that reach the same host: names know no case, a port is a number, and 443 goes without saying. `None`
/// when it is no host with a port.
fn host(registry: &str) -> Option<String> {
    let (name, port) = match registry.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (registry, None),
    };
    let port: Option<u16> = match port {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
        None => None,
    };
    let name = match name.strip_prefix('[').map(|inner| inner.strip_suffix(']')) {
        Some(inner) => format!("[{}]", inner?.parse::<std::net::Ipv6Addr>().ok()?),
        None if name.is_empty() || name.contains([':', '[', ']']) || name.split('.').any(str::is_empty) => return None,
        None => name.to_ascii_lowercase(),
    };
    let port = port.filter(|port| *port != DEFAULT_PORT);
    if port.is_none() && HUB.contains(&name.as_str()) {
        return Some(DEFAULT_REGISTRY.to_owned());
    }
    match port {
        Some(port) => Some(format!("{name}:{port}")),
        // In lower case it would read as a path of Docker Hub.
        None if !is_registry(&name) => Some(name.to_ascii_uppercase()),
        None => Some(name),
    }
}

/// The first part of a name is a registry when no repository could be spelled like it.
fn is_registry(text: &str) -> bool {
    let spelled = text.contains(['.', ':']) || text == "localhost" || text.bytes().any(|b| b.is_ascii_uppercase());
    let characters = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
    spelled && text.bytes().all(characters)
}

fn is_path(text: &str) -> bool {
    let part = |part: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        part.bytes().all(inner) && edge(part.as_bytes().first()) && edge(part.as_bytes().last())
    };
    text.split('/').all(part)
}

fn is_tag(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    begins && text.len() <= 128 && text.bytes().all(inner)
}

fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn one_spelling_for_all() {
        let table = [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.25", "docker.io/library/nginx:1.25"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
            ("bitnami/redis:7", "docker.io/bitnami/redis:7"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            ("ghcr.io/a/b/c:v1_2.3-x", "ghcr.io/a/b/c:v1_2.3-x"),
            ("Registry/app:1", "REGISTRY/app:1"),
            ("registry:443/app:1", "REGISTRY/app:1"),
            ("DOCKER.IO/nginx", "docker.io/library/nginx:latest"),
            ("docker.io:443/nginx", "docker.io/library/nginx:latest"),
            ("registry-1.docker.io/library/nginx", "docker.io/library/nginx:latest"),
            ("registry.hub.docker.com/library/nginx", "docker.io/library/nginx:latest"),
            ("GHCR.io:0443/a/b", "ghcr.io/a/b:latest"),
            ("localhost:05000/app", "localhost:5000/app:latest"),
            ("docker.io:5000/nginx", "docker.io:5000/nginx:latest"),
            ("[0:0::1]:5000/app", "[::1]:5000/app:latest"),
            (" nginx:1.25\n", "docker.io/library/nginx:1.25"),
        ];
        for (text, tagged) in table {
            let name = ImageName::parse(text).unwrap();
            assert_eq!(name.tagged().as_deref(), Some(tagged), "{text}");
            assert_eq!(ImageName::parse(tagged).unwrap().tagged(), name.tagged());
        }
    }

    #[test]
    fn a_digest_wins_over_a_tag() {
        let name = ImageName::parse(&format!("nginx:1.25@sha256:{HEX}")).unwrap();
        assert_eq!(name.digest().unwrap().hex(), HEX);
        assert_eq!(name.tagged(), None);
        assert_eq!(ImageName::parse("nginx:1.25").unwrap().at(name.digest().unwrap()), name);
        assert_eq!(name.to_string(), format!("docker.io/library/nginx@sha256:{HEX}"));
        assert_eq!(ImageName::parse(&format!("sha256:{HEX}")).unwrap().digest().unwrap().hex(), HEX);
    }

    #[test]
    fn what_names_no_image_is_refused() {
        let long = "a".repeat(5000);
        let other = format!("nginx@sha512:{HEX}");
        for text in
            ["", "a b", "UPPER", "a//b", "/a", "a/", "nginx:", "nginx:-x", "nginx@", "sha256:12", &long, &other, "ä"]
        {
            assert!(ImageName::parse(text).is_err(), "{text}");
        }
        // Hosts that no runtime can ask.
        for text in
            ["a.b./c", "a..b/c", ":5000/c", "a:b/c", "a.b:99999/c", "a:1:2/c", "[::1/c", "[x]:1/c", "bücher.example/c"]
        {
            assert!(ImageName::parse(text).is_err(), "{text}");
        }
    }
}
