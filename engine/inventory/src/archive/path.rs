//! Names in archives become paths below the root.

use crate::limits::Limits;

use super::ArchiveError;

/// The name of an entry as a path relative to the root: no leading slash, no `.`, no empty component.
///
/// # Errors
/// A `..` leads out of the root (or would, seen from another folder): such names occur in attacks alone.
pub(crate) fn normalise(name: &[u8], limits: &Limits) -> Result<String, ArchiveError> {
    let shown = || String::from_utf8_lossy(&name[..name.len().min(256)]).into_owned();
    if name.len() > limits.max_path_bytes {
        let max = limits.max_path_bytes as u64;
        return Err(ArchiveError::Limit { entry: shown(), what: "bytes in a path", max });
    }
    let text = match std::str::from_utf8(name) {
        Ok(text) => std::borrow::Cow::Borrowed(text),
        Err(_) if limits.refuse_non_utf8 => return Err(ArchiveError::NotUtf8 { entry: shown() }),
        Err(_) => String::from_utf8_lossy(name),
    };
    let mut path = String::with_capacity(text.len());
    let mut depth = 0;
    for component in text.split('/') {
        match component {
            "" | "." => continue,
            ".." => return Err(ArchiveError::Traversal { entry: shown() }),
            _ => {}
        }
        depth += 1;
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(component);
    }
    if depth > limits.max_path_depth {
        let max = limits.max_path_depth as u64;
        return Err(ArchiveError::Limit { entry: shown(), what: "components in a path", max });
    }
    Ok(path)
}

/// Where a link in `folder` leads, relative to the root. `..` at the root stays at the root, as it does for a
/// process whose root this is (path_resolution(7)).
pub(crate) fn resolve_target(folder: &str, target: &str) -> String {
    if target.starts_with('/') { join("", target) } else { join(folder, target) }
}

/// `relative` seen from `folder`, by the names alone.
pub(crate) fn join(folder: &str, relative: &str) -> String {
    let mut path = String::with_capacity(folder.len() + relative.len() + 1);
    path.push_str(folder);
    for component in relative.split('/') {
        match component {
            "" | "." => {}
            ".." => path.truncate(path.rfind('/').unwrap_or(0)),
            _ => {
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(component);
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_decoration() {
        let normalise = |name: &str| normalise(name.as_bytes(), &Limits::default());
        assert_eq!(normalise("./usr//lib/./x/").unwrap(), "usr/lib/x");
        assert_eq!(normalise("/etc/passwd").unwrap(), "etc/passwd");
        assert_eq!(normalise("./").unwrap(), "");
        assert!(matches!(normalise("a/../../etc/passwd"), Err(ArchiveError::Traversal { .. })));
        assert!(matches!(normalise(&"a/".repeat(300)), Err(ArchiveError::Limit { .. })));
        assert!(matches!(normalise(&"a".repeat(5000)), Err(ArchiveError::Limit { .. })));
    }

    #[test]
    fn names_that_are_not_utf8_are_refused_or_replaced() {
        assert!(matches!(normalise(b"caf\xe9", &Limits::default()), Err(ArchiveError::NotUtf8 { .. })));
        let lenient = Limits { refuse_non_utf8: false, ..Limits::default() };
        assert_eq!(normalise(b"caf\xe9", &lenient).unwrap(), "caf\u{fffd}");
    }

    #[test]
    fn links_stay_below_the_root() {
        assert_eq!(resolve_target("usr/bin", "../lib/x"), "usr/lib/x");
        assert_eq!(resolve_target("usr/bin", "/lib/x"), "lib/x");
        assert_eq!(resolve_target("usr", "../../../../etc"), "etc");
        assert_eq!(resolve_target("", "usr/lib"), "usr/lib");
    }
}
