//! One file of records. Each record is its length, a CRC-32 over length and content, and the content; so a file cut
//! at any byte, by a kill or a full disk, still gives every record that was written before the cut.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What every segment begins with.
const MAGIC: &[u8; 8] = b"stlspl1\n";
/// Bytes before the content of a record.
const HEAD: u64 = 8;
/// Where the first record stands.
pub const FIRST: u64 = MAGIC.len() as u64;
/// Bytes of content at most.
pub const MOST_CONTENT: usize = 1 << 20;

/// A segment being written.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    /// Absent while the disk has had no room for it.
    file: Option<File>,
    end: u64,
}

impl Writer {
    /// A new segment. On a full disk it is made with the first record that there is room for.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = match create(path) {
            Ok(file) => Some(file),
            Err(error) if is_full(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), file, end: FIRST })
    }

    /// Adds a record. After an error the segment ends where it ended before.
    pub fn append(&mut self, content: &[u8]) -> io::Result<()> {
        let length = u32::try_from(content.len())
            .ok()
            .filter(|_| content.len() <= MOST_CONTENT)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a record of more than 1 MiB"))?;
        let mut record = Vec::with_capacity(content.len() + HEAD as usize);
        record.extend(length.to_le_bytes());
        record.extend(checksum(length, content).to_le_bytes());
        record.extend(content);
        let file = match self.file.take() {
            Some(file) => file,
            None => create(&self.path)?,
        };
        let written = self.file.insert(file).write_all_at(&record, self.end);
        if let Err(error) = written {
            // What was written of the record would hide those after it.
            self.take_back(self.end);
            return Err(error);
        }
        self.end += record.len() as u64;
        Ok(())
    }

    /// Forgets what stands from `end` on, where a record begins.
    pub fn take_back(&mut self, end: u64) {
        self.end = end;
        if let Some(file) = &self.file
            && let Err(error) = file.set_len(end)
        {
            // The next record is written over it.
            tracing::warn!(%error, path = %self.path.display(), "half a record stays at the end of a segment");
        }
    }

    /// Forces what was written to the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }

    /// Bytes so far.
    pub fn end(&self) -> u64 {
        self.end
    }
}

fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    if let Err(error) = file.write_all_at(MAGIC, 0) {
        // Else no segment of that number could be made any more.
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    Ok(file)
}

/// Whether there may be room later.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// What stands at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Slot {
    /// A record, and where the next one stands.
    Record(Vec<u8>, u64),
    /// The end.
    End,
    /// Bytes that are no record: the write was cut off, or the disk lies.
    Damaged,
}

/// Reads the record at `at`, in a segment of `size` bytes.
pub fn read(file: &File, size: u64, at: u64) -> io::Result<Slot> {
    if at >= size {
        return Ok(Slot::End);
    }
    let mut head = [0; HEAD as usize];
    if size - at < HEAD {
        return Ok(Slot::Damaged);
    }
    file.read_exact_at(&mut head, at)?;
    let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
    let (length, check) = (u32::from_le_bytes([l0, l1, l2, l3]), u32::from_le_bytes([c0, c1, c2, c3]));
    if length as usize > MOST_CONTENT || size - at - HEAD < u64::from(length) {
        return Ok(Slot::Damaged);
    }
    let mut content = vec![0; length as usize];
    file.read_exact_at(&mut content, at + HEAD)?;
    if checksum(length, &content) != check {
        return Ok(Slot::Damaged);
    }
    Ok(Slot::Record(content, at + HEAD + u64::from(length)))
}

/// Whether a file of `size` bytes begins like a segment.
pub fn is_segment(file: &File, size: u64) -> io::Result<bool> {
    let mut magic = [0; MAGIC.len()];
    if size < FIRST {
        return Ok(false);
    }
    file.read_exact_at(&mut magic, 0)?;
    Ok(&magic == MAGIC)
}

fn checksum(length: u32, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}
