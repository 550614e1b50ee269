//! What changed between two generations of an index.

use super::read::Slot;
use super::{Index, IndexError};
use crate::artifacts;
use crate::feed::FeedInfo;
use crate::naming::UNNAMED_ARCHIVES;

/// The package keys about which the two say something different, sorted: what has to be looked up again. A key is what
/// [`package_key`](crate::naming::package_key) makes of an ecosystem and a name, or [`UNNAMED_ARCHIVES`] where another table of
/// artifacts lay beside the feeds.
///
/// A change of an exploit probability counts from a percentage point on; every day moves nearly all of them a little.
///
/// # Errors
/// When one of the files is damaged.
pub fn changed_keys(old: &Index, new: &Index) -> Result<Vec<Vec<u8>>, IndexError> {
    let mut changed = Vec::new();
    let (mut at_old, mut at_new) = (0, 0);
    loop {
        let (a, b) = (slot(old, at_old)?, slot(new, at_new)?);
        let order = match (&a, &b) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) if a.hash == b.hash => key(old, a)?.cmp(key(new, b)?),
            (Some(a), Some(b)) => a.hash.cmp(&b.hash),
        };
        let differs = match (a, b) {
            (Some(a), Some(b)) if order.is_eq() => (a.known != b.known).then(|| key(new, &b)).transpose()?,
            (Some(a), _) if order.is_lt() => Some(key(old, &a)?),
            (_, Some(b)) => Some(key(new, &b)?),
            _ => None,
        };
        changed.extend(differs.map(<[u8]>::to_vec));
        at_old += usize::from(order.is_le());
        at_new += usize::from(order.is_ge());
    }
    if table(old) != table(new) {
        changed.push(UNNAMED_ARCHIVES.to_vec());
    }
    changed.sort();
    Ok(changed)
}

/// The table of artifacts beside the feeds that an index was made from.
fn table(index: &Index) -> Option<&FeedInfo> {
    index.info().feeds.iter().find(|feed| feed.name == artifacts::NAME)
}

fn slot(index: &Index, number: usize) -> Result<Option<Slot>, IndexError> {
    if number >= index.info().packages as usize {
        return Ok(None);
    }
    index.slot(number).map(Some).ok_or_else(|| index.damaged("slots"))
}

fn key<'a>(index: &'a Index, slot: &Slot) -> Result<&'a [u8], IndexError> {
    index.key_and_list(slot.place).map(|(key, _)| key).ok_or_else(|| index.damaged("lists"))
}
