//! The schema: one text of each migration, which PostgreSQL gets with its own names of the types.

use sqlx::migrate::{Migration, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The migrations as written, for SQLite.
pub(crate) fn sqlite() -> &'static Migrator {
    &MIGRATIONS
}

/// The migrations for PostgreSQL. Their checksums stay those of the text as written.
pub(crate) fn postgres() -> Migrator {
    let translated = |migration: &Migration| Migration {
        sql: AssertSqlSafe(for_postgres(migration.sql.as_str())).into_sql_str(),
        ..migration.clone()
    };
    Migrator::with_migrations(MIGRATIONS.iter().map(translated).collect())
}

/// Integers are of 64 bits in both then, and text compares byte by byte, as SQLite does it: pages and ranges rest on that.
fn for_postgres(text: &str) -> String {
    text.replace(" INTEGER", " BIGINT")
        .replace(" BLOB", " BYTEA")
        .replace(" TEXT", " TEXT COLLATE \"C\"")
        .replace(" WITHOUT ROWID", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_get_the_names_they_have_in_postgresql() {
        let text = "CREATE TABLE t (a TEXT NOT NULL, b INTEGER, c BLOB, PRIMARY KEY (a)) WITHOUT ROWID;";
        assert_eq!(
            for_postgres(text),
            "CREATE TABLE t (a TEXT COLLATE \"C\" NOT NULL, b BIGINT, c BYTEA, PRIMARY KEY (a));"
        );
    }

    #[test]
    fn a_migration_is_known_by_its_text_as_written() {
        let sums = |migrator: &Migrator| migrator.iter().map(|m| (m.version, m.checksum.clone())).collect::<Vec<_>>();
        assert_eq!(sums(sqlite()), sums(&postgres()));
    }
}
