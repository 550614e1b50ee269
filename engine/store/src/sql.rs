//! Statements put together piece by piece. `sqlx` has a builder, too, but over `Any` it numbers no parameters.

use std::fmt::{Display, Write as _};

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, Arguments as _, AssertSqlSafe, Encode, Type};

use crate::StoreError;
use crate::database::Connection;

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

/// Statements that change something and whose outcome nobody asks for, run one after the other. SQLite is given all of them at once:
/// each turn is a change of threads there and back, which costs more than most statements.
pub(crate) struct Batch {
    sql: Sql,
    waiting: Vec<Sql>,
}

impl Batch {
    /// For the database that `connection` leads to.
    pub(crate) fn on(connection: &Connection) -> Self {
        Self { sql: Sql::on(connection, ""), waiting: Vec::new() }
    }

    /// The next statement, which begins so.
    pub(crate) fn next(&mut self, text: impl Display) -> &mut Sql {
        if !self.sql.text.is_empty() {
            if self.sql.numbered {
                let next = Sql::new(true, "");
                self.waiting.push(std::mem::replace(&mut self.sql, next));
            } else {
                self.sql.push("; ");
            }
        }
        self.sql.push(text)
    }

    /// Runs them.
    pub(crate) async fn run(self, connection: &mut Connection) -> Result<(), StoreError> {
        for mut sql in self.waiting.into_iter().chain([self.sql]).filter(|sql| !sql.text.is_empty()) {
            sql.build().execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// A list inside a statement.
pub(crate) struct Separated<'a> {
    sql: &'a mut Sql,
    separator: &'static str,
    first: bool,
}

impl Separated<'_> {
    /// Adds text.
    pub(crate) fn push(&mut self, text: impl Display) -> &mut Self {
        if !std::mem::take(&mut self.first) {
            self.sql.push(self.separator);
        }
        self.sql.push(text);
        self
    }

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
    use sqlx::Row as _;

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

    #[tokio::test]
    async fn a_batch_does_all_of_it_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::Store::open(folder.path()).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let mut batch = Batch::on(&tx);
        batch.next("CREATE TEMPORARY TABLE t (a INTEGER, b TEXT)");
        batch.next("INSERT INTO t (a, b) VALUES (").push_bind(1_i64).push(", ").push_bind("one").push(")");
        batch.next("INSERT INTO t (a, b) SELECT a + ").push_bind(1_i64).push(", ").push_bind("two").push(" FROM t");
        batch.next("UPDATE t SET a = a * ").push_bind(10_i64).push(" WHERE b = ").push_bind("two");
        batch.run(&mut tx).await.unwrap();
        let rows = sqlx::query("SELECT a, b FROM t ORDER BY a").fetch_all(&mut *tx).await.unwrap();
        let rows: Vec<(i64, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(rows, [(1, "one".to_owned()), (20, "two".to_owned())]);
        Batch::on(&tx).run(&mut tx).await.unwrap();
    }

    #[test]
    fn a_batch_of_numbered_statements_is_kept_apart() {
        let mut batch = Batch { sql: Sql::new(true, ""), waiting: Vec::new() };
        batch.next("DELETE FROM t WHERE a = ").push_bind(1_i64);
        batch.next("DELETE FROM t WHERE b = ").push_bind("x");
        assert_eq!(batch.waiting.len(), 1);
        assert_eq!(batch.waiting[0].text, "DELETE FROM t WHERE a = $1");
        assert_eq!(batch.sql.text, "DELETE FROM t WHERE b = $1");
    }

    #[test]
    fn what_a_pattern_would_read_is_escaped() {
        assert_eq!(like(r"50%_\x"), r"50\%\_\\x");
    }
}
