//! As much of ELF as it takes to find the data of an executable (System V ABI, "Program Header").

pub(super) const MAGIC: &[u8; 4] = b"\x7fELF";

/// An executable's segments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Elf {
    pub(super) big_endian: bool,
    /// Loadable segments in file order.
    pub(super) segments: Vec<Segment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) address: u64,
    pub(super) writable: bool,
}

const EXECUTABLE: u64 = 2;
const SHARED: u64 = 3;
const LOADABLE: u64 = 1;
const WRITABLE: u64 = 2;

impl Elf {
    /// Reads the headers, which have to be within `bytes`; `None` unless it is an executable or a shared object.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let wide = match bytes.get(4)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        let big_endian = *bytes.get(5)? == 2;
        let field = |offset: u64, size: u64| Some(unsigned(range(bytes, offset, size)?, big_endian));
        let word = if wide { 8 } else { 4 };
        if !matches!(field(16, 2)?, EXECUTABLE | SHARED) {
            return None;
        }
        let table = field(if wide { 32 } else { 28 }, word)?;
        let entry_size = field(if wide { 54 } else { 42 }, 2)?;
        let count = field(if wide { 56 } else { 44 }, 2)?;
        let mut segments = Vec::new();
        for index in 0..count {
            let at = table.checked_add(index.checked_mul(entry_size)?)?;
            let part = |wide_at: u64, narrow_at: u64, size| {
                field(at.checked_add(if wide { wide_at } else { narrow_at })?, size)
            };
            if part(0, 0, 4)? != LOADABLE {
                continue;
            }
            segments.push(Segment {
                offset: part(8, 4, word)?,
                address: part(16, 8, word)?,
                size: part(32, 16, word)?,
                writable: part(4, 24, 4)? & WRITABLE != 0,
            });
        }
        segments.sort_unstable_by_key(|segment| segment.offset);
        Some(Self { big_endian, segments })
    }

    /// Whether it is an executable or shared object with its program headers behind these first bytes of it. Linkers put them
    /// right behind the file's own header; elsewhere are those of files that something was put into later.
    pub(super) fn is_rebuilt(start: &[u8]) -> bool {
        let field = |offset, size, is_big| Some(unsigned(range(start, offset, size)?, is_big));
        let told = || {
            let (wide, is_big) = (*start.get(4)? == 2, *start.get(5)? == 2);
            let (offset, size) = if wide { (32, 8) } else { (28, 4) };
            Some((field(16, 2, is_big)?, field(offset, size, is_big)?))
        };
        let behind = |table| table >= start.len() as u64;
        start.starts_with(MAGIC)
            && told().is_some_and(|(kind, table)| matches!(kind, EXECUTABLE | SHARED) && behind(table))
    }

    /// Where in the file the byte of this address lies.
    pub(super) fn offset_of(&self, address: u64) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let within = address.checked_sub(segment.address)?;
            (within < segment.size).then(|| segment.offset.checked_add(within))?
        })
    }
}

pub(super) fn range(bytes: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    bytes.get(start..end)
}

pub(super) fn unsigned(bytes: &[u8], big_endian: bool) -> u64 {
    let join = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) }
}

/// The content of the section of this name, of an executable held whole.
pub(super) fn section<'a>(bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let wide = *bytes.get(4)? == 2;
    let big_endian = *bytes.get(5)? == 2;
    let field = |offset: u64, size: u64| Some(unsigned(range(bytes, offset, size)?, big_endian));
    let word = if wide { 8 } else { 4 };
    let (table, entry_size) = (field(if wide { 40 } else { 32 }, word)?, field(if wide { 58 } else { 46 }, 2)?);
    let (count, names) = (field(if wide { 60 } else { 48 }, 2)?, field(if wide { 62 } else { 50 }, 2)?);
    let content = |index: u64| {
        let at = table.checked_add(index.checked_mul(entry_size)?)?;
        let offset = field(at.checked_add(if wide { 24 } else { 16 })?, word)?;
        let size = field(at.checked_add(if wide { 32 } else { 20 })?, word)?;
        Some((field(at, 4)?, range(bytes, offset, size)?))
    };
    let (_, texts) = content(names)?;
    (0..count).filter_map(content).find_map(|(at, body)| {
        let rest = texts.get(usize::try_from(at).ok()?..)?.strip_prefix(name.as_bytes())?;
        (rest.first() == Some(&0)).then_some(body)
    })
}
