//! PAX extended header records: `length key=value\n` (POSIX.1-2017 pax, "pax Header Block").

/// The records that change how the next entry is read.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct PaxRecords {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) sparse: bool,
}

impl PaxRecords {
    /// Reads the body of an `x` or `g` header.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, &'static str> {
        let mut records = Self::default();
        while !bytes.is_empty() && bytes.iter().any(|byte| *byte != 0) {
            let space = memchr::memchr(b' ', bytes).ok_or("a pax record has no length")?;
            let length: usize = std::str::from_utf8(&bytes[..space])
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or("the length of a pax record is no number")?;
            let record = bytes.get(space + 1..length).ok_or("a pax record is longer than its header")?;
            let record = record.strip_suffix(b"\n").ok_or("a pax record does not end in a line feed")?;
            let equals = memchr::memchr(b'=', record).ok_or("a pax record has no value")?;
            records.set(&record[..equals], &record[equals + 1..])?;
            bytes = &bytes[length..];
        }
        Ok(records)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            b"path" if !self.sparse || self.path.is_none() => self.path = some_unless_empty(value),
            b"linkpath" => self.link = some_unless_empty(value),
            b"size" => {
                let digits = std::str::from_utf8(value).map_err(|_| "a pax size is no number")?;
                self.size = Some(digits.parse().map_err(|_| "a pax size is no number")?);
            }
            b"GNU.sparse.name" => {
                self.path = some_unless_empty(value);
                self.sparse = true;
            }
            key if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {}
        }
        Ok(())
    }
}

fn some_unless_empty(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty()).then(|| value.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_path_link_and_size() {
        let wrong = PaxRecords::parse(b"12 path=a/b\n30 mtime=1.0\n").unwrap_err();
        assert_eq!(wrong, "a pax record is longer than its header");
        let records = PaxRecords::parse(b"12 path=a/b\n14 linkpath=c\n10 size=7\n").unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(records.link.as_deref(), Some(&b"c"[..]));
        assert_eq!(records.size, Some(7));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = PaxRecords::parse(&bytes);
        }
    }
}
