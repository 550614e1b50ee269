//! The trace contexts that the product's own requests carry (W3C Trace Context, level 1).

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use stella_domain::Hasher;

/// The header.
pub const TRACEPARENT: &str = "traceparent";

static REQUESTS: AtomicU64 = AtomicU64::new(0);
/// What no other process has.
static PROCESS: LazyLock<[u64; 2]> = LazyLock::new(|| [0, 1].map(|part: u8| RandomState::new().hash_one(part)));

/// The `traceparent` of a new request: under a span of its own it goes on with the trace of `given`, where that is one, or begins
/// another. The server answers with the same trace, and has it in its log.
#[must_use]
pub fn traceparent(given: Option<&str>) -> String {
    let mut hasher = Hasher::new();
    PROCESS.iter().for_each(|part| hasher.field(part.to_be_bytes()));
    hasher.field(REQUESTS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let fresh = hasher.finish().hex();
    let (trace, flags) = given.and_then(parts).unwrap_or((&fresh[..32], "01"));
    format!("00-{trace}-{}-{flags}", &fresh[32..48])
}

/// Trace id and flags.
fn parts(given: &str) -> Option<(&str, &str)> {
    let mut fields = given.split('-');
    let [version, trace, span, flags] = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let good = fields.next().is_none() && version == "00" && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
    good.then_some((trace, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_trace_goes_on_and_nothing_else_does() {
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let on = traceparent(Some(given));
        assert!(on.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && on.ends_with("-00"), "{on}");
        assert!(!on.contains("b7ad6b7169203331"), "under a span of its own");
        for none in [None, Some(""), Some("00-xyz"), Some("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")] {
            let (fresh, next) = (traceparent(none), traceparent(none));
            assert!(parts(&fresh).is_some() && fresh.ends_with("-01"), "{fresh}");
            assert_ne!(fresh[..35], next[..35], "each begins a trace");
        }
    }
}
