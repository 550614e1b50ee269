//! Which registries are reached how: mirrors, plain HTTP, authorities of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::reference::{DOCKER_HUB, is_component, is_host};

/// Bytes of the file.
const LONGEST_FILE: u64 = 1 << 20;
/// Registries in it, and mirrors of one registry.
const MOST: usize = 1_000;

/// The settings of all registries that are not reached in the ordinary way, as YAML or JSON:
///
/// ```yaml
/// registries:
///   - host: docker.io
///     mirrors: [mirror.example:5000/hub]
///   - host: mirror.example:5000
///     caFile: /etc/stella/mirror-ca.pem
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registries {
    /// One entry a host.
    #[serde(default)]
    pub registries: Vec<Registry>,
}

/// The settings of one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registry {
    /// Host, with its port where references have one.
    pub host: String,
    /// Hosts, with an optional path that goes before the repository, that are asked first, in this order. How each of
    /// them is reached is an entry of its own.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// Whether it is spoken to by plain HTTP.
    #[serde(default)]
    pub insecure: bool,
    /// PEM file with the only authorities that its certificate may come from; the system's without it.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// Why the settings are of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is too large to be what it should be.
    #[error("{} has more than {max} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
    /// Not the YAML it should be.
    #[error("malformed registries: {reason}")]
    Malformed {
        /// What the parser said.
        reason: String,
    },
    /// Not a host.
    #[error("{place}: '{host}' is not a host with an optional port")]
    Host {
        /// Where it stands.
        place: String,
        /// What was given.
        host: String,
    },
    /// A mirror is no host with a path.
    #[error("{place}: '{mirror}' is not a host with an optional port and path")]
    Mirror {
        /// Where it stands.
        place: String,
        /// What was given.
        mirror: String,
    },
    /// Two entries for one host.
    #[error("{place}: '{host}' has an entry already")]
    Twice {
        /// Where the second stands.
        place: String,
        /// The host.
        host: String,
    },
    /// Plain HTTP has no certificates.
    #[error("{place}: '{host}' is insecure (plain HTTP) and has a caFile; leave one of them out")]
    CaWithoutTls {
        /// Where it stands.
        place: String,
        /// The host.
        host: String,
    },
    /// Too many entries.
    #[error("{place}: more than {MOST} entries")]
    TooMany {
        /// Where.
        place: String,
    },
    /// Certificates that are none.
    #[error("{}: not PEM certificates: {reason}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// TLS or the client cannot be set up.
    #[error("cannot set up the client: {reason}")]
    Client {
        /// What is missing.
        reason: String,
    },
}

