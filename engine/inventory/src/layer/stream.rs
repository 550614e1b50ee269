//! Blob bytes become tar bytes: both digests, decompression and limits in one pass over each buffer.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use stella_domain::{Digest, Hasher};

use crate::archive::{ByteSource, DEFAULT_BUFFER};
use crate::limits::Limits;

use super::FoundDigests;
use super::aside::Hashing;
use super::budget::{Budget, Exceeded};

/// How a blob is packed, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    /// Not at all.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    fn detect(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// A buffer over a reader that hashes what it reads, once.
pub(crate) struct Hashed<R> {
    reader: R,
    hasher: Option<Hashing>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    count: u64,
}

impl<R: Read> Hashed<R> {
    fn new(reader: R, hasher: Option<Hashing>) -> Self {
        Self { reader, hasher, buffer: vec![0; DEFAULT_BUFFER].into(), start: 0, end: 0, count: 0 }
    }

    /// The first bytes: at least four unless there are fewer.
    fn peek(&mut self) -> io::Result<&[u8]> {
        while self.end < 4 {
            let count = read_some(&mut self.reader, &mut self.buffer[self.end..])?;
            if count == 0 {
                break;
            }
            let piece = self.end..self.end + count;
            self.end += count;
            self.took(piece);
        }
        Ok(&self.buffer[..self.end])
    }

    fn took(&mut self, piece: std::ops::Range<usize>) {
        self.count += piece.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&self.buffer[piece]);
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        let mut end = 0;
        while end < self.buffer.len() / 2 {
            let count = read_some(&mut self.reader, &mut self.buffer[end..])?;
            if count == 0 {
                break;
            }
            end += count;
        }
        (self.start, self.end) = (0, end);
        self.took(0..end);
        Ok(())
    }

    fn finish(self) -> io::Result<(R, Digest)> {
        let digest = self.hasher.map_or_else(|| Ok(Hasher::new().finish()), Hashing::finish)?;
        Ok((self.reader, digest))
    }
}

fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && out.len() >= self.buffer.len() / 2 {
            let count = read_some(&mut self.reader, out)?;
            self.count += count as u64;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&out[..count]);
            }
            return Ok(count);
        }
        let available = self.fill_buf()?;
        let count = available.len().min(out.len());
        out[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Hashed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.refill()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
    }
}

enum Unpacker<R: Read> {
    Plain(Hashed<R>),
    Gzip(Box<MultiGzDecoder<Hashed<R>>>),
    Zstd(zstd::stream::read::Decoder<'static, Hashed<R>>),
}

impl<R: Read> Unpacker<R> {
    fn packed_bytes(&self) -> u64 {
        match self {
            Self::Plain(raw) => raw.count,
            Self::Gzip(decoder) => decoder.get_ref().count,
            Self::Zstd(decoder) => decoder.get_ref().count,
        }
    }

    fn into_raw(self) -> Hashed<R> {
        match self {
            Self::Plain(raw) => raw,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

impl<R: Read> Read for Unpacker<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(raw) => raw.read(out),
            Self::Gzip(decoder) => decoder.read(out),
            Self::Zstd(decoder) => decoder.read(out).map_err(window_error),
        }
    }
}

/// A decoder that refuses windows over [`Limits::ZSTD_WINDOW`]: it keeps as many of the last bytes.
fn zstd_decoder<R: Read>(raw: Hashed<R>) -> io::Result<zstd::stream::read::Decoder<'static, Hashed<R>>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(raw)?;
    decoder.window_log_max(Limits::ZSTD_WINDOW.ilog2())?;
    Ok(decoder)
}

/// What libzstd says of a window that is too large does not tell what to do about it.
fn window_error(error: io::Error) -> io::Error {
    if error.to_string().contains("Frame requires too much memory") {
        return Exceeded { what: WINDOW, max: Limits::ZSTD_WINDOW }.into();
    }
    error
}

const WINDOW: &str = "bytes of zstd's window; levels above 20 and '--long' ask for more";

/// The uncompressed bytes of a blob. A plain blob is hashed once, for its two digests are the same.
pub(crate) struct LayerStream<'b, R: Read> {
    unpacked: Hashed<Unpacker<R>>,
    budget: &'b Budget,
    max_bytes: u64,
    max_ratio: u64,
}

impl<'b, R: Read> LayerStream<'b, R> {
    /// Starts reading `blob`.
    ///
    /// # Errors
    /// What the source says.
    pub(crate) fn open(blob: R, limits: &Limits, budget: &'b Budget) -> io::Result<Self> {
        Self::start(blob, Some(Hasher::new()), limits, budget)
    }

