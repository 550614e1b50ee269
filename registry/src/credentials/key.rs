//! Which repositories an entry of `auths` is for (Kubernetes, "Images": interpretation of config.json).

use crate::reference::DOCKER_HUB;

/// A host and a path in it. The host's labels may have `*`, which stands for characters of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    labels: Vec<String>,
    port: Option<String>,
    path: Vec<String>,
}

impl Key {
    /// Reads a key as clients write them: `https://index.docker.io/v1/`, `r.example:5000`, `*.r.example/team`.
    pub(super) fn read(text: &str) -> Self {
        let text = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
        let (host, path) = text.split_once('/').unwrap_or((text, ""));
        let mut path: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        // The version of the API that old clients wrote behind the host.
        if path.first().is_some_and(|first| first == "v1" || first == "v2") {
            path.remove(0);
        }
        let (labels, port) = host_of(host);
        Self { labels, port, path }
    }

    /// Whether it is for a repository.
    pub(super) fn is_for(&self, host: &str, repository: &str) -> bool {
        let (labels, port) = host_of(host);
        let mut parts = repository.split('/');
        self.port == port
            && self.labels.len() == labels.len()
            && self.labels.iter().zip(&labels).all(|(pattern, label)| label_matches(pattern, label))
            && self.path.iter().all(|part| parts.next() == Some(part))
    }

    /// The more, the narrower: parts of the path first, then hosts without `*`.
    pub(super) fn narrowness(&self) -> (usize, bool) {
        (self.path.len(), !self.labels.iter().any(|label| label.contains('*')))
    }
}

/// Labels and port, in lower case, with one name for Docker Hub.
fn host_of(text: &str) -> (Vec<String>, Option<String>) {
    let text = text.to_ascii_lowercase();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        _ => (text.as_str(), None),
    };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        other => other,
    };
    (host.split('.').map(str::to_owned).collect(), port.map(str::to_owned))
}

/// Without backtracking over more than one star at a time: a pattern is foreign, too.
fn label_matches(pattern: &str, label: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = label.strip_prefix(first) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_for(key: &str, host: &str, repository: &str) -> bool {
        Key::read(key).is_for(host, repository)
    }

    #[test]
    fn schemes_and_versions_of_the_api_do_not_matter() {
        for key in ["docker.io", "https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io/v2/"] {
            assert!(is_for(key, "docker.io", "library/debian"), "{key}");
        }
        assert!(is_for("http://r.example:5000/v2", "r.example:5000", "a"));
    }

    #[test]
    fn hosts_match_whole_with_their_port() {
        assert!(is_for("R.example", "r.example", "a"));
        for key in ["example", "x.r.example", "r.example:5000", "r.example.evil", ""] {
            assert!(!is_for(key, "r.example", "a"), "{key}");
        }
        assert!(!is_for("r.example", "r.example:5000", "a"));
        assert!(is_for("[::1]:5000", "[::1]:5000", "a"));
    }

    #[test]
    fn paths_match_by_whole_parts() {
        for (key, repository, fits) in [
            ("r.example/team", "team/app", true),
            ("r.example/team/", "team", true),
            ("r.example/team", "team-evil/app", false),
            ("r.example/team/app", "team", false),
            ("r.example/v1/team", "team/app", true),
            ("r.example/v1team", "v1team/app", true),
        ] {
            assert_eq!(is_for(key, "r.example", repository), fits, "{key} {repository}");
        }
    }

    #[test]
    fn a_star_stands_for_a_part_of_one_label() {
        for (key, host, fits) in [
            ("*.r.example", "eu.r.example", true),
            ("*.r.example", "r.example", false),
            ("*.r.example", "a.b.r.example", false),
            ("e*.r.example", "eu.r.example", true),
            ("*u*.r.example", "eu-2.r.example", true),
            ("*a*b.r.example", "xaxb.r.example", true),
            ("*a*b.r.example", "xbxa.r.example", false),
            ("ab*ba.r.example", "aba.r.example", false),
            ("*", "r.example", false),
            ("*.*.example", "a.b.example", true),
        ] {
            assert_eq!(is_for(key, host, "a"), fits, "{key} {host}");
        }
    }

    #[test]
    fn the_longest_path_is_the_narrowest() {
        let mut keys = ["*.example", "r.example", "r.example/a/b", "*.example/a", "r.example/a"].map(Key::read);
        keys.sort_by_key(|key| std::cmp::Reverse(key.narrowness()));
        let expected = ["r.example/a/b", "r.example/a", "*.example/a", "r.example", "*.example"].map(Key::read);
        assert_eq!(keys, expected);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(key: String, host: String, repository: String) {
            let _ = is_for(&key, &host, &repository);
        }

        #[test]
        fn every_host_matches_itself(host in "[a-z0-9]{1,8}(\\.[a-z0-9-]{1,8}){1,3}(:[1-9][0-9]{0,3})?", path in "[a-z]{1,5}(/[a-z]{1,5}){0,3}") {
            proptest::prop_assert!(is_for(&host, &host, &path));
            let key = format!("{host}/{path}");
            proptest::prop_assert!(is_for(&key, &host, &path) || path.starts_with('v'));
        }
    }
}
