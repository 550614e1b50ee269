//! `traceparent` (W3C Trace Context, level 1).

/// What `given` says, when it holds: trace id, id of the caller's span, flags.
#[must_use]
pub fn parts(given: &str) -> Option<[&str; 3]> {
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
    };
    let mut fields = given.split('-');
    let [version, trace, span, flags] = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    let good = fields.next().is_none()
        && version == "00"
        && [(trace, 32), (span, 16), (flags, 2)].into_iter().all(|(text, length)| hex(text, length))
        && [trace, span].into_iter().all(|id| id.bytes().any(|b| b != b'0'));
    good.then_some([trace, span, flags])
}

/// Whether `given` holds, and says that its trace is recorded.
#[must_use]
pub fn is_recorded(given: &str) -> bool {
    let flags = parts(given).and_then(|[_, _, flags]| u8::from_str_radix(flags, 16).ok());
    flags.is_some_and(|flags| flags & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_standard_allows_is_read() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(parts(good), Some(["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "01"]));
        for wrong in [
            "",
            "00-xyz",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
        ] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }
}
