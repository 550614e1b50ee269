//! Which installation this is, and whether the place for its blobs is its own (decision 042).

use std::fmt;
use std::str::FromStr;

use sqlx::Row as _;

use crate::codec::damaged;
use crate::database::Row;
use crate::{Claim, Store, StoreError};

/// Hexadecimal digits of an installation's name.
const DIGITS: usize = 32;

/// The name of an installation: a number of 128 bits, drawn once and kept in the database. Written as 32 hexadecimal digits in lower
/// case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installation(u128);

/// A text that names no installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an installation is named by 32 hexadecimal digits in lower case")]
pub struct InstallationError;

impl Installation {
    /// The one of that number, which nobody else may have drawn.
    #[must_use]
    pub const fn new(number: u128) -> Self {
        Self(number)
    }
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0DIGITS$x}", self.0)
    }
}

impl FromStr for Installation {
    type Err = InstallationError;

    /// Takes only what is written, so that one installation has one name.
    fn from_str(text: &str) -> Result<Self, InstallationError> {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != DIGITS || !text.bytes().all(is_digit) {
            return Err(InstallationError);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| InstallationError)
    }
}

/// The name in a row of the table.
pub(crate) fn kept(row: Option<&Row>) -> Result<Option<Installation>, StoreError> {
    let name = row.map(|row| row.get::<&str, _>(0).parse::<Installation>()).transpose();
    name.map_err(|error| damaged("installation", error))
}

impl Store {
    /// The name of the installation; `None` before it has one.
    ///
    /// # Errors
    /// When the database does not answer, or what it keeps is no name.
    pub async fn installation(&self) -> Result<Option<Installation>, StoreError> {
        let row = sqlx::query("SELECT id FROM installation").fetch_optional(self.reader()).await?;
        kept(row.as_ref())
    }

    /// Gives the installation the name `new`, unless it has one, and tells the one it has. Replicas that start together agree.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn name_installation(&self, new: Installation) -> Result<Installation, StoreError> {
        if let Some(kept) = self.installation().await? {
            return Ok(kept);
        }
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO installation (one, id) VALUES (1, $1) ON CONFLICT (one) DO NOTHING")
            .bind(new.to_string())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        self.installation().await?.ok_or_else(|| damaged("installation", "it is not there"))
    }

    /// Sees that the place for blobs is this installation's own; see [`Blobs::claim`](crate::Blobs::claim). `None` where no place is
    /// set, or the installation has no name.
    ///
    /// # Errors
    /// When the place is another's, or does not answer.
    pub async fn claim_blobs(&self, from: Option<Installation>) -> Result<Option<Claim>, StoreError> {
        let Some(outside) = &self.outside else { return Ok(None) };
        let Some(installation) = self.installation().await? else { return Ok(None) };
        Ok(Some(outside.blobs.claim(installation, from).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_has_one_name() {
        for number in [0, 7, u128::MAX] {
            let name = Installation::new(number).to_string();
            assert_eq!((name.len(), name.parse::<Installation>()), (DIGITS, Ok(Installation::new(number))), "{name}");
        }
        for wrong in
            ["", "7", &"A".repeat(DIGITS), &"g".repeat(DIGITS), &"0".repeat(DIGITS + 1), &format!("+{:031}", 7)]
        {
            assert_eq!(wrong.parse::<Installation>(), Err(InstallationError), "{wrong}");
        }
    }
}
