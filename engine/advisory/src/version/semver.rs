//! Semantic versions as npm, Go and Cargo use them (Semantic Versioning 2.0.0, section 11).

use std::cmp::Ordering;

use super::compare_numbers;

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let ((core_a, pre_a), (core_b, pre_b)) = (parts(a), parts(b));
    compare_core(core_a, core_b).then_with(|| match (pre_a, pre_b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => compare_prerelease(a, b),
    })
}

fn parts(version: &str) -> (&str, Option<&str>) {
    let version = version.trim();
    let version = version.strip_prefix(['v', 'V', '=']).unwrap_or(version);
    let version = version.split('+').next().unwrap_or(version);
    version.split_once('-').map_or((version, None), |(core, pre)| (core, Some(pre)))
}

fn compare_core(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (x, y) => {
                let order = compare_identifier(x.unwrap_or("0"), y.unwrap_or("0"));
                if order.is_ne() {
                    return order;
                }
            }
        }
    }
}

fn compare_prerelease(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => {
                let order = compare_identifier(x, y);
                if order.is_ne() {
                    return order;
                }
            }
        }
    }
}

fn compare_identifier(a: &str, b: &str) -> Ordering {
    let numeric = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    match (numeric(a), numeric(b)) {
        (true, true) => compare_numbers(a.as_bytes(), b.as_bytes()),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.cmp(b),
    }
}
