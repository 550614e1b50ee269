//! Bodies that are held in memory and never become a file, all of them together within a budget.

use std::fs::File;
use std::io::Read as _;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use stella_domain::{Digest, Hasher};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that a body may have to be held.
pub(crate) const MOST_OF_ONE: usize = 1 << 20;
/// Bytes of memory for all bodies that the process holds.
const MOST_TOGETHER: usize = 64 << 20;

/// The memory for bodies that are held.
#[derive(Debug)]
pub(crate) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self::of(MOST_TOGETHER)
    }
}

impl Room {
    /// So many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// An empty body, which will have about `expected` bytes. It takes memory when the first of them come.
    pub(crate) fn body(&self, expected: usize) -> HeldBody {
        HeldBody { bytes: Vec::new(), expected, room: Arc::clone(&self.0), taken: None }
    }
}

/// A body in memory, as far as it came. What it takes of the budget is given back with it.
#[derive(Debug)]
pub struct HeldBody {
    bytes: Vec<u8>,
    expected: usize,
    room: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl HeldBody {
    /// Takes the next bytes if the body stays small enough and there is room for it; else it stays as it is. Says whether it did.
    pub(crate) fn take(&mut self, next: &[u8]) -> bool {
        let length = self.bytes.len() + next.len();
        let fits = length <= MOST_OF_ONE && (length <= self.room_taken() || self.grow(length));
        if fits {
            self.bytes.extend_from_slice(next);
        }
        fits
    }

    /// Takes the next bytes beside the budget.
    pub(crate) fn take_anyway(&mut self, next: &[u8]) {
        self.bytes.extend_from_slice(next);
    }

    fn room_taken(&self) -> usize {
        self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Takes memory for `length` bytes or more; none where there is not enough.
    fn grow(&mut self, length: usize) -> bool {
        let taken = self.room_taken();
        let wanted = length.max(self.expected).max(2 * taken).min(MOST_OF_ONE);
        let Ok(more) = u32::try_from(wanted - taken) else { return false };
        let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(more) else { return false };
        match &mut self.taken {
            Some(taken) => taken.merge(permit),
            None => self.taken = Some(permit),
        }
        self.bytes.reserve_exact(wanted - self.bytes.len());
        true
    }
}

impl Deref for HeldBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Where what was sent lies.
#[derive(Debug, Clone)]
pub enum Body {
    /// In memory: a document, never an image.
    Held(Arc<HeldBody>),
    /// In a file.
    File(PathBuf),
}

impl Body {
    /// The same bytes once more, which stay when the file is removed.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn original(&self) -> std::io::Result<Original> {
        match self {
            Self::Held(bytes) => Ok(Original::Held(Arc::clone(bytes))),
            Self::File(path) => File::open(path).map(Original::File),
        }
    }
}

/// What was sent, for whoever names a scan by it.
#[derive(Debug)]
pub enum Original {
    /// In memory.
    Held(Arc<HeldBody>),
    /// In a file, which may have no name any more.
    File(File),
}

impl Original {
    /// SHA-256 of the bytes.
    pub(super) fn digest(self) -> std::io::Result<Digest> {
        let mut file = match self {
            Self::Held(bytes) => return Ok(Digest::of(&**bytes)),
            Self::File(file) => file,
        };
        let (mut hasher, mut piece) = (Hasher::new(), vec![0; 1 << 20]);
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(hasher.finish()),
                count => hasher.update(&piece[..count]),
            }
        }
    }
}

/// Bytes by which a document is told from an image.
pub(crate) const BEGINNING: usize = 64;

/// Whether bytes that begin so are a document and no image: JSON begins with a brace and XML with an angle after white space, SPDX in
/// tag-value form with its version or a comment; no archive does.
pub(crate) fn is_document(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(BEGINNING)];
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    matches!(start.first(), Some(b'{' | b'<' | b'#')) || start.starts_with(b"SPDXVersion:")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_body_is_held_up_to_its_limit_whatever_was_expected() {
        for expected in [0, 1000, MOST_OF_ONE, usize::MAX] {
            let mut body = Room::default().body(expected);
            assert!(body.take(&vec![b'a'; MOST_OF_ONE - 1]) && body.take(b"b"), "{expected}");
            assert!(!body.take(b"c"));
            assert_eq!((body.len(), body.last()), (MOST_OF_ONE, Some(&b'b')), "as it was");
            assert!(body.bytes.capacity() <= MOST_OF_ONE, "{expected}");
            assert!(!Room::default().body(expected).take(&vec![0; MOST_OF_ONE + 1]));
        }
    }

    #[test]
    fn bodies_share_a_budget_and_give_it_back() {
        let room = Room::of(1000);
        let mut first = room.body(0);
        assert!(first.take(&[1; 600]));
        let mut second = room.body(0);
        assert!(!second.take(&[2; 401]), "there are 400 left");
        assert!(second.is_empty() && second.take(&[2; 400]));
        assert!(!first.take(&[1]) && !second.take(&[2]));
        assert_eq!((first.len(), second.len()), (600, 400));
        drop(first);
        assert_eq!(room.0.available_permits(), 600);
        assert!(second.take(&[2; 200]) && second.iter().all(|byte| *byte == 2));
        drop(second);
        assert_eq!(room.0.available_permits(), 1000);
    }

    #[test]
    fn what_is_expected_is_taken_at_once_and_only_when_something_comes() {
        let room = Room::of(1000);
        let mut body = room.body(700);
        assert!(body.take(b"") && room.0.available_permits() == 1000);
        assert!(body.take(b"a") && room.0.available_permits() == 300);
        assert!(!room.body(301).take(b"a"), "no more than is there");
        body.take_anyway(&[0; 800]);
        assert_eq!((body.len(), room.0.available_permits()), (801, 300));
    }

    #[test]
    fn a_digest_is_that_of_the_bytes_wherever_they_lie() {
        let (text, mut body) = (b"{}".repeat(700_000), Room::default().body(0));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&text).unwrap();
        let digest = Body::File(file.path().into()).original().unwrap().digest().unwrap();
        assert_eq!(digest, Digest::of(&text));
        assert!(!body.take(&text), "too much");
        assert!(body.take(&text[..1000]));
        let digest = Body::Held(Arc::new(body)).original().unwrap().digest().unwrap();
        assert_eq!(digest, Digest::of(&text[..1000]));
    }

    #[test]
    fn documents_are_told_from_images() {
        for text in ["{}", " \n<bom/>", "# SPDX", "SPDXVersion: SPDX-2.3", "\u{feff}{"] {
            assert!(is_document(text.as_bytes()), "{text}");
        }
        for bytes in [&b""[..], b"\x1f\x8b\x08", b"layer.tar\0", b"[]", &[b' '; 80]] {
            assert!(!is_document(bytes), "{bytes:?}");
        }
    }
}
