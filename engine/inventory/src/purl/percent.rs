//! Percent-encoding as package URLs use it.

use std::fmt::{self, Write as _};

/// Writes `text`; only letters, digits and `.-_~:` stay as they are.
pub(super) fn encode(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.bytes().try_for_each(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => f.write_char(char::from(byte)),
        byte => write!(f, "%{byte:02X}"),
    })
}

/// Writes segments, the slashes between them as they are.
pub(super) fn encode_segments(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.split('/').enumerate().try_for_each(|(index, segment)| {
        f.write_str(if index == 0 { "" } else { "/" })?;
        encode(f, segment)
    })
}

/// The text that was encoded.
pub(super) fn decode(text: &str) -> Result<String, &'static str> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let decoded = match byte {
            b'%' => digit().zip(digit()).and_then(|(high, low)| u8::try_from(high * 16 + low).ok()),
            byte => Some(byte),
        };
        bytes.push(decoded.ok_or("a percent sign is not followed by two hex digits")?);
    }
    String::from_utf8(bytes).map_err(|_| "a part is not UTF-8")
}

/// Segments between slashes, those that are empty left out, decoded and joined again.
pub(super) fn decode_segments(text: &str, keep: impl Fn(&str) -> bool) -> Result<String, &'static str> {
    let segments: Result<Vec<String>, _> = text.split('/').filter(|segment| !segment.is_empty()).map(decode).collect();
    Ok(segments?.into_iter().filter(|segment| keep(segment)).collect::<Vec<_>>().join("/"))
}
