//! Events on disk until the server has taken them: a queue of bounded size that survives a kill at any byte.
//!
//! ```text
//!   00000000000000000007.seg   records, oldest first     ◄── cursor: taken by the server up to here
//!   00000000000000000008.seg   records being written
//!   cursor                     segment number and offset, replaced whole
//! ```
//!
//! A lost or stale cursor only means that some records are sent again, which the server recognises. A full disk costs the records
//! that it has no room for, and nothing else. There is no clock in it: the order is that of the numbers.

mod segment;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use segment::{FIRST, Slot, Writer};

/// How a spool is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes in all; beyond, the oldest segment goes.
    pub bytes: u64,
    /// Whether every record is forced to the disk.
    pub sync_each: bool,
}

impl Limits {
    /// A sixteenth of the whole, so that dropping one segment loses little.
    fn segment_bytes(self) -> u64 {
        (self.bytes / 16).clamp(64 << 10, 8 << 20)
    }
}

/// The folder of a spool cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("spool {path}: {source}")]
pub struct SpoolError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// A place between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    segment: u64,
    offset: u64,
}

/// Records taken for sending, and where the ones after them begin.
#[derive(Debug, Default)]
pub struct Batch {
    /// The records, oldest first.
    pub records: Vec<Vec<u8>>,
    /// Where to go on once they are sent.
    pub end: Option<Position>,
    /// Records before `end` that the disk no longer has.
    pub damaged: u64,
}

/// Records that made room for newer ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many.
    pub count: u64,
    /// Those of them that could be read, oldest first: a segment's worth at most.
    pub records: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    /// Bytes up to the end of the last whole record.
    bytes: u64,
    /// Records that are not sent yet.
    unsent: u64,
}

/// What was found when a spool was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records that wait to be sent.
    pub records: u64,
    /// Bytes at the ends of segments that are no whole record.
    pub damaged_bytes: u64,
    /// Segments that end so; each has lost one record at least.
    pub damaged: u64,
}

/// The queue.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    limits: Limits,
    /// Never empty; the last is being written.
    segments: VecDeque<Segment>,
    writer: Writer,
    cursor: Position,
}