    /// Starts reading something that no digest names; [`Self::finish`] then tells none.
    pub(crate) fn unhashed(blob: R, limits: &Limits, budget: &'b Budget) -> io::Result<Self> {
        Self::start(blob, None, limits, budget)
    }

    /// Whether something that begins like this is compressed.
    pub(crate) fn is_compressed(start: &[u8]) -> bool {
        Compression::detect(start) != Compression::Plain
    }

    fn start(blob: R, hasher: Option<Hasher>, limits: &Limits, budget: &'b Budget) -> io::Result<Self> {
        let mut raw = Hashed::new(blob, hasher.clone().map(Hashing::here));
        let (unpacker, hasher) = match Compression::detect(raw.peek()?) {
            Compression::Plain => (Unpacker::Plain(raw), None),
            Compression::Gzip => (Unpacker::Gzip(Box::new(MultiGzDecoder::new(raw))), hasher),
            Compression::Zstd => (Unpacker::Zstd(zstd_decoder(raw)?), hasher),
        };
        // A plain blob is hashed as it is read; there is nothing else to do beside it.
        let unpacked = Hashed::new(unpacker, hasher.map(Hashing::aside));
        Ok(Self { unpacked, budget, max_bytes: limits.max_layer_bytes, max_ratio: limits.max_ratio })
    }

    /// Reads to the end and gives both digests.
    ///
    /// # Errors
    /// What the source says, or that a limit was met.
    pub(crate) fn finish(mut self) -> io::Result<FoundDigests> {
        loop {
            let rest = self.fill_buf()?.len();
            if rest == 0 {
                break;
            }
            self.consume(rest);
        }
        let plain = matches!(self.unpacked.reader, Unpacker::Plain(_));
        let (unpacker, diff_id) = self.unpacked.finish()?;
        let mut raw = unpacker.into_raw();
        while !raw.fill_buf()?.is_empty() {
            raw.consume(raw.end - raw.start);
        }
        let (_, blob) = raw.finish()?;
        Ok(FoundDigests { blob, diff_id: if plain { blob } else { diff_id } })
    }

    fn check_limits(&self, fresh: u64) -> Result<(), Exceeded> {
        self.budget.take(fresh)?;
        let unpacked = self.unpacked.count;
        if unpacked > self.max_bytes {
            return Err(Exceeded { what: "uncompressed bytes in a layer", max: self.max_bytes });
        }
        let packed = self.unpacked.reader.packed_bytes();
        if unpacked > Limits::RATIO_FROM && unpacked / self.max_ratio.max(1) > packed {
            return Err(Exceeded { what: "uncompressed bytes for each compressed byte", max: self.max_ratio });
        }
        Ok(())
    }
}

impl<R: Read> Read for LayerStream<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(out.len());
        out[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for LayerStream<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.unpacked.start == self.unpacked.end {
            let before = self.unpacked.count;
            self.unpacked.refill()?;
            self.check_limits(self.unpacked.count - before)?;
        }
        Ok(&self.unpacked.buffer[self.unpacked.start..self.unpacked.end])
    }

    fn consume(&mut self, count: usize) {
        self.unpacked.consume(count);
    }
}

impl<R: Read> ByteSource for LayerStream<'_, R> {}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(window_log: u32, bytes: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(blob: &[u8]) -> io::Result<Digest> {
        let limits = Limits::default();
        LayerStream::open(blob, &limits, &Budget::new(&limits))?.finish().map(|found| found.diff_id)
    }

    #[test]
    fn windows_of_zstd_are_bounded() {
        let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        for window_log in [10, 23, 25] {
            assert_eq!(unpacked(&packed(window_log, &bytes)).unwrap(), Digest::of(&bytes), "{window_log}");
        }
        // The second frame counts like the first.
        for blob in [packed(26, &bytes), packed(27, &bytes), [packed(20, &bytes), packed(27, &bytes)].concat()] {
            let error = unpacked(&blob).unwrap_err().to_string();
            assert!(error.starts_with("exceeds the limit of 33554432 bytes of zstd's window"), "{error}");
        }
    }

    #[test]
    fn the_highest_ordinary_level_is_read() {
        let bytes = vec![7; 1 << 20];
        let mut encoder = zstd::Encoder::new(Vec::new(), 19).unwrap();
        encoder.write_all(&bytes).unwrap();
        assert_eq!(unpacked(&encoder.finish().unwrap()).unwrap(), Digest::of(&bytes));
    }
}
