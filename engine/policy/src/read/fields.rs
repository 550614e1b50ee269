//! Typed access to the fields of one object; what does not fit becomes an issue and counts as absent.

use serde_json::{Map, Value};
use stella_domain::Timestamp;

use crate::glob::{Dialect, Patterns};
use crate::issue::{Issue, IssueCode};

/// Longest text of a field in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 4096;
/// Most entries of a list of texts.
pub(crate) const MAX_TEXTS: usize = 1000;

pub(super) struct Fields<'v, 'i> {
    map: &'v Map<String, Value>,
    path: String,
    issues: &'i mut Vec<Issue>,
}

impl<'v, 'i> Fields<'v, 'i> {
    /// The fields of `value`, of which only `known` may occur.
    pub fn of(value: &'v Value, path: String, known: &[&str], issues: &'i mut Vec<Issue>) -> Option<Self> {
        let Value::Object(map) = value else {
            issues.push(mismatch(&path, "an object", value));
            return None;
        };
        for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
            let message = format!("Unknown field '{}'", cut(name));
            issues.push(Issue::new(IssueCode::FieldUnknown, child(&path, name), message));
        }
        Some(Self { map, path, issues })
    }

    /// The value of a field; null counts as absent.
    pub fn get(&self, name: &str) -> Option<&'v Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn path_of(&self, name: &str) -> String {
        child(&self.path, name)
    }

    pub fn issues(&mut self) -> &mut Vec<Issue> {
        self.issues
    }

    pub fn note(&mut self, code: IssueCode, path: impl Into<String>, message: impl Into<String>) {
        self.issues.push(Issue::new(code, path, message));
    }

    fn mismatch<T>(&mut self, name: &str, expected: &str, value: &Value) -> Option<T> {
        self.issues.push(mismatch(&self.path_of(name), expected, value));
        None
    }

    pub fn text(&mut self, name: &str) -> Option<String> {
        self.long_text(name, MAX_TEXT_BYTES)
    }

    pub fn long_text(&mut self, name: &str, most: usize) -> Option<String> {
        let value = self.get(name)?;
        let Value::String(text) = value else { return self.mismatch(name, "a text", value) };
        self.within(name, text.len(), most, "bytes").then(|| text.clone())
    }

    pub fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.get(name)?;
        value.as_bool().or_else(|| self.mismatch(name, "true or false", value))
    }

    pub fn number(&mut self, name: &str) -> Option<f64> {
        let value = self.get(name)?;
        value.as_f64().or_else(|| self.mismatch(name, "a number", value))
    }

    /// A probability between 0 and 1.
    pub fn epss(&mut self, name: &str) -> Option<f64> {
        let value = self.number(name)?;
        if (0.0..=1.0).contains(&value) {
            return Some(value);
        }
        let path = self.path_of(name);
        self.note(IssueCode::RuleEpssInvalid, path, format!("{value} is not between 0 and 1"));
        None
    }

    pub fn instant(&mut self, name: &str, code: IssueCode) -> Option<Timestamp> {
        let text = self.text(name)?;
        let path = self.path_of(name);
        text.parse().map_err(|message: String| self.note(code, path, message)).ok()
    }

    pub fn texts(&mut self, name: &str) -> Vec<String> {
        let entries = self.entries(name, MAX_TEXTS);
        let mut texts = Vec::with_capacity(entries.len());
        for (path, value) in entries {
            match value {
                Value::String(text) if text.len() <= MAX_TEXT_BYTES => texts.push(text.clone()),
                Value::String(_) => {
                    self.note(
                        IssueCode::LimitExceeded,
                        path,
                        format!("The text is longer than {MAX_TEXT_BYTES} bytes"),
                    );
                }
                other => self.issues.push(mismatch(&path, "a text", other)),
            }
        }
        texts
    }

    /// Texts that all are globs of `dialect`.
    pub fn globs(&mut self, name: &str, dialect: Dialect, code: IssueCode) -> Vec<String> {
        let globs = self.texts(name);
        for (index, glob) in globs.iter().enumerate() {
            if let Err(error) = Patterns::new(std::slice::from_ref(glob), dialect) {
                let path = format!("{}[{index}]", self.path_of(name));
                self.note(code, path, error.to_string());
            }
        }
        globs
    }

    /// The words of a list, read as levels; the issue stands at the list (policy.md, "Rule model").
    pub fn levels<T, E: ToString>(
        &mut self,
        name: &str,
        code: IssueCode,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let path = self.path_of(name);
        let mut levels = Vec::new();
        for text in self.texts(name) {
            match read(&text) {
                Ok(level) => levels.push(level),
                Err(error) => self.note(code, path.clone(), error.to_string()),
            }
        }
        levels
    }

    /// The entries of a list with their paths.
    pub fn entries(&mut self, name: &str, most: usize) -> Vec<(String, &'v Value)> {
        let Some(value) = self.get(name) else { return Vec::new() };
        let Value::Array(entries) = value else {
            return self.mismatch(name, "a list", value).unwrap_or_default();
        };
        if !self.within(name, entries.len(), most, "entries") {
            return Vec::new();
        }
        let path = self.path_of(name);
        entries.iter().enumerate().map(|(index, value)| (format!("{path}[{index}]"), value)).collect()
    }

    fn within(&mut self, name: &str, found: usize, most: usize, unit: &str) -> bool {
        if found > most {
            let path = self.path_of(name);
            self.note(IssueCode::LimitExceeded, path, format!("{found} {unit}; {most} are allowed"));
        }
        found <= most
    }
}

/// JSONPath of a member (RFC 9535): the short form where the name allows it.
pub(super) fn child(path: &str, name: &str) -> String {
    let plain =
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain && !name.is_empty() {
        return format!("{path}.{name}");
    }
    let escaped: String = cut(name).chars().flat_map(char::escape_default).collect();
    format!("{path}['{escaped}']")
}

fn mismatch(path: &str, expected: &str, value: &Value) -> Issue {
    let found = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Issue::new(IssueCode::FieldType, path, format!("Expected {expected}, found {found}"))
}

pub(super) fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}
