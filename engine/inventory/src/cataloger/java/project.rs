//! A Maven project (`pom.xml`, Maven "POM Reference") and the `pom.properties` that Maven leaves in archives.

use std::collections::{BTreeMap, HashMap};

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;

use crate::cataloger::ParseError;

/// What names a Maven artifact; empty where it is not told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Coordinates {
    pub(super) group: String,
    pub(super) artifact: String,
    pub(super) version: String,
}

impl Coordinates {
    /// All three are there and none is a placeholder.
    pub(super) fn is_complete(&self) -> bool {
        [&self.group, &self.artifact, &self.version].iter().all(|part| is_plain(part))
    }

    /// The name as advisories have it.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.group, self.artifact)
    }
}

/// Neither empty nor a placeholder, a range or a text with blanks.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "$@{}[]():,/\\".contains(c))
}

/// Reads `pom.properties` (`java.util.Properties`, as far as Maven writes them).
pub(super) fn properties(text: &str) -> Coordinates {
    let mut found = Coordinates::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(['=', ':']) else { continue };
        let value = value.trim().to_owned();
        match key.trim() {
            "groupId" => found.group = value,
            "artifactId" => found.artifact = value,
            "version" => found.version = value,
            _ => {}
        }
    }
    found
}

/// What a project says of itself and what it needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Project {
    pub(super) own: Coordinates,
    pub(super) licences: Vec<String>,
    pub(super) dependencies: Vec<Dependency>,
    /// Versions and scopes for dependencies that state none.
    managed: Vec<Dependency>,
    properties: BTreeMap<String, String>,
    parent: Coordinates,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) coordinates: Coordinates,
    pub(super) scope: String,
    /// Empty for `jar`.
    kind: String,
    classifier: String,
}

/// In place of an entity that nobody knows; no document has this character.
const UNRESOLVED: &str = "\0";

/// Whether packages are told there.
fn is_read(path: &[String]) -> bool {
    const PARTS: [&str; 7] =
        ["groupId", "artifactId", "version", "parent", "properties", "dependencies", "dependencyManagement"];
    path.get(1).is_some_and(|part| PARTS.contains(&part.as_str()))
}

