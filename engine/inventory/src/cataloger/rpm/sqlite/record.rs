//! Rows: a header of types, then the values.

use std::ops::Range;

/// A value of a row, as far as rows here have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Text, in the encoding of the database; rpm's is UTF-8.
    Text(&'a [u8]),
    /// A signed number.
    Integer(i64),
    /// Anything else.
    Other,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing, or a floating-point number.
    Other,
    /// A constant that takes no bytes.
    Constant(i64),
    /// A big-endian number.
    Integer,
    /// Bytes.
    Blob,
    /// Text.
    Text,
}

/// A big-endian number of 7 bits a byte, at most nine bytes, and what follows it.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        if index == 8 {
            return Some((value << 8 | u64::from(*byte), &bytes[9..]));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// Kind and size of the values of a serial type.
fn meaning(serial: u64) -> Option<(Kind, usize)> {
    Some(match serial {
        1..=4 => (Kind::Integer, usize::try_from(serial).ok()?),
        5 => (Kind::Integer, 6),
        6 => (Kind::Integer, 8),
        7 => (Kind::Other, 8),
        8 => (Kind::Constant(0), 0),
        9 => (Kind::Constant(1), 0),
        0 => (Kind::Other, 0),
        10 | 11 => return None,
        _ if serial.is_multiple_of(2) => (Kind::Blob, usize::try_from((serial - 12) / 2).ok()?),
        _ => (Kind::Text, usize::try_from((serial - 13) / 2).ok()?),
    })
}

/// Where the value of a column lies within the row; `None` when the row ends before it.
pub(super) fn column_range(row: &[u8], column: usize) -> Option<(Range<usize>, Kind)> {
    let (header, after) = varint(row)?;
    let header = usize::try_from(header).ok()?;
    let mut types = row.get(row.len() - after.len()..header)?;
    let mut start = header;
    for index in 0.. {
        let (serial, rest) = varint(types)?;
        let (kind, size) = meaning(serial)?;
        let end = start.checked_add(size)?;
        if index == column {
            return (end <= row.len()).then_some((start..end, kind));
        }
        (types, start) = (rest, end);
    }
    None
}

/// The value of a column.
pub(super) fn column(row: &[u8], column: usize) -> Option<Value<'_>> {
    let (range, kind) = column_range(row, column)?;
    let bytes = &row[range];
    Some(match kind {
        Kind::Text => Value::Text(bytes),
        Kind::Constant(value) => Value::Integer(value),
        Kind::Integer => {
            let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
            Value::Integer(
                bytes.iter().fold(if negative { -1 } else { 0 }, |value, byte| value << 8 | i64::from(*byte)),
            )
        }
        Kind::Blob | Kind::Other => Value::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width() {
        assert_eq!(varint(&[0x7f, 1]), Some((0x7f, &[1][..])));
        assert_eq!(varint(&[0x81, 0x00]), Some((128, &[][..])));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, &[][..])));
        assert_eq!(varint(&[0xff; 8]), None);
    }

    #[test]
    fn columns_by_type() {
        let row = [6, 0, 1, 2, 9, 17, 0xff, 1, 2, b'a', b'b'];
        assert_eq!(column(&row, 0), Some(Value::Other));
        assert_eq!(column(&row, 1), Some(Value::Integer(-1)));
        assert_eq!(column(&row, 2), Some(Value::Integer(258)));
        assert_eq!(column(&row, 3), Some(Value::Integer(1)));
        assert_eq!(column(&row, 4), Some(Value::Text(b"ab")));
        assert_eq!(column(&row, 5), None);
        assert_eq!(column(&row[..10], 4), None, "it is cut off");
    }
}
