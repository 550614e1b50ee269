//! Where bytes come from: a buffered reader that can also skip.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes read at a time: fits the second-level cache, so that hashing and walking see warm memory.
pub(crate) const DEFAULT_BUFFER: usize = 256 * 1024;

/// A buffered reader that can pass over bytes without handing them out.
pub trait ByteSource: BufRead {
    /// Passes over `count` bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` when there are fewer, or what the source says.
    fn skip(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let available = self.fill_buf()?.len();
            if available == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let step = usize::try_from(count).map_or(available, |count| count.min(available));
            self.consume(step);
            count -= step as u64;
        }
        Ok(())
    }
}

impl ByteSource for &[u8] {}

impl<S: ByteSource + ?Sized> ByteSource for &mut S {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        (**self).skip(count)
    }
}

/// A part of a file on disk, read by position, so that many parts can be read at the same time.
#[derive(Debug)]
pub struct FileSlice {
    file: Arc<File>,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    start: usize,
}

impl FileSlice {
    /// The `size` bytes of `file` from `offset` on.
    #[must_use]
    pub fn new(file: Arc<File>, offset: u64, size: u64) -> Self {
        Self { file, position: offset, end: offset.saturating_add(size), buffer: Vec::new(), start: 0 }
    }

    fn limit(&self, wanted: usize) -> usize {
        usize::try_from(self.end - self.position).map_or(wanted, |left| left.min(wanted))
    }

    fn read_direct(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let wanted = self.limit(out.len());
        let count = self.file.read_at(&mut out[..wanted], self.position)?;
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Read for FileSlice {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.start == self.buffer.len() && out.len() >= 4096 {
            return self.read_direct(out);
        }
        let available = self.fill_buf()?;
        let count = available.len().min(out.len());
        out[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for FileSlice {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.buffer.len() {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(self.limit(16 * 1024), 0);
            let count = self.read_direct(&mut buffer)?;
            buffer.truncate(count);
            self.buffer = buffer;
            self.start = 0;
        }
        Ok(&self.buffer[self.start..])
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
    }
}

impl ByteSource for FileSlice {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        let buffered = (self.buffer.len() - self.start) as u64;
        if count <= buffered {
            self.start += usize::try_from(count).unwrap_or(0);
            return Ok(());
        }
        let rest = count - buffered;
        if rest > self.end - self.position {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += rest;
        self.start = self.buffer.len();
        Ok(())
    }
}
