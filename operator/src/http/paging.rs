//! Pages of a list: size, place and the token of the next one (HTTP conventions, "Paging").

use serde::Deserialize;

use super::error::ApiError;
use crate::app::App;
use crate::page_token;

const USUAL: i64 = 50;
const MOST: i64 = 200;

/// Which page.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PageQuery {
    #[serde(default)]
    page_size: Option<i64>,
    #[serde(default)]
    page_token: Option<String>,
}

impl PageQuery {
    /// The page of the list that is called `list`, its tenant and conditions included: a token of another list is refused.
    ///
    /// # Errors
    /// 400 when the size is out of bounds, or the token is of another list.
    pub(super) fn page<'a>(&self, app: &'a App, list: String) -> Result<Page<'a>, ApiError> {
        Page::of(app, list, self.page_size, self.page_token.as_deref())
    }
}

/// A page that is asked for.
pub(super) struct Page<'a> {
    app: &'a App,
    list: String,
    /// Rows on it.
    size: usize,
    /// Rows to look for: one more tells whether another page follows.
    pub(super) limit: i64,
    /// Rank and id of the row before it; none on the first page.
    pub(super) after: Option<(i64, String)>,
}

impl<'a> Page<'a> {
    /// The same, where a query has more than its page.
    ///
    /// # Errors
    /// As [`PageQuery::page`].
    pub(super) fn of(app: &'a App, list: String, size: Option<i64>, token: Option<&str>) -> Result<Self, ApiError> {
        let limit = size.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            return Err(ApiError::field("$.pageSize", format!("1 to {MOST} is taken")));
        }
        let foreign = || ApiError::field("$.pageToken", "it belongs to another question, or was changed");
        let after = token.map(|token| page_token::open(&app.key, &list, token).ok_or_else(foreign)).transpose()?;
        let size = usize::try_from(limit).map_err(ApiError::internal)?;
        Ok(Self { app, list, size, limit: limit + 1, after })
    }

    /// Cuts `rows` to the page, and gives the token of the next one, which begins after the `place` of the last row.
    pub(super) fn cut<T>(&self, rows: &mut Vec<T>, place: impl Fn(&T) -> (i64, String)) -> Option<String> {
        let more = rows.len() > self.size;
        rows.truncate(self.size);
        let (rank, id) = place(rows.last().filter(|_| more)?);
        Some(page_token::seal(&self.app.key, &self.list, rank, &id))
    }
}
