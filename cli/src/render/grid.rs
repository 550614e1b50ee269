//! Rows and columns for a terminal.

use comfy_table::{ContentArrangement, Table, presets};

use crate::terminal;

/// Narrower than this a table is better left as wide as it is.
const NARROWEST: u16 = 60;

/// A table whose first column may be a severity, which is coloured where colours are wanted.
#[derive(Debug)]
pub struct Grid {
    table: Table,
}

impl Grid {
    /// An empty table.
    #[must_use]
    pub fn new(header: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if let Some(width) = terminal::width().filter(|width| *width >= NARROWEST) {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table.set_header(header.iter().map(|name| name.to_uppercase()).collect::<Vec<String>>());
        Self { table }
    }

    /// Adds a row; foreign text in it is made harmless.
    pub fn row(&mut self, cells: Vec<String>) {
        let harmless = |cell: String| terminal::printable(&cell).into_owned();
        self.table.add_row(cells.into_iter().map(harmless).collect::<Vec<String>>());
    }

    /// The table as lines.
    #[must_use]
    pub fn render(mut self) -> String {
        if let Some(first) = self.table.column_mut(0) {
            first.set_padding((0, 1));
        }
        let colours = terminal::colours();
        let mut text = String::new();
        for line in self.table.lines() {
            let line = line.trim_end();
            text.push_str(&if colours { coloured(line) } else { line.to_owned() });
            text.push('\n');
        }
        text
    }
}

/// The line with the severity it begins with in its colour.
fn coloured(line: &str) -> String {
    let word = line.split(' ').next().unwrap_or_default();
    let code = match word {
        "Critical" => "1;31",
        "High" => "31",
        "Medium" => "33",
        "Low" | "Informational" => "36",
        _ => return line.to_owned(),
    };
    format!("\x1b[{code}m{word}\x1b[0m{}", &line[word.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_severity_at_the_beginning_is_coloured() {
        assert_eq!(coloured("High  CVE-1"), "\x1b[31mHigh\x1b[0m  CVE-1");
        assert_eq!(coloured("  High"), "  High");
        assert_eq!(coloured(""), "");
    }

    #[test]
    fn columns_line_up() {
        let mut grid = Grid::new(&["severity", "id"]);
        grid.row(vec!["High".to_owned(), "CVE-1".to_owned()]);
        grid.row(vec!["Critical".to_owned(), "CVE\n2".to_owned()]);
        let text = grid.render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        let column = lines[0].find("ID").unwrap();
        assert!(lines[0].starts_with("SEVERITY") && lines[1][column..].starts_with("CVE-1"), "{text}");
        assert!(lines[2][column..].starts_with("CVE\u{fffd}2"), "{text}");
    }
}
