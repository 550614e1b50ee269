//! What an opened file of code shows the use of.
//!
//! A program in Node opens thousands of files of a few hundred packages, and any one of them shows that its package is in use. So
//! files are reported by what they belong to, the first of each: never coarser than one package, since what is not reported counts
//! as not used.

/// The part of `path` that all files have in common which show the use of the same package; the whole path where a file may be
/// the only one of its package.
#[must_use]
pub fn shows(path: &str) -> &str {
    node_package(path)
        .or_else(|| ruby_gem(path))
        .or_else(|| composer_package(path))
        .or_else(|| python_folder(path))
        .unwrap_or(path)
}

/// `.../node_modules/name` or `.../node_modules/@scope/name`, the innermost.
fn node_package(path: &str) -> Option<&str> {
    let (start, name) = after_last(path, "/node_modules/")?;
    let parts = if name.starts_with('@') { 2 } else { 1 };
    folders(path, start, parts)
}

/// `.../gems/name-version`.
fn ruby_gem(path: &str) -> Option<&str> {
    path.ends_with(".rb").then_some(())?;
    let (start, name) = after_last(path, "/gems/")?;
    // `.../lib/ruby/gems/3.1.0/gems/name-version` has two folders of that name.
    name.split('/').next()?.contains('-').then_some(())?;
    folders(path, start, 1)
}

/// `.../vendor/vendor-name/name`.
fn composer_package(path: &str) -> Option<&str> {
    path.ends_with(".php").then_some(())?;
    let (start, name) = after_last(path, "/vendor/")?;
    // The loader that Composer itself writes lies in `vendor/composer/` and in `vendor/`.
    if name.starts_with("composer/") { None } else { folders(path, start, 2) }
}

/// A folder at least two levels below `site-packages` or `dist-packages`. Above that, distributions share folders: `backports/` holds
/// one file of each of several.
fn python_folder(path: &str) -> Option<&str> {
    let (start, inner) = after_last(path, "/site-packages/").or_else(|| after_last(path, "/dist-packages/"))?;
    let folder = inner.rsplit_once('/')?.0;
    let folder = folder.strip_suffix("/__pycache__").unwrap_or(folder);
    (folder.matches('/').count() >= 1).then(|| &path[..start + folder.len()])
}

/// Where what follows the last `marker` begins, and what that is.
fn after_last<'a>(path: &'a str, marker: &str) -> Option<(usize, &'a str)> {
    let start = path.rfind(marker)? + marker.len();
    Some((start, &path[start..]))
}

/// `path` up to and with the next `count` folders after `start`; none when the file is not that deep.
fn folders(path: &str, start: usize, count: usize) -> Option<&str> {
    let (end, _) = path[start..].match_indices('/').nth(count - 1)?;
    Some(&path[..start + end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_package_show_the_same() {
        for (path, shown) in [
            ("/app/node_modules/lodash/fp/map.js", "/app/node_modules/lodash"),
            ("/app/node_modules/@babel/core/lib/index.js", "/app/node_modules/@babel/core"),
            ("/app/node_modules/a/node_modules/b/index.js", "/app/node_modules/a/node_modules/b"),
            ("/usr/lib/ruby/gems/3.1.0/gems/rack-2.2.4/lib/rack.rb", "/usr/lib/ruby/gems/3.1.0/gems/rack-2.2.4"),
            ("/srv/vendor/symfony/console/Application.php", "/srv/vendor/symfony/console"),
            (
                "/v/site-packages/google/cloud/storage/__pycache__/blob.cpython-311.pyc",
                "/v/site-packages/google/cloud/storage",
            ),
            ("/usr/lib/python3/dist-packages/django/db/models.py", "/usr/lib/python3/dist-packages/django/db"),
        ] {
            assert_eq!(shows(path), shown);
        }
    }

    #[test]
    fn a_file_that_may_be_the_only_one_of_its_package_shows_itself() {
        for path in [
            "/app/main.js",
            "/app/node_modules/single.js",
            "/opt/app/lib/log4j-core-2.14.1.jar",
            "/v/site-packages/six.py",
            "/v/site-packages/__pycache__/six.cpython-311.pyc",
            "/v/site-packages/backports/functools_lru_cache.py",
            "/v/site-packages/backports/__pycache__/functools_lru_cache.cpython-311.pyc",
            "/usr/lib/python3.11/json/decoder.py",
            "/srv/vendor/autoload.php",
            "/srv/vendor/composer/ClassLoader.php",
            "/usr/lib/ruby/gems/3.1.0/cache.rb",
            "/",
            "",
        ] {
            assert_eq!(shows(path), path);
        }
    }
}
