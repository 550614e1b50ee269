//! Lists of the server as tables, whatever fields their entries have.

use serde_json::Value;

use super::Grid;

/// Fields that say what an entry is; they stand first.
const NAMES: [&str; 3] = ["name", "node", "revision"];

/// A row an entry. With `columns` those fields, else every field that is a plain value in some entry.
#[must_use]
pub fn records(entries: &[Value], columns: &[&str]) -> String {
    if entries.is_empty() {
        return "none\n".to_owned();
    }
    let columns = if columns.is_empty() { plain_fields(entries) } else { columns.to_vec() };
    let header: Vec<String> = columns.iter().map(|name| spaced(name)).collect();
    let mut grid = Grid::new(&header.iter().map(String::as_str).collect::<Vec<&str>>());
    for entry in entries {
        grid.row(columns.iter().map(|name| cell(entry.get(name))).collect());
    }
    grid.render()
}

fn plain_fields(entries: &[Value]) -> Vec<&str> {
    let mut fields: Vec<&str> = Vec::new();
    for (name, value) in entries.iter().filter_map(Value::as_object).flatten() {
        if !value.is_object() && !value.is_array() && !fields.contains(&name.as_str()) {
            fields.push(name);
        }
    }
    fields.sort_by_key(|name| (NAMES.iter().position(|first| first == name).unwrap_or(NAMES.len()), *name));
    fields
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(other) => other.to_string(),
    }
}

/// `lastSeen` as `last seen`.
fn spaced(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push(' ');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_stand_first_and_nested_fields_are_left_out() {
        let entries = [json!({"agent": "0.1.0", "node": "n1", "lastSeen": null, "kernel": {"a": 1}})];
        let text = records(&entries, &[]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with("NODE") && lines[0].contains("LAST SEEN") && !lines[0].contains("KERNEL"),
            "{text}"
        );
        assert!(lines[1].starts_with("n1"), "{text}");
        assert_eq!(records(&[], &[]), "none\n");
    }
}
