//! `Gemfile.lock` (Bundler). Which gems only development needs is not told.

use super::super::{Cataloger, Findings, ParseError, SourceFile};
use crate::{Package, PackageKind};

/// `Gemfile.lock` and `gems.locked` of a project, not of an installed gem.
pub(in crate::cataloger) const LOCK: Cataloger =
    Cataloger { name: "bundler-lock", wants: is_lock, parse, is_database: true };

fn is_lock(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    matches!(name, "Gemfile.lock" | "gems.locked") && !folder.split('/').any(|part| part == "gems")
}

fn parse(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text();
    let mut section = "";
    for line in text.lines() {
        if !line.starts_with(' ') {
            section = line.trim_end();
            continue;
        }
        // Gems have four blanks before them, what they need has six.
        let Some(gem) = line.strip_prefix("    ").filter(|gem| section == "GEM" && !gem.starts_with(' ')) else {
            continue;
        };
        let Some((name, version)) = gem.split_once(" (").and_then(|(n, v)| Some((n, v.strip_suffix(')')?))) else {
            continue;
        };
        // `1.13.0-x86_64-linux` is 1.13.0 built for a platform.
        let version = version.split('-').next().unwrap_or(version);
        findings.add(Package::new(PackageKind::Gem, name, version, file.path));
    }
    findings.packages.sort_unstable();
    findings.packages.dedup();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{parse as read, shown};
    use super::*;

    #[test]
    fn gems_of_the_index_with_and_without_platform() {
        let text = "GIT\n  remote: https://x/y\n  specs:\n    z (1.0)\n\nGEM\n  remote: https://rubygems.org/\n  specs:\n    \
            actionpack (6.1.0)\n      rack (~> 2.0)\n    nokogiri (1.13.0-x86_64-linux)\n    nokogiri (1.13.0)\n\n\
            PLATFORMS\n  ruby\n\nDEPENDENCIES\n  actionpack\n";
        assert_eq!(shown(&read(&LOCK, "app/Gemfile.lock", text)), ["actionpack@6.1.0", "nokogiri@1.13.0"]);
        assert!(!is_lock("usr/lib/ruby/gems/3.0.0/gems/x-1/Gemfile.lock"));
    }
}
