//! Statements put together piece by piece. `sqlx` has a builder, too, but over `Any` it numbers no parameters.

use std::fmt::{Display, Write as _};

use crate::database::Connection;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, Arguments as _, AssertSqlSafe, Encode, Type};

/// A statement that grows, with its values.
#[derive(Default)]
pub(crate) struct Sql {
    numbered: bool,
    text: String,
    values: AnyArguments,
    count: usize,
}

impl Sql {
    /// `numbered` for PostgreSQL. SQLite takes numbers, too, but looks each of them up in a list of all: a batch's thousands of
    /// values would cost three times what they should.
    pub(crate) fn new(numbered: bool, text: impl Into<String>) -> Self {
        Self { numbered, text: text.into(), ..Self::default() }
    }

    /// A statement for the database that `connection` leads to.
    pub(crate) fn on(connection: &Connection, text: impl Into<String>) -> Self {
        Self::new(connection.backend_name() == "PostgreSQL", text)
    }

    /// Adds text. Never anything foreign: that is bound.
    pub(crate) fn push(&mut self, text: impl Display) -> &mut Self {
        // Writing to a `String` does not fail.
        let _ = write!(self.text, "{text}");
        self
    }

    /// Adds a parameter with its value.
    pub(crate) fn push_bind<'t, T: Encode<'t, Any> + Type<Any>>(&mut self, value: T) -> &mut Self {
        // Encoding for `Any` only moves the value into a list.
        let _ = self.values.add(value);
        self.count += 1;
        let number = self.count;
        if self.numbered { self.push(format_args!("${number}")) } else { self.push("?") }
    }

    /// What follows is a list.
    pub(crate) fn separated(&mut self, separator: &'static str) -> Separated<'_> {
        Separated { sql: self, separator, first: true }
    }

    /// Adds `VALUES` with a row for each of `rows`, whose values `fill` binds.
    pub(crate) fn push_values<R>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
        mut fill: impl FnMut(Separated<'_>, R),
    ) -> &mut Self {
        self.push("VALUES ");
        for (number, row) in rows.into_iter().enumerate() {
            self.push(if number == 0 { "(" } else { ", (" });
            fill(self.separated(", "), row);
            self.push(")");
        }
        self
    }

    /// The statement, ready to run. Nothing is left here.
    pub(crate) fn build(&mut self) -> Query<'static, Any, AnyArguments> {
        let Self { text, values, .. } = std::mem::take(self);
        sqlx::query_with(AssertSqlSafe(text), values)
    }
}

/// A list inside a statement.
pub(crate) struct Separated<'a> {
    sql: &'a mut Sql,
    separator: &'static str,
    first: bool,
}

impl Separated<'_> {
    /// Adds a parameter with its value.
    pub(crate) fn push_bind<'t, T: Encode<'t, Any> + Type<Any>>(&mut self, value: T) -> &mut Self {
        if !std::mem::take(&mut self.first) {
            self.sql.push(self.separator);
        }
        self.sql.push_bind(value);
        self
    }
}

/// `text` as part of a pattern of `LIKE … ESCAPE '\'` that matches only itself.
pub(crate) fn like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_in_the_order_of_their_values() {
        let mut sql = Sql::new(true, "SELECT x WHERE a = ");
        sql.push_bind(1_i64).push(" AND b IN (");
        let mut list = sql.separated(", ");
        list.push_bind("p").push_bind("q");
        sql.push(")");
        assert_eq!(sql.text, "SELECT x WHERE a = $1 AND b IN ($2, $3)");
        let mut sql = Sql::new(false, "INSERT INTO t (a, b) ");
        sql.push_values([1_i64, 2], |mut row, value| {
            row.push_bind(value).push_bind(-value);
        });
        assert_eq!(sql.text, "INSERT INTO t (a, b) VALUES (?, ?), (?, ?)");
        assert_eq!(sql.values.len(), 4);
    }

    #[test]
    fn what_a_pattern_would_read_is_escaped() {
        assert_eq!(like(r"50%_\x"), r"50\%\_\\x");
    }
}
