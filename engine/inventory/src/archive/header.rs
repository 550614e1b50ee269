//! The 512-byte tar header block (POSIX.1-2017 pax "ustar Interchange Format", and GNU's variant).

/// Size of a block; headers and padded bodies are made of these.
pub(super) const BLOCK: usize = 512;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A regular file with holes, whose body is not its content.
    Sparse,
    /// Another name for an earlier file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A device, a FIFO or something else without content.
    Other,
}

/// Header blocks that describe the next one instead of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Entry(EntryKind),
    PaxRecords,
    PaxGlobal,
    LongName,
    LongLink,
}

/// One header block, its checksum verified.
pub(super) struct Header<'a>(&'a [u8; BLOCK]);

impl<'a> Header<'a> {
    pub(super) fn parse(block: &'a [u8; BLOCK]) -> Result<Self, &'static str> {
        let stored = octal(&block[148..156]).ok_or("the checksum is no number")?;
        let sum = |byte_value: fn(u8) -> i64| -> i64 {
            block
                .iter()
                .enumerate()
                .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { byte_value(*byte) })
                .sum()
        };
        let stored = i64::try_from(stored).unwrap_or(-1);
        if stored != sum(i64::from) && stored != sum(|byte| i64::from(byte.cast_signed())) {
            return Err("the checksum does not match");
        }
        Ok(Self(block))
    }

    pub(super) fn size(&self) -> Result<u64, &'static str> {
        number(&self.0[124..136]).ok_or("the size is no number")
    }

    pub(super) fn mode(&self) -> u32 {
        number(&self.0[100..108]).and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0)
    }

    pub(super) fn meaning(&self) -> Meaning {
        match self.0[156] {
            // Whether it is a folder of before POSIX, its whole name tells: this one may be cut off after a slash.
            b'0' | 0 | b'7' => Meaning::Entry(EntryKind::File),
            b'1' => Meaning::Entry(EntryKind::HardLink),
            b'2' => Meaning::Entry(EntryKind::Symlink),
            b'5' => Meaning::Entry(EntryKind::Directory),
            b'S' => Meaning::Entry(EntryKind::Sparse),
            b'x' => Meaning::PaxRecords,
            b'g' => Meaning::PaxGlobal,
            b'L' => Meaning::LongName,
            b'K' => Meaning::LongLink,
            _ => Meaning::Entry(EntryKind::Other),
        }
    }

    /// Whether a body follows that is `size` bytes long.
    pub(super) fn has_body(&self) -> bool {
        !matches!(self.0[156], b'1'..=b'6')
    }

    /// Whether GNU sparse extension blocks follow.
    pub(super) fn sparse_extended(&self) -> bool {
        self.0[156] == b'S' && self.0[482] == 1
    }

    pub(super) fn name(&self) -> Vec<u8> {
        let name = self.name_field();
        let prefix = if self.is_ustar() { until_nul(&self.0[345..500]) } else { &[] };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        until_nul(&self.0[157..257]).to_vec()
    }

    fn name_field(&self) -> &[u8] {
        until_nul(&self.0[..100])
    }

    /// POSIX ustar, where the prefix field continues the name; GNU keeps other things there.
    fn is_ustar(&self) -> bool {
        &self.0[257..263] == b"ustar\0"
    }
}

pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    &field[..memchr::memchr(0, field).unwrap_or(field.len())]
}

/// A numeric field: octal digits, or GNU's base-256 when the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    match field[0] {
        first if first & 0x80 == 0 => octal(field),
        0x80 => {
            let (high, low) = field[1..].split_at(field.len().saturating_sub(9));
            (high.iter().all(|byte| *byte == 0))
                .then(|| low.iter().fold(0u64, |value, byte| (value << 8) | u64::from(*byte)))
        }
        _ => None,
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(digits.len());
    digits[..end].iter().try_fold(0u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"00006x4\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1]), Some(0x2_0000_0001));
        assert_eq!(number(&[0x80, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 1]), None, "larger than 64 bits");
        assert_eq!(number(&[0xff; 12]), None, "negative");
    }

    #[test]
    fn a_block_with_a_wrong_checksum_is_refused() {
        let mut block = [0u8; BLOCK];
        block[148..156].copy_from_slice(b"0000123\0");
        assert!(Header::parse(&block).is_err());
    }
}
