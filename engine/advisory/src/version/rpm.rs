//! RPM versions: `[epoch:]version[-release]`, parts compared by `rpmvercmp` (RPM manual, "Dependencies", versioning).

use std::cmp::Ordering;

use super::{compare_numbers, split_run};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, version_a, release_a), (epoch_b, version_b, release_b)) = (parts(a), parts(b));
    compare_part(epoch_a.as_bytes(), epoch_b.as_bytes())
        .then_with(|| compare_part(version_a.as_bytes(), version_b.as_bytes()))
        .then_with(|| match (release_a, release_b) {
            (Some(a), Some(b)) => compare_part(a.as_bytes(), b.as_bytes()),
            (a, b) => a.is_some().cmp(&b.is_some()),
        })
}

fn parts(version: &str) -> (&str, &str, Option<&str>) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    rest.rsplit_once('-').map_or((epoch, rest, None), |(version, release)| (epoch, version, Some(release)))
}

fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        a = skip_separators(a);
        b = skip_separators(b);
        for (sign, with_sign) in [(b'~', Ordering::Less), (b'^', Ordering::Greater)] {
            match (a.first() == Some(&sign), b.first() == Some(&sign)) {
                (true, true) => {
                    return compare_part(&a[1..], &b[1..]);
                }
                (true, false) => return if sign == b'^' && !b.is_empty() { Ordering::Less } else { with_sign },
                (false, true) => {
                    return if sign == b'^' && !a.is_empty() { Ordering::Greater } else { with_sign.reverse() };
                }
                (false, false) => {}
            }
        }
        let (Some(first), Some(_)) = (a.first(), b.first()) else {
            return a.len().min(1).cmp(&b.len().min(1));
        };
        let numeric = first.is_ascii_digit();
        let inside = |c: u8| if numeric { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
        let ((run_a, rest_a), (run_b, rest_b)) = (split_run(a, inside), split_run(b, inside));
        if run_b.is_empty() {
            return if numeric { Ordering::Greater } else { Ordering::Less };
        }
        let order = if numeric { compare_numbers(run_a, run_b) } else { run_a.cmp(run_b) };
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

fn skip_separators(bytes: &[u8]) -> &[u8] {
    split_run(bytes, |c| !c.is_ascii_alphanumeric() && c != b'~' && c != b'^').1
}
