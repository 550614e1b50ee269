//! `rpmdb.sqlite`: as much of the SQLite file format (sqlite.org, "Database File Format") as the table `Packages`
//! needs.

mod log;
mod page;
mod record;

use std::borrow::Cow;

pub(super) use self::log::Log;
use self::page::{Child, File, LeafCell};
use self::record::Value;
use super::database::{Blob, Claims, DatabaseError, Place, Take, Visited};

pub(super) const FORMAT: &str = "sqlite";

/// Hands every header in the table `Packages` to `take`.
///
/// # Errors
/// [`DatabaseError`] when the file is no SQLite database, has no such table, or its tree is damaged.
pub(super) fn read<'a>(bytes: &'a [u8], take: &mut Take<'_, 'a>) -> Result<(), DatabaseError> {
    read_with_log(bytes, Log::default(), take)
}

/// The same of a file whose latest changes stand in the log beside it.
///
/// # Errors
/// As [`read`], and when the log is one of another database.
pub(super) fn read_with_log<'a>(bytes: &'a [u8], log: Log<'a>, take: &mut Take<'_, 'a>) -> Result<(), DatabaseError> {
    let file = File::open(bytes, log)?;
    let (visited, claims) = (Visited::new(file.page_count() + 1), Claims::new(file.size()));
    let mut walk = Walk { file, visited, claims };
    let mut root = Err(error(1, "there is no table Packages"));
    walk.table(1, &mut |_, payload| match payload {
        Ok(payload) => root = root_of_packages(&payload).ok_or(()).or(root.clone()),
        Err(error) => root = root.clone().or(Err(error)),
    })?;
    walk.table(root?, &mut |page, payload| take(payload.and_then(|payload| header_in(page, payload))))
}

fn error(page: u32, reason: &'static str) -> DatabaseError {
    DatabaseError { format: FORMAT, place: Place::Page(page), reason }
}

/// A row of the schema is `type, name, tbl_name, rootpage, sql`.
fn root_of_packages(payload: &[u8]) -> Option<u32> {
    let column = |index| record::column(payload, index);
    match (column(0)?, column(1)?, column(3)?) {
        (Value::Text(b"table"), Value::Text(name), Value::Integer(root)) if name == b"Packages" => {
            u32::try_from(root).ok()
        }
        _ => None,
    }
}

/// A row of the table is `hnum, blob`.
fn header_in(page: u32, payload: Cow<'_, [u8]>) -> Result<Blob<'_>, DatabaseError> {
    let Some((range, record::Kind::Blob)) = record::column_range(&payload, 1) else {
        return Err(error(page, "a row of Packages has no blob"));
    };
    let bytes = match payload {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[range]),
        Cow::Owned(mut bytes) => {
            bytes.truncate(range.end);
            bytes.drain(..range.start);
            Cow::Owned(bytes)
        }
    };
    Ok(Blob { place: Place::Page(page), bytes })
}

type Row<'t, 'a> = dyn FnMut(u32, Result<Cow<'a, [u8]>, DatabaseError>) + 't;

/// A walk over trees that meets no page twice and copies no more than the file has.
struct Walk<'a> {
    file: File<'a>,
    visited: Visited,
    claims: Claims,
}

impl<'a> Walk<'a> {
    /// Visits the rows of the table whose tree begins at `root`, from the first on. A damaged page below the root
    /// loses its own rows.
    fn table(&mut self, root: u32, row: &mut Row<'_, 'a>) -> Result<(), DatabaseError> {
        self.enter(root, root)?;
        self.file.tree_page(root)?;
        let mut stack = vec![root];
        while let Some(number) = stack.pop() {
            let page = match self.file.tree_page(number) {
                Ok(page) => page,
                Err(error) => {
                    row(number, Err(error));
                    continue;
                }
            };
            if page.is_leaf {
                for cell in page.leaf_cells() {
                    self.claims.entry().ok_or(error(number, "there are more rows than the file can have"))?;
                    let payload = cell.and_then(|cell| self.payload(number, &cell));
                    row(number, payload);
                }
                continue;
            }
            let first = stack.len();
            for child in page.children() {
                match child.and_then(|Child(child)| self.enter(child, number).map(|()| child)) {
                    Ok(child) => stack.push(child),
                    Err(error) => row(number, Err(error)),
                }
            }
            stack[first..].reverse();
        }
        Ok(())
    }

    fn enter(&mut self, page: u32, from: u32) -> Result<(), DatabaseError> {
        if self.visited.is_first(page) {
            return Ok(());
        }
        Err(error(from, "it leads to a page that does not exist or has been visited"))
    }

    fn payload(&mut self, page: u32, cell: &LeafCell<'a>) -> Result<Cow<'a, [u8]>, DatabaseError> {
        let too_much = error(page, "its rows have more bytes than the file");
        self.claims.bytes(cell.length).ok_or(too_much)?;
        let Some(first) = cell.overflow else { return Ok(Cow::Borrowed(cell.local)) };
        let mut missing = cell.length - cell.local.len();
        let mut payload = Vec::with_capacity(cell.length);
        payload.extend_from_slice(cell.local);
        let (mut from, mut next) = (page, first);
        while missing > 0 {
            self.enter(next, from)?;
            let (after, content) = self.file.overflow_page(next)?;
            let content = &content[..content.len().min(missing)];
            payload.extend_from_slice(content);
            missing -= content.len();
            (from, next) = (next, after);
        }
        Ok(Cow::Owned(payload))
    }
}

#[cfg(test)]
mod tests;
