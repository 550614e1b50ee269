//! Python versions (PEP 440), with the legacy order for texts that PEP 440 does not take.

use std::cmp::Ordering;
use std::str::FromStr;

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    match (pep440_rs::Version::from_str(a.trim()), pep440_rs::Version::from_str(b.trim())) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        // As pip did while it still took such versions: they are older than every proper one.
        (Err(_), Ok(_)) => Ordering::Less,
        (Ok(_), Err(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}
