//! Debian versions: `[epoch:]upstream[-revision]` (Debian policy manual, section 5.6.12).

use std::cmp::Ordering;

use super::{compare_numbers, split_run};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::of(a), Parts::of(b));
    compare_numbers(a.epoch, b.epoch)
        .then_with(|| compare_part(a.upstream, b.upstream))
        .then_with(|| compare_part(a.revision, b.revision))
}

struct Parts<'a> {
    epoch: &'a [u8],
    upstream: &'a [u8],
    revision: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(version: &'a str) -> Self {
        let version = version.trim();
        let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self { epoch: epoch.as_bytes(), upstream: upstream.as_bytes(), revision: revision.as_bytes() }
    }
}

/// Alternates between a run without digits and a run of digits. An absent revision equals `0`, as the manual asks.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let ((text_a, rest_a), (text_b, rest_b)) =
            (split_run(a, |c| !c.is_ascii_digit()), split_run(b, |c| !c.is_ascii_digit()));
        let ((digits_a, rest_a), (digits_b, rest_b)) =
            (split_run(rest_a, |c| c.is_ascii_digit()), split_run(rest_b, |c| c.is_ascii_digit()));
        let order = compare_text(text_a, text_b).then_with(|| compare_numbers(digits_a, digits_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

fn compare_text(a: &[u8], b: &[u8]) -> Ordering {
    let weight = |text: &[u8], at: usize| match text.get(at) {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
        Some(c) => i32::from(*c) + 256,
    };
    (0..a.len().max(b.len())).map(|at| weight(a, at).cmp(&weight(b, at))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}
