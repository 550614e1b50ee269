//! A place of its own in a database that other tests use at the same time.

use sqlx::Connection as _;

/// URL of a new schema of that name in the database of `url`; two servers on one would be replicas.
pub async fn own(url: &str, name: &str) -> String {
    let create = async {
        sqlx::any::install_default_drivers();
        let mut connection = sqlx::AnyConnection::connect(url).await?;
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&mut connection).await?;
        connection.close().await
    };
    create.await.expect("a schema");
    format!("{url}&options[search_path]={name}")
}
