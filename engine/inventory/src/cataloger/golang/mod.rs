//! Go executables: the build information the linker leaves in them (Go `debug/buildinfo`).
//!
//! Since Go 1.18 the strings lie behind the header and are read as the file passes by. Before, the header points
//! at them, so the executable has to be held whole.

mod build_info;
mod go_mod;

use std::io::{self, Read};

use memchr::memmem;

use super::compiled::Scan;
use super::elf::{self, Elf};
use super::{Executable, Findings, ParseError, SourceFile};

use build_info::{BuildInfo, Header, MAGIC};
pub(super) use go_mod::MODULE;

/// The header is aligned like this in the file.
const ALIGN: u64 = 16;
/// Longest version or module text that is believed.
const MAX_TEXT: u64 = 4 << 20;

/// Looks for the build information in the writable segments as they pass by.
pub(super) fn inspect(path: &str, elf: &Elf, scan: &mut Scan<'_>, size: u64) -> io::Result<Executable> {
    for segment in elf.segments.iter().filter(|segment| segment.writable) {
        let end = segment.offset.saturating_add(segment.size).min(size);
        scan.skip_to(segment.offset.min(size))?;
        while let Some(header) = scan.next_header(end)? {
            if !header.is_inline() {
                return Ok(if header.is_plausible() { Executable::Whole } else { Executable::Foreign });
            }
            let (Some(version), Some(modules)) = (scan.text(end)?, scan.text(end)?) else { continue };
            let info = BuildInfo { version: &String::from_utf8_lossy(&version), modules: &modules };
            if info.is_plausible() {
                return Ok(Executable::Understood(info.findings(path)));
            }
        }
    }
    Ok(Executable::Foreign)
}

impl Scan<'_> {
    /// Reads up to and with the next header before `end`.
    fn next_header(&mut self, end: u64) -> io::Result<Option<Header>> {
        let finder = memmem::Finder::new(MAGIC);
        while self.position < end {
            // Headers are aligned, so a window of whole lines that overlaps by one line misses none.
            let chunk = self.body.fill_buf()?;
            let left = usize::try_from(end - self.position).map_or(chunk.len(), |left| left.min(chunk.len()));
            let chunk = &chunk[..left];
            let to_line = usize::try_from(self.position.next_multiple_of(ALIGN) - self.position).unwrap_or(0);
            let met = finder.find_iter(chunk).find(|at| (self.position + *at as u64).is_multiple_of(ALIGN));
            let step = match met {
                Some(at) => at,
                None if to_line > 0 => to_line.min(chunk.len()),
                None if chunk.len() < MAGIC.len() => 0,
                None => chunk.len() - chunk.len() % 16,
            };
            let at_start = met == Some(0);
            self.body.consume(step);
            self.position += step as u64;
            if at_start || (met.is_none() && step == 0) {
                let mut header = Header::default();
                if end - self.position < header.0.len() as u64 {
                    return Ok(None);
                }
                let (first_line, second_line) = header.0.split_at_mut(16);
                self.read(first_line)?;
                if first_line.starts_with(MAGIC) {
                    self.read(second_line)?;
                    return Ok(Some(header));
                }
            }
        }
        Ok(None)
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<()> {
        self.body.read_exact(out)?;
        self.position += out.len() as u64;
        Ok(())
    }

    /// A text with its length before it as an unsigned LEB128.
    fn text(&mut self, end: u64) -> io::Result<Option<Vec<u8>>> {
        let mut length = 0u64;
        for shift in (0..63).step_by(7) {
            let mut byte = [0];
            if self.position >= end {
                return Ok(None);
            }
            self.read(&mut byte)?;
            length |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        if length > MAX_TEXT || length > end.saturating_sub(self.position) {
            return Ok(None);
        }
        let mut text = Vec::new();
        (&mut *self.body).take(length).read_to_end(&mut text)?;
        self.position += text.len() as u64;
        Ok(Some(text))
    }
}

/// The header and what it points at, in an executable held whole.
pub(super) fn parse_executable(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let Some(elf) = Elf::parse(file.bytes) else { return Err(ParseError("it is no ELF executable".into())) };
    let finder = memmem::Finder::new(MAGIC);
    for segment in elf.segments.iter().filter(|segment| segment.writable) {
        let Some(bytes) = elf::range(file.bytes, segment.offset, segment.size) else { continue };
        for at in finder.find_iter(bytes) {
            let header = bytes[at..].first_chunk().map(|header| Header(*header));
            let Some(header) = header.filter(|_| (segment.offset + at as u64).is_multiple_of(ALIGN)) else { continue };
            let Some((version, modules)) = header.follow(&elf, file.bytes) else { continue };
            let info = BuildInfo { version: &String::from_utf8_lossy(version), modules };
            if info.is_plausible() {
                *findings = info.findings(file.path);
                return Ok(());
            }
        }
    }
    Err(ParseError("its build information cannot be followed".into()))
}
