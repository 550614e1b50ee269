//! `specifications/NAME-VERSION.gemspec`, as RubyGems writes it when it installs a gem.

use super::super::{Cataloger, Findings, ParseError, SourceFile};
use crate::{Package, PackageKind};

/// Installed gems, those that come with Ruby included.
pub(in crate::cataloger) const INSTALLED: Cataloger =
    Cataloger { name: "gem", wants: is_installed, parse, is_database: false };

fn is_installed(path: &str) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else { return false };
    let folder = folder.strip_suffix("/default").unwrap_or(folder);
    name.ends_with(".gemspec") && (folder == "specifications" || folder.ends_with("/specifications"))
}

fn parse(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text();
    let (mut name, mut version, mut licences) = (String::new(), String::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(stub) = line.strip_prefix("# stub: ") {
            // A second one names the files that build its extensions.
            if !name.is_empty() {
                continue;
            }
            let mut words = stub.split(' ');
            (name, version) = (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("").to_owned());
            continue;
        }
        let Some((field, value)) = line.split_once('=') else { continue };
        let Some((_, field)) = field.trim().split_once('.') else { continue };
        match field {
            "name" if name.is_empty() => name = quoted(value).next().unwrap_or("").to_owned(),
            "version" if version.is_empty() => version = quoted(value).next().unwrap_or("").to_owned(),
            "license" | "licenses" if licences.is_empty() => licences = quoted(value).map(str::to_owned).collect(),
            _ => {}
        }
    }
    if name.is_empty() || version.is_empty() {
        return Err(ParseError("it has no name or no version".into()));
    }
    findings.add(Package {
        licences,
        files: gem_folder(file.path).into_iter().collect(),
        ..Package::new(PackageKind::Gem, name, version, file.path)
    });
    Ok(())
}

/// Texts in double or single quotes.
fn quoted(value: &str) -> impl Iterator<Item = &str> {
    value.split(['"', '\'']).skip(1).step_by(2)
}

/// `gems/NAME-VERSION/` beside `specifications/`. Gems that come with Ruby lie among its own files.
fn gem_folder(path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/')?;
    let root = folder.strip_suffix("specifications")?;
    Some(format!("{root}gems/{}/", name.strip_suffix(".gemspec")?))
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{parse as read, shown};
    use super::*;

    #[test]
    fn installed_gems() {
        let text = "# -*- encoding: utf-8 -*-\n# stub: rack 2.2.3 ruby lib\n\nGem::Specification.new do |s|\n  \
            s.name = \"rack\".freeze\n  s.version = \"2.2.3\"\n  s.licenses = [\"MIT\".freeze, \"BSD\".freeze]\nend\n";
        let found = read(&INSTALLED, "usr/lib/ruby/gems/3.0.0/specifications/rack-2.2.3.gemspec", text);
        assert_eq!(shown(&found), ["rack@2.2.3"]);
        assert_eq!(found.packages[0].licences, ["MIT", "BSD"]);
        assert_eq!(found.packages[0].files, ["usr/lib/ruby/gems/3.0.0/gems/rack-2.2.3/"]);
        let text = "Gem::Specification.new do |s|\n s.name = 'json'\n s.version = '2.5.1'\nend\n";
        let found = read(&INSTALLED, "usr/lib/ruby/gems/3.0.0/specifications/default/json-2.5.1.gemspec", text);
        assert_eq!(shown(&found), ["json@2.5.1"]);
        assert!(found.packages[0].files.is_empty());
        assert!(!is_installed("usr/lib/ruby/gems/3.0.0/gems/rack-2.2.3/rack.gemspec"));
    }
}
