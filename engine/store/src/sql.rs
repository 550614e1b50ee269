//! Statements put together piece by piece, with their values: to be run through the driver, or on this thread through `rusqlite`.
//! `sqlx` has a builder, too, but over `Any` it numbers no parameters.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use rusqlite::params_from_iter;
use rusqlite::types::{ToSql, ToSqlOutput};
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, Arguments as _, AssertSqlSafe};

use crate::StoreError;
use crate::codec::Columns;
use crate::database::Connection;

/// What a row is read as.
pub(crate) type Read<T> = fn(&dyn Columns) -> Result<T, StoreError>;

/// A value of a statement. PostgreSQL wants to know of what is absent, too, which type it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Integer(Option<i64>),
    Text(Option<Cow<'a, str>>),
    Blob(Option<Cow<'a, [u8]>>),
}

impl Value<'_> {
    /// The same, kept for as long as one likes.
    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Integer(number) => Value::Integer(number),
            Self::Text(text) => Value::Text(text.map(|text| Cow::Owned(text.into_owned()))),
            Self::Blob(bytes) => Value::Blob(bytes.map(|bytes| Cow::Owned(bytes.into_owned()))),
        }
    }

    fn add_to(self, arguments: &mut AnyArguments) {
        // Encoding for `Any` only moves the value into a list.
        let _ = match self {
            Self::Integer(number) => arguments.add(number),
            Self::Text(text) => arguments.add(text.map(Cow::into_owned)),
            Self::Blob(bytes) => arguments.add(bytes.map(Cow::into_owned)),
        };
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Integer(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
            Self::Blob(bytes) => bytes.to_sql(),
        }
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(Cow::Borrowed(text)))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Text(text.map(Cow::Borrowed))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::from(text.as_str())
    }
}

impl<'a> From<&'a Option<String>> for Value<'a> {
    fn from(text: &'a Option<String>) -> Self {
        Self::from(text.as_deref())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(Cow::Owned(text)))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(text: Option<String>) -> Self {
        Self::Text(text.map(Cow::Owned))
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(Some(Cow::Owned(bytes)))
    }
}

/// A statement that grows, with its values.
#[derive(Default)]
pub(crate) struct Sql {
    numbered: bool,
    text: String,
    values: Vec<Value<'static>>,
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
    pub(crate) fn push_bind<'v>(&mut self, value: impl Into<Value<'v>>) -> &mut Self {
        self.values.push(value.into().into_owned());
        let number = self.values.len();
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

    /// The statement, ready to run through the driver. Nothing is left here.
    pub(crate) fn build(&mut self) -> Query<'static, Any, AnyArguments> {
        let Self { text, values, .. } = std::mem::take(self);
        let mut arguments = AnyArguments::default();
        values.into_iter().for_each(|value| value.add_to(&mut arguments));
        sqlx::query_with(AssertSqlSafe(text), arguments)
    }

    /// Runs the statement on this thread.
    pub(crate) fn execute_here(&self, connection: &rusqlite::Connection) -> Result<(), StoreError> {
        connection.prepare_cached(&self.text)?.execute(params_from_iter(&self.values))?;
        Ok(())
    }

    /// Reads on this thread what the statement finds.
    pub(crate) fn read_here<T>(&self, connection: &rusqlite::Connection, read: Read<T>) -> Result<Vec<T>, StoreError> {
        let mut statement = connection.prepare_cached(&self.text)?;
        let mut rows = statement.query(params_from_iter(&self.values))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(row)?);
        }
        Ok(all)
    }
}

/// Statements that change something and whose outcome nobody asks for, run one after the other. Through the driver SQLite is given all of
/// them at once: each turn is a change of threads there and back, which costs more than most statements.
pub(crate) struct Batch {
    sql: Sql,
    waiting: Vec<Sql>,
}

impl Batch {
    /// For the database that `connection` leads to.
    pub(crate) fn on(connection: &Connection) -> Self {
        Self::of(Sql::on(connection, ""))
    }

    /// That begins with `sql`.
    pub(crate) fn of(sql: Sql) -> Self {
        Self { sql, waiting: Vec::new() }
    }

    /// The next statement, which begins so.
    pub(crate) fn next(&mut self, text: impl Display) -> &mut Sql {
        if !self.sql.text.is_empty() {
            let next = Sql::new(self.sql.numbered, "");
            self.waiting.push(std::mem::replace(&mut self.sql, next));
        }
        self.sql.push(text)
    }

    /// The statements, in their order.
    fn statements(self) -> impl Iterator<Item = Sql> {
        self.waiting.into_iter().chain([self.sql]).filter(|sql| !sql.text.is_empty())
    }

    /// Runs them through the driver.
    pub(crate) async fn run(self, connection: &mut Connection) -> Result<(), StoreError> {
        let statements: Vec<Sql> = if self.sql.numbered { self.statements().collect() } else { self.joined() };
        for mut sql in statements {
            sql.build().execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// All of them as one.
    fn joined(self) -> Vec<Sql> {
        let mut statements = self.statements();
        let Some(mut all) = statements.next() else { return Vec::new() };
        for sql in statements {
            all.push("; ").push(&sql.text);
            all.values.extend(sql.values);
        }
        vec![all]
    }

    /// Runs them on this thread.
    pub(crate) fn run_here(self, connection: &rusqlite::Connection) -> Result<(), StoreError> {
        self.statements().try_for_each(|sql| sql.execute_here(connection))
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
    pub(crate) fn push_bind<'v>(&mut self, value: impl Into<Value<'v>>) -> &mut Self {
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
        let mut batch = Batch::of(Sql::new(true, ""));
        batch.next("DELETE FROM t WHERE a = ").push_bind(1_i64);
        batch.next("DELETE FROM t WHERE b = ").push_bind("x");
        let texts: Vec<String> = batch.statements().map(|sql| sql.text).collect();
        assert_eq!(texts, ["DELETE FROM t WHERE a = $1", "DELETE FROM t WHERE b = $1"]);
    }

    #[test]
    fn a_value_and_its_absence_are_what_they_were_on_this_thread_too() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let mut batch = Batch::of(Sql::new(false, "CREATE TABLE t (a INTEGER, b TEXT, c BLOB)"));
        let sql = batch.next("INSERT INTO t (a, b, c) ");
        sql.push_values([Some("x"), None], |mut row, text| {
            row.push_bind(text.map(|_| 7_i64)).push_bind(text).push_bind(vec![0_u8, 255]);
        });
        batch.next("UPDATE t SET a = a + ").push_bind(1_i64).push(" WHERE b = ").push_bind("x".to_owned());
        batch.run_here(&connection).unwrap();
        let read = |sql: Sql| {
            sql.read_here(&connection, |row| Ok((row.number(0)?, row.optional(1)?.map(str::to_owned)))).unwrap()
        };
        let all = "SELECT coalesce(a, 0), b FROM t WHERE c = x'00FF' ORDER BY 1";
        assert_eq!(read(Sql::new(false, all)), [(0, None), (8, Some("x".to_owned()))]);
        let mut some = Sql::new(false, "SELECT a, b FROM t WHERE a = ");
        some.push_bind(8_i64);
        assert_eq!(read(some), [(8, Some("x".to_owned()))]);
    }

    #[test]
    fn what_a_pattern_would_read_is_escaped() {
        assert_eq!(like(r"50%_\x"), r"50\%\_\\x");
    }
}