impl Registries {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError`] when it cannot be read or says nothing sensible.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let bytes = read_bounded(path, LONGEST_FILE)?;
        let text = String::from_utf8(bytes).map_err(|_| ConfigError::Malformed { reason: "not UTF-8".into() })?;
        Self::parse(&text)
    }

    /// Reads YAML or JSON.
    ///
    /// # Errors
    /// [`ConfigError`] naming the entry.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let found: Self =
            serde_saphyr::from_str(text).map_err(|error| ConfigError::Malformed { reason: error.to_string() })?;
        found.by_host().map(drop)?;
        Ok(found)
    }

    /// The same, with further hosts that are spoken to by plain HTTP.
    #[must_use]
    pub fn with_insecure(mut self, hosts: &[String]) -> Self {
        for host in hosts {
            match self.registries.iter_mut().find(|registry| registry.host == *host) {
                Some(registry) => registry.insecure = true,
                None => {
                    let registry = Registry { host: host.clone(), insecure: true, ..Registry::default() };
                    self.registries.push(registry);
                }
            }
        }
        self
    }

    /// The entries by host, checked.
    pub(crate) fn by_host(&self) -> Result<BTreeMap<&str, &Registry>, ConfigError> {
        if self.registries.len() > MOST {
            return Err(ConfigError::TooMany { place: "registries".into() });
        }
        let mut hosts = BTreeMap::new();
        for (at, registry) in self.registries.iter().enumerate() {
            let place = format!("registries[{at}]");
            let host = registry.host.as_str();
            if !is_host(host) {
                return Err(ConfigError::Host { place: format!("{place}.host"), host: host.to_owned() });
            }
            if registry.mirrors.len() > MOST {
                return Err(ConfigError::TooMany { place: format!("{place}.mirrors") });
            }
            for (at, mirror) in registry.mirrors.iter().enumerate() {
                if !is_mirror(mirror) {
                    let place = format!("{place}.mirrors[{at}]");
                    return Err(ConfigError::Mirror { place, mirror: mirror.clone() });
                }
            }
            if registry.insecure && registry.ca_file.is_some() {
                return Err(ConfigError::CaWithoutTls { place, host: host.to_owned() });
            }
            let host = if matches!(host, "index.docker.io" | "registry-1.docker.io") { DOCKER_HUB } else { host };
            if hosts.insert(host, registry).is_some() {
                return Err(ConfigError::Twice { place, host: host.to_owned() });
            }
        }
        Ok(hosts)
    }
}

fn is_mirror(text: &str) -> bool {
    let (host, path) = split_mirror(text);
    is_host(host) && path.is_none_or(|path| path.split('/').all(is_component))
}

/// Host and path of a mirror.
pub(crate) fn split_mirror(text: &str) -> (&str, Option<&str>) {
    text.split_once('/').map_or((text, None), |(host, path)| (host, Some(path)))
}

/// A file of at most `max` bytes.
pub(crate) fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>, ConfigError> {
    use std::io::Read as _;
    let failed = |source| ConfigError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max {
        return Err(ConfigError::TooLarge { path: path.to_owned(), max });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_yaml_and_json() {
        let yaml = "registries:\n- host: docker.io\n  mirrors: ['m.example:5000/hub', n.example]\n- host: m.example:5000\n  insecure: true\n- host: n.example\n  caFile: /ca.pem\n";
        let json = r#"{"registries":[{"host":"docker.io","mirrors":["m.example:5000/hub","n.example"]},
            {"host":"m.example:5000","insecure":true},{"host":"n.example","caFile":"/ca.pem"}]}"#;
        let found = Registries::parse(yaml).unwrap();
        assert_eq!(found, Registries::parse(json).unwrap());
        assert_eq!(found.registries[0].mirrors.len(), 2);
        assert_eq!(found.registries[2].ca_file.as_deref(), Some(Path::new("/ca.pem")));
        assert_eq!(Registries::parse("registries: []").unwrap(), Registries::default());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, words) in [
            ("registries: [{mirrors: []}]", "host"),
            ("registries: [{host: a.example, mirror: b.example}]", "mirror"),
            ("registries: [{host: 'https://a.example'}]", "registries[0].host: 'https://a.example' is not a host"),
            ("registries: [{host: a.example/path}]", "registries[0].host"),
            ("registries: [{host: a.example, mirrors: [b.example, 'b.example/']}]", "registries[0].mirrors[1]"),
            ("registries: [{host: a.example, mirrors: ['http://b.example']}]", "registries[0].mirrors[0]"),
            ("registries: [{host: a.example}, {host: a.example}]", "registries[1]: 'a.example' has an entry already"),
            ("registries: [{host: a.example, insecure: true, caFile: /x}]", "leave one of them out"),
            ("registries: 3", "malformed registries"),
        ] {
            let error = Registries::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn insecure_hosts_are_added_to_the_file() {
        let found = Registries::parse("registries: [{host: a.example, mirrors: [b.example]}]").unwrap();
        let hosts = ["a.example".to_owned(), "c.example:5000".to_owned()];
        let found = found.with_insecure(&hosts);
        assert!(found.registries.iter().all(|registry| registry.insecure));
        assert_eq!(found.registries.len(), 2);
        assert_eq!(found.registries[0].mirrors, ["b.example"]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text: String) {
            let _ = Registries::parse(&text);
        }
    }
}
