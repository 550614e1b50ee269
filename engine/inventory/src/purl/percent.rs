//! Percent-encoding as package URLs use it.

use std::borrow::Cow;
use std::fmt;

/// Writes `text`; only letters, digits and `.-_~:` stay as they are.
pub(super) fn encode(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    // What stays is written in one piece. It is ASCII, so a piece begins and ends between characters.
    let mut begin = 0;
    for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| !is_plain(*byte)) {
        if begin < at {
            f.write_str(&text[begin..at])?;
        }
        write!(f, "%{byte:02X}")?;
        begin = at + 1;
    }
    if begin < text.len() { f.write_str(&text[begin..]) } else { Ok(()) }
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':')
}

/// Writes segments, the slashes between them as they are.
pub(super) fn encode_segments(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.split('/').enumerate().try_for_each(|(index, segment)| {
        f.write_str(if index == 0 { "" } else { "/" })?;
        encode(f, segment)
    })
}

/// The text that was encoded.
pub(super) fn decode(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
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
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| "a part is not UTF-8")
}

/// Segments between slashes, those that are empty left out, decoded and joined again.
pub(super) fn decode_segments(text: &str, keep: impl Fn(&str) -> bool) -> Result<String, &'static str> {
    let mut joined = String::with_capacity(text.len());
    for segment in text.split('/').filter(|segment| !segment.is_empty()) {
        let segment = decode(segment)?;
        if keep(&segment) {
            if !joined.is_empty() {
                joined.push('/');
            }
            joined.push_str(&segment);
        }
    }
    Ok(joined)
}