impl Project {
    /// Reads a project with so many elements in each other at most. Entities other than XML's own are not resolved, and refused
    /// where they stand for what is a package.
    pub(super) fn parse(text: &str, max_depth: usize) -> Result<Self, ParseError> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().trim_text(false);
        let mut project = Self::default();
        let mut path: Vec<String> = Vec::new();
        let mut value = String::new();
        loop {
            let failed = |reader: &Reader<&[u8]>, what: String| {
                ParseError(format!("at byte {}: {what}", reader.buffer_position()))
            };
            match reader.read_event() {
                Err(error) => return Err(failed(&reader, error.to_string())),
                Ok(Event::Eof) if path.is_empty() => break,
                Ok(Event::Eof) => return Err(failed(&reader, "it ends within an element".into())),
                Ok(Event::Start(start)) => {
                    if path.len() >= max_depth {
                        return Err(failed(&reader, format!("more than {max_depth} elements in each other")));
                    }
                    path.push(start.local_name().as_ref().to_owned());
                    value.clear();
                    if let Some(dependencies) = project.dependencies_at(&path) {
                        dependencies.push(Dependency::default());
                    }
                }
                Ok(Event::End(_)) if value.contains(UNRESOLVED) && is_read(&path) => {
                    return Err(failed(&reader, "an entity that is none of XML's own".into()));
                }
                Ok(Event::End(_)) => {
                    project.element(&path, value.trim());
                    path.pop();
                    value.clear();
                }
                Ok(Event::Text(text)) => value.push_str(text.as_ref()),
                Ok(Event::CData(text)) => value.push_str(text.as_ref()),
                Ok(Event::GeneralRef(reference)) => match reference.resolve_char_ref() {
                    Ok(Some(character)) => value.push(character),
                    _ => value.push_str(resolve_xml_entity(reference.as_ref()).unwrap_or(UNRESOLVED)),
                },
                Ok(_) => {}
            }
        }
        project.resolve();
        Ok(project)
    }

    fn element(&mut self, path: &[String], value: &str) {
        let [root, path @ ..] = path else { return };
        if root != "project" || value.is_empty() {
            return;
        }
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let value = value.to_owned();
        match names.as_slice() {
            ["groupId"] => self.own.group = value,
            ["artifactId"] => self.own.artifact = value,
            ["version"] => self.own.version = value,
            ["parent", "groupId"] => self.parent.group = value,
            ["parent", "artifactId"] => self.parent.artifact = value,
            ["parent", "version"] => self.parent.version = value,
            ["properties", name] => {
                self.properties.insert((*name).to_owned(), value);
            }
            ["licenses", "license", "name"] => self.licences.push(value),
            ["dependencies", "dependency", field] => set(self.dependencies.last_mut(), field, value),
            ["dependencyManagement", "dependencies", "dependency", field] => set(self.managed.last_mut(), field, value),
            _ => {}
        }
    }

    /// The list that an element at this place is an entry of.
    fn dependencies_at(&mut self, path: &[String]) -> Option<&mut Vec<Dependency>> {
        path.last().filter(|last| *last == "dependency")?;
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        match names.as_slice() {
            ["project", "dependencies", "dependency"] => Some(&mut self.dependencies),
            ["project", "dependencyManagement", "dependencies", "dependency"] => Some(&mut self.managed),
            _ => None,
        }
    }

    /// Fills in what the parent gives and what the project's own properties hold.
    fn resolve(&mut self) {
        if self.own.group.is_empty() {
            self.own.group.clone_from(&self.parent.group);
        }
        if self.own.version.is_empty() {
            self.own.version.clone_from(&self.parent.version);
        }
        let (own, properties) = (self.own.clone(), &self.properties);
        let held = |text: &mut String| {
            let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else { return };
            let value = match name {
                "project.groupId" | "pom.groupId" | "groupId" => Some(&own.group),
                "project.version" | "pom.version" | "version" => Some(&own.version),
                "project.parent.version" => Some(&self.parent.version),
                name => properties.get(name),
            };
            if let Some(value) = value {
                text.clone_from(value);
            }
        };
        held(&mut self.own.group);
        held(&mut self.own.version);
        for dependency in self.dependencies.iter_mut().chain(&mut self.managed) {
            held(&mut dependency.coordinates.group);
            held(&mut dependency.coordinates.artifact);
            held(&mut dependency.coordinates.version);
            held(&mut dependency.kind);
            held(&mut dependency.classifier);
        }
        self.manage();
    }

    /// Gives dependencies that state no version or scope what the project's `dependencyManagement` says of them (Maven,
    /// "Dependency Management").
    fn manage(&mut self) {
        let managed: HashMap<[&str; 4], &Dependency> = self.managed.iter().map(|it| (it.key(), it)).collect();
        for dependency in &mut self.dependencies {
            let Some(managed) = managed.get(&dependency.key()).copied() else { continue };
            if dependency.coordinates.version.is_empty() {
                dependency.coordinates.version.clone_from(&managed.coordinates.version);
            }
            if dependency.scope.is_empty() {
                dependency.scope.clone_from(&managed.scope);
            }
        }
    }
}

impl Dependency {
    /// Group, artifact, type and classifier: one project may need several files of an artifact, each managed for itself.
    fn key(&self) -> [&str; 4] {
        let kind = if self.kind.is_empty() { "jar" } else { &self.kind };
        [&self.coordinates.group, &self.coordinates.artifact, kind, &self.classifier]
    }
}

