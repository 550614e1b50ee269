//! Building blocks of keys: byte strings whose order is the order of the versions they were made from.
//!
//! Each block ends where its reader would expect it to, so that what follows a shorter block never decides before the
//! blocks themselves did.
//!
//! Indexes hold keys: a change of any of them is a new format of the index file (`MAGIC` of its layout).

/// A run of ASCII digits by value, whatever its length.
pub(super) fn number(key: &mut Vec<u8>, digits: &[u8]) {
    let digits = &digits[digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len())..];
    match u8::try_from(digits.len()) {
        Ok(length) if length < u8::MAX => key.push(length),
        _ => {
            key.push(u8::MAX);
            key.extend_from_slice(&(digits.len() as u64).to_be_bytes());
        }
    }
    key.extend_from_slice(digits);
}

/// A text by its bytes; a shorter one precedes its continuations.
pub(super) fn text(key: &mut Vec<u8>, text: &[u8]) {
    // UTF-8 has no byte 255, so one can be added to each.
    key.extend(text.iter().map(|byte| byte.saturating_add(1)));
    key.push(0);
}

/// Splits `bytes` after its leading run of bytes for which `inside` holds.
pub(super) fn split_run(bytes: &[u8], inside: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|byte| !inside(*byte)).unwrap_or(bytes.len()))
}

/// Whether `text` consists of ASCII digits, at least one.
pub(super) fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}