impl Spool {
    /// Opens the spool in `dir`, made when it is not there.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read or written.
    pub fn open(dir: &Path, limits: Limits) -> Result<(Self, Recovered), SpoolError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let cursor = read_cursor(dir).filter(|cursor| stands_between_records(dir, *cursor));
        let mut recovered = Recovered::default();
        let mut segments = VecDeque::new();
        let mut last = 0;
        for number in numbers(dir)? {
            last = number;
            let path = path_of(dir, number);
            match scan(&path, number, cursor).map_err(at(&path))? {
                Some((segment, damaged)) => {
                    recovered.damaged_bytes += damaged;
                    recovered.damaged += u64::from(damaged > 0);
                    recovered.records += segment.unsent;
                    segments.push_back(segment);
                }
                None => fs::remove_file(&path).map_err(at(&path))?,
            }
        }
        // A new segment, so that nothing is ever written behind a damaged record.
        let number = last.max(cursor.map_or(0, |cursor| cursor.segment)) + 1;
        let path = path_of(dir, number);
        let writer = Writer::create(&path).map_err(at(&path))?;
        segments.push_back(Segment { number, bytes: FIRST, unsent: 0 });
        let start = Position { segment: segments[0].number, offset: FIRST };
        let cursor = cursor.map_or(start, |cursor| cursor.max(start));
        Ok((Self { dir: dir.to_owned(), limits, segments, writer, cursor }, recovered))
    }

    /// Adds a record and returns the old ones that had to be dropped for it. When this returns, the record survives
    /// the death of the process.
    ///
    /// # Errors
    /// When it cannot be written; the spool is as it was before.
    pub fn append(&mut self, record: &[u8]) -> Result<Dropped, SpoolError> {
        if self.writer.end() + record.len() as u64 > self.limits.segment_bytes() && self.writer.end() > FIRST {
            self.roll()?;
        }
        let mut written = self.write(record);
        if written.is_err() && self.segments.back().is_some_and(|active| active.unsent == 0 && active.bytes > FIRST) {
            // What the segment holds is sent. Perhaps that is the room which is missing.
            self.roll()?;
            written = self.write(record);
        }
        written?;
        Ok(self.make_room())
    }

    /// Forces what was written to the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), SpoolError> {
        self.writer.sync().map_err(at(&self.dir))
    }

    /// The oldest records that are not sent: at most `most`, and of `bytes` together unless a single one is larger.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn peek(&self, most: usize, bytes: usize) -> Result<Batch, SpoolError> {
        let mut batch = Batch::default();
        let mut left = bytes;
        for segment in self.segments.iter().filter(|s| s.number >= self.cursor.segment && s.unsent > 0) {
            let path = path_of(&self.dir, segment.number);
            let file = File::open(&path).map_err(at(&path))?;
            let mut offset = if segment.number == self.cursor.segment { self.cursor.offset } else { FIRST };
            let mut taken = 0;
            loop {
                let (record, next) = match segment::read(&file, segment.bytes, offset).map_err(at(&path))? {
                    Slot::Record(record, next) => (record, next),
                    Slot::End => break,
                    Slot::Damaged => {
                        // It was whole before: the disk has lost it, and where the next one begins.
                        batch.damaged += segment.unsent.saturating_sub(taken);
                        batch.end = Some(Position { segment: segment.number, offset: segment.bytes });
                        break;
                    }
                };
                if batch.records.len() == most || (record.len() > left && !batch.records.is_empty()) {
                    return Ok(batch);
                }
                left = left.saturating_sub(record.len());
                (offset, taken) = (next, taken + 1);
                batch.records.push(record);
                batch.end = Some(Position { segment: segment.number, offset });
            }
        }
        Ok(batch)
    }

    /// Forgets the records up to `end`: the server has them.
    ///
    /// # Errors
    /// When those after them cannot be counted, and then nothing is forgotten ([`Self::has_passed`]); or when the cursor cannot be
    /// written, so that a later run may send the records again.
    pub fn acknowledge(&mut self, end: Position) -> Result<(), SpoolError> {
        if self.has_passed(end) {
            return Ok(());
        }
        let unsent = self.unsent_after(end)?;
        self.cursor = end;
        for segment in &mut self.segments {
            if segment.number < end.segment {
                segment.unsent = 0;
            } else if segment.number == end.segment {
                segment.unsent = unsent;
            }
        }
        self.remove_sent();
        write_cursor(&self.dir, self.cursor)
    }

    /// Whether the records up to `end` are forgotten.
    #[must_use]
    pub fn has_passed(&self, end: Position) -> bool {
        end <= self.cursor
    }

    /// Records after `end` in its segment.
    fn unsent_after(&self, end: Position) -> Result<u64, SpoolError> {
        let segment = self.segments.iter().find(|segment| segment.number == end.segment);
        let Some(segment) = segment.filter(|segment| end.offset < segment.bytes) else { return Ok(0) };
        let path = path_of(&self.dir, segment.number);
        let file = File::open(&path).map_err(at(&path))?;
        Ok(count_from(&file, segment.bytes, end.offset).map_err(at(&path))?.0)
    }

    /// Records that are not sent.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.segments.iter().map(|segment| segment.unsent).sum()
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Whether it is less than half full, so that what is added soon displaces nothing.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.bytes() < self.limits.bytes / 2
    }

    fn write(&mut self, record: &[u8]) -> Result<(), SpoolError> {
        let before = self.writer.end();
        let mut written = self.writer.append(record);
        if written.is_ok() && self.limits.sync_each {
            written = self.writer.sync();
        }
        let active = self.segments.back_mut().expect("there is always a segment being written");
        if let Err(source) = written {
            self.writer.take_back(before);
            return Err(SpoolError { path: path_of(&self.dir, active.number), source });
        }
        active.bytes = self.writer.end();
        active.unsent += 1;
        Ok(())
    }

    fn roll(&mut self) -> Result<(), SpoolError> {
        self.writer.sync().map_err(at(&self.dir))?;
        let number = self.segments.back().map_or(0, |segment| segment.number) + 1;
        let path = path_of(&self.dir, number);
        self.writer = Writer::create(&path).map_err(at(&path))?;
        self.segments.push_back(Segment { number, bytes: FIRST, unsent: 0 });
        // The one before was only kept for being written. On a full disk the new one may need its room.
        self.remove_sent();
        Ok(())
    }

    fn make_room(&mut self) -> Dropped {
        let mut dropped = Dropped::default();
        while self.bytes() > self.limits.bytes && self.segments.len() > 1 {
            dropped.count += self.segments[0].unsent;
            dropped.records.extend(self.unsent_of_oldest());
            self.remove_oldest();
        }
        dropped
    }

    /// Records of the oldest segment that are not sent, as far as they can be read.
    fn unsent_of_oldest(&self) -> Vec<Vec<u8>> {
        let (oldest, mut records) = (&self.segments[0], Vec::new());
        let Ok(file) = File::open(path_of(&self.dir, oldest.number)) else { return records };
        let is_begun = oldest.number == self.cursor.segment;
        let mut offset = if is_begun { self.cursor.offset } else { FIRST };
        while let Ok(Slot::Record(record, next)) = segment::read(&file, oldest.bytes, offset) {
            records.push(record);
            offset = next;
        }
        records
    }

    fn remove_sent(&mut self) {
        while self.segments.len() > 1 && self.segments[0].unsent == 0 {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        let Some(oldest) = self.segments.pop_front() else { return };
        if let Some(next) = self.segments.front() {
            self.cursor = self.cursor.max(Position { segment: next.number, offset: FIRST });
        }
        let path = path_of(&self.dir, oldest.number);
        if let Err(error) = fs::remove_file(&path) {
            // After a restart it is sent again.
            tracing::warn!(%error, path = %path.display(), "a segment that is not needed any more stays");
        }
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> SpoolError {
    move |source| SpoolError { path: path.to_owned(), source }
}

fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.seg"))
}

fn numbers(dir: &Path) -> Result<Vec<u64>, SpoolError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let name = entry.map_err(at(dir))?.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| name.strip_suffix(".seg")?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The segment with the number of damaged bytes at its end; `None` when nothing in it is to be sent.
fn scan(path: &Path, number: u64, cursor: Option<Position>) -> io::Result<Option<(Segment, u64)>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if !segment::is_segment(&file, size)? {
        return Ok(None);
    }
    let (all, bytes) = count_from(&file, size, FIRST)?;
    let unsent = match cursor {
        Some(cursor) if number < cursor.segment => 0,
        Some(cursor) if number == cursor.segment => count_from(&file, bytes, cursor.offset)?.0,
        _ => all,
    };
    Ok((unsent > 0).then_some((Segment { number, bytes, unsent }, size - bytes)))
}