fn set(dependency: Option<&mut Dependency>, field: &str, value: String) {
    let Some(Dependency { coordinates, scope, kind, classifier }) = dependency else { return };
    match field {
        "groupId" => coordinates.group = value,
        "artifactId" => coordinates.artifact = value,
        "version" => coordinates.version = value,
        "scope" => *scope = value,
        "type" => *kind = value,
        "classifier" => *classifier = value,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn parse(text: &str) -> Result<Project, ParseError> {
        Project::parse(text, Limits::default().max_xml_depth)
    }

    const POM: &str = r#"<?xml version="1.0"?><!DOCTYPE project [<!ENTITY x "y">]>
<project xmlns="http://maven.apache.org/POM/4.0.0"><parent><groupId>org.example</groupId><artifactId>p</artifactId>
<version>1.2</version></parent><artifactId> app </artifactId><properties><lib>3.4</lib></properties>
<licenses><license><name>A &amp; B&#33;</name></license></licenses>
<dependencyManagement><dependencies><dependency><groupId>m</groupId></dependency></dependencies></dependencyManagement>
<dependencies><dependency><groupId>${project.groupId}</groupId><artifactId>lib</artifactId><version>${lib}</version>
<exclusions><exclusion><groupId>no</groupId></exclusion></exclusions></dependency>
<dependency><groupId>g</groupId><artifactId>t</artifactId><scope>test</scope></dependency></dependencies></project>"#;

    #[test]
    fn projects_inherit_and_hold_properties() {
        let project = parse(POM).unwrap();
        assert_eq!((project.own.name().as_str(), project.own.version.as_str()), ("org.example:app", "1.2"));
        assert_eq!(project.licences, ["A & B!"]);
        let shown: Vec<_> = project
            .dependencies
            .iter()
            .map(|d| format!("{} {} {}", d.coordinates.name(), d.coordinates.version, d.scope))
            .collect();
        assert_eq!(shown, ["org.example:lib 3.4 ", "g:t  test"]);
    }

    #[test]
    fn versions_and_scopes_may_be_managed() {
        let managed = |artifact: &str, rest: &str| {
            format!("<dependency><groupId>g</groupId><artifactId>{artifact}</artifactId>{rest}</dependency>")
        };
        let text = format!(
            "<project><dependencies>{}{}{}</dependencies><properties><v>2</v></properties>\
             <dependencyManagement><dependencies>{}{}{}</dependencies></dependencyManagement></project>",
            managed("a", ""),
            managed("b", "<version>9</version>"),
            managed("c", ""),
            managed("a", "<version>${v}</version>"),
            managed("b", "<version>1</version><scope>test</scope>"),
            managed("d", "<version>1</version>"),
        );
        let project = parse(&text).unwrap();
        let shown = project.dependencies.iter().map(|d| format!("{}:{}", d.coordinates.version, d.scope));
        assert_eq!(shown.collect::<Vec<_>>(), ["2:", "9:test", ":"]);
    }

    #[test]
    fn each_file_of_an_artifact_is_managed_for_itself() {
        let entry =
            |rest: &str| format!("<dependency><groupId>g</groupId><artifactId>a</artifactId>{rest}</dependency>");
        let text = format!(
            "<project><dependencies>{}{}{}</dependencies><properties><kind>test-jar</kind></properties>\
             <dependencyManagement><dependencies>{}{}{}</dependencies></dependencyManagement></project>",
            entry(""),
            entry("<type>${kind}</type>"),
            entry("<classifier>linux</classifier>"),
            entry("<type>jar</type><version>1</version>"),
            entry("<classifier>linux</classifier><version>2</version><scope>runtime</scope>"),
            entry("<type>test-jar</type><version>3</version><scope>test</scope>"),
        );
        let project = parse(&text).unwrap();
        let shown = project.dependencies.iter().map(|d| format!("{}:{}", d.coordinates.version, d.scope));
        assert_eq!(shown.collect::<Vec<_>>(), ["1:", "3:test", "2:runtime"]);
    }

    #[test]
    fn depth_and_damage_are_told() {
        let deep = "<a>".repeat(100);
        assert!(parse(&deep).unwrap_err().0.contains("more than 64 elements in each other"));
        assert!(Project::parse(&deep, 99).unwrap_err().0.contains("more than 99 elements"));
        assert!(parse("<project><a>").unwrap_err().0.contains("ends within"));
        assert!(parse("<project></b>").is_err());
    }

    #[test]
    fn properties_of_maven() {
        let found = properties("#Generated\n#Mon\nversion=1.0\ngroupId = a.b\nartifactId:c\n");
        assert_eq!((found.name().as_str(), found.version.as_str()), ("a.b:c", "1.0"));
        assert!(found.is_complete());
        assert!(!properties("version=${v}\ngroupId=a\nartifactId=b").is_complete());
    }
}
