//! The main attributes of a JAR's manifest (JAR File Specification, "JAR Manifest").

use std::collections::BTreeMap;

/// Main attributes by name in lower case.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest(BTreeMap<String, String>);

impl Manifest {
    /// Reads the main section. A line that starts with a blank goes on with the one before.
    pub(super) fn parse(text: &str) -> Self {
        let mut attributes: BTreeMap<String, String> = BTreeMap::new();
        let mut last: Option<String> = None;
        for line in text.lines() {
            if line.is_empty() {
                break;
            }
            if let (Some(rest), Some(name)) = (line.strip_prefix(' '), &last) {
                if let Some(value) = attributes.get_mut(name) {
                    value.push_str(rest);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                let name = name.to_ascii_lowercase();
                attributes.insert(name.clone(), value.trim_start().to_owned());
                last = Some(name);
            }
        }
        Self(attributes)
    }

    /// The value without parameters, when it says anything.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?.trim();
        let value = value.split_once(';').map_or(value, |(value, _)| value.trim_end());
        (!value.is_empty() && !value.contains("${") && !value.eq_ignore_ascii_case("unknown")).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_and_sections_end() {
        let manifest = Manifest::parse(
            "Manifest-Version: 1.0\r\nBundle-SymbolicName: org.example.a-very-lo\r\n ng-name;singleton:=true\r\n\
             Implementation-Version: ${version}\r\n\r\nName: x\r\nImplementation-Title: inner\r\n",
        );
        assert_eq!(manifest.get("bundle-symbolicname"), Some("org.example.a-very-long-name"));
        assert_eq!(manifest.get("implementation-version"), None);
        assert_eq!(manifest.get("implementation-title"), None);
    }
}