/// How many records stand from `offset` on, and where the last of them ends.
fn count_from(file: &File, size: u64, mut offset: u64) -> io::Result<(u64, u64)> {
    let mut count = 0;
    while let Slot::Record(_, next) = segment::read(file, size, offset)? {
        count += 1;
        offset = next;
    }
    Ok((count, offset))
}

fn read_cursor(dir: &Path) -> Option<Position> {
    let text = fs::read_to_string(dir.join("cursor")).ok()?;
    let (content, check) = text.trim_end().rsplit_once(' ')?;
    if check != cursor_check(content) {
        return None;
    }
    let (segment, offset) = content.split_once(' ')?;
    Some(Position { segment: segment.parse().ok()?, offset: offset.parse().ok()? })
}

/// A cursor that does not fit its segment (one of them is older than the other) would hide records.
fn stands_between_records(dir: &Path, cursor: Position) -> bool {
    let Ok(file) = File::open(path_of(dir, cursor.segment)) else { return true };
    let mut offset = FIRST;
    while offset < cursor.offset
        && let Ok(Slot::Record(_, next)) = segment::read(&file, cursor.offset, offset)
    {
        offset = next;
    }
    offset == cursor.offset
}

fn write_cursor(dir: &Path, cursor: Position) -> Result<(), SpoolError> {
    let content = format!("{} {}", cursor.segment, cursor.offset);
    let content = format!("{content} {}\n", cursor_check(&content));
    let (new, path) = (dir.join("cursor.new"), dir.join("cursor"));
    match fs::write(&new, &content) {
        Err(error) if segment::is_full(&error) => {
            let _ = fs::remove_file(&new);
            // There is room where the last one stands. Of one that is cut off the check tells.
            overwrite(&path, content.as_bytes()).map_err(at(&path))
        }
        written => written.map_err(at(&new)).and_then(|()| fs::rename(&new, &path).map_err(at(&path))),
    }
}

fn overwrite(path: &Path, content: &[u8]) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.write_all_at(content, 0)?;
    file.set_len(content.len() as u64)
}

fn cursor_check(content: &str) -> String {
    format!("{:08x}", crc32fast::hash(content.as_bytes()))
}

#[cfg(test)]
mod tests;
