//! The images whose scan is wanted, each once. What waits is bounded in number and in bytes.

use std::collections::{HashMap, VecDeque};

use stella_domain::{Digest, Hasher, Timestamp};

use crate::decision::ScanWish;

/// Images that may wait.
pub(super) const MOST: usize = 65_536;
/// Bytes that the names of those images and of their namespaces may have together.
pub(super) const MOST_BYTES: usize = 32 << 20;
/// Images that are known at most: those that wait, and others that were asked for lately.
const MOST_KNOWN: usize = MOST + MOST / 2;
/// Images that are known at most once room was made: making some again has to be worth looking at all of them.
const ROOMY: usize = MOST_KNOWN - MOST / 4;
/// An image is asked for again after that many seconds, as long as nothing shows that it was scanned; a scan takes a while.
const AGAIN_SECONDS: i64 = 300;

/// An image that waits to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    key: Digest,
    pub(super) namespace: String,
    pub(super) image: String,
}

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// It waits.
    New,
    /// The image waits already, is being asked for, or was asked for lately.
    Known,
    /// There is no room.
    Full,
}

/// The images, by tenant and name.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// When each was asked for; `None` of those that are still to be.
    known: HashMap<Digest, Option<Timestamp>>,
    waiting: VecDeque<Waiting>,
    /// Those that wait or are being asked for.
    open: usize,
    bytes: usize,
}

impl Wanted {
    pub(super) fn add(&mut self, wish: &ScanWish, now: Timestamp) -> Added {
        let key = key(wish);
        match self.known.get(&key) {
            Some(None) => return Added::Known,
            // One that was confirmed since was scanned as it was asked to be.
            Some(Some(at))
                if now.seconds_since(*at) < AGAIN_SECONDS && wish.confirmed_at.is_none_or(|then| then <= *at) =>
            {
                return Added::Known;
            }
            _ => {}
        }
        let new = Waiting { key, namespace: wish.namespace.clone(), image: wish.image.clone() };
        if self.open == MOST || self.bytes + bytes(&new) > MOST_BYTES {
            return Added::Full;
        }
        if self.known.len() >= MOST_KNOWN {
            self.forget_asked(now);
        }
        self.known.insert(key, None);
        self.open += 1;
        self.bytes += bytes(&new);
        self.waiting.push_back(new);
        Added::New
    }

    /// Takes the next to be asked for, at most `most`. They are open until it is said what became of them.
    pub(super) fn take(&mut self, most: usize) -> Vec<Waiting> {
        let most = most.min(self.waiting.len());
        self.waiting.drain(..most).collect()
    }

    /// They were asked for.
    pub(super) fn asked(&mut self, taken: &[Waiting], now: Timestamp) {
        for image in taken {
            self.close(image);
            self.known.insert(image.key, Some(now));
        }
    }

    /// They will not be asked for, unless somebody wishes it again.
    pub(super) fn forget(&mut self, taken: &[Waiting]) {
        for image in taken {
            self.close(image);
            self.known.remove(&image.key);
        }
    }

    /// They wait again: those that nobody was asked for before all others, those that were not answered behind them.
    pub(super) fn put_back(&mut self, unasked: Vec<Waiting>, unanswered: Vec<Waiting>) {
        unasked.into_iter().rev().for_each(|image| self.waiting.push_front(image));
        self.waiting.extend(unanswered);
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait or are being asked for.
    pub(super) const fn open(&self) -> usize {
        self.open
    }

    fn close(&mut self, image: &Waiting) {
        self.open -= 1;
        self.bytes -= bytes(image);
    }

    /// Makes room among those that were asked for: of those of long ago, else of all of them. Who asks twice is answered twice.
    fn forget_asked(&mut self, now: Timestamp) {
        self.known.retain(|_, asked| asked.is_none_or(|at| now.seconds_since(at) < AGAIN_SECONDS));
        if self.known.len() > ROOMY {
            self.known.retain(|_, asked| asked.is_none());
        }
    }
}

/// Of a namespace that the operator has not told of yet it is not known whose it is: then it stands for its tenant.
fn key(wish: &ScanWish) -> Digest {
    let mut hasher = Hasher::new();
    match wish.tenant.as_str() {
        "" => hasher.field(format!("namespace {}", wish.namespace)),
        tenant => hasher.field(tenant),
    }
    hasher.field(&wish.image);
    hasher.finish()
}

fn bytes(image: &Waiting) -> usize {
    image.namespace.len() + image.image.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::now;

    fn wish(tenant: &str, namespace: &str, image: &str) -> ScanWish {
        ScanWish {
            tenant: tenant.to_owned(),
            namespace: namespace.to_owned(),
            image: image.to_owned(),
            confirmed_at: None,
        }
    }

    #[test]
    fn an_image_of_a_tenant_is_wanted_once_until_some_time_after_it_was_asked_for() {
        let mut wanted = Wanted::default();
        assert_eq!(wanted.add(&wish("a", "shop", "x"), now()), Added::New);
        assert_eq!(wanted.add(&wish("a", "other", "x"), now()), Added::Known);
        assert_eq!(wanted.add(&wish("b", "shop", "x"), now()), Added::New);
        assert_eq!(wanted.add(&wish("", "shop", "x"), now()), Added::New);
        assert_eq!(wanted.add(&wish("", "other", "x"), now()), Added::New);
        let taken = wanted.take(1);
        assert_eq!((taken[0].namespace.as_str(), wanted.open()), ("shop", 4));
        assert_eq!(wanted.add(&wish("a", "shop", "x"), now()), Added::Known, "it is being asked for");
        wanted.asked(&taken, now());
        assert_eq!(wanted.add(&wish("a", "shop", "x"), now().plus_seconds(299)), Added::Known);
        assert_eq!(wanted.add(&wish("a", "shop", "x"), now().plus_seconds(300)), Added::New);
    }

    #[test]
    fn what_nobody_was_asked_for_comes_first_what_was_not_answered_last_and_what_is_forgotten_may_be_wished_again() {
        let mut wanted = Wanted::default();
        for image in ["a", "b", "c", "d"] {
            wanted.add(&wish("t", "shop", image), now());
        }
        let mut taken = wanted.take(3);
        let unasked = taken.split_off(1);
        wanted.put_back(unasked, taken);
        let taken = wanted.take(5);
        let names: Vec<_> = taken.iter().map(|image| image.image.as_str()).collect();
        assert_eq!(names, ["b", "c", "d", "a"]);
        assert!(wanted.is_empty());
        wanted.forget(&taken);
        assert_eq!((wanted.open(), wanted.bytes), (0, 0));
        assert_eq!(wanted.add(&wish("t", "shop", "a"), now()), Added::New);
    }

    #[test]
    fn what_was_confirmed_since_it_was_asked_for_may_be_asked_for_at_once() {
        let mut wanted = Wanted::default();
        let stale = |seconds| ScanWish { confirmed_at: Some(now().plus_seconds(seconds)), ..wish("t", "shop", "x") };
        assert_eq!(wanted.add(&stale(-60), now()), Added::New);
        let taken = wanted.take(1);
        wanted.asked(&taken, now());
        assert_eq!(wanted.add(&stale(-60), now().plus_seconds(62)), Added::Known, "its scan may take longer");
        assert_eq!(wanted.add(&stale(2), now().plus_seconds(62)), Added::New, "it was scanned, and is stale again");
    }

    #[test]
    fn neither_many_images_nor_long_names_take_more_than_there_is_room_for() {
        let mut wanted = Wanted::default();
        let mut full = 0;
        for number in 0..MOST + 7 {
            full += usize::from(wanted.add(&wish("t", "shop", &number.to_string()), now()) == Added::Full);
        }
        assert_eq!((wanted.open(), full), (MOST, 7));
        let mut wanted = Wanted::default();
        let long = "x".repeat(4096);
        let added = (0..MOST).take_while(|n| wanted.add(&wish("t", "", &format!("{n:06}{long}")), now()) == Added::New);
        assert_eq!(added.count(), MOST_BYTES / 4102);
    }

    #[test]
    fn what_was_asked_for_is_forgotten_before_it_takes_more_room() {
        let mut wanted = Wanted::default();
        for number in 0..2 * MOST_KNOWN {
            assert_eq!(wanted.add(&wish("t", "shop", &number.to_string()), now()), Added::New);
            let taken = wanted.take(1);
            wanted.asked(&taken, now());
            assert!(wanted.known.len() <= MOST_KNOWN);
        }
    }

    #[test]
    fn room_is_made_for_many_at_once() {
        let mut wanted = Wanted::default();
        let (mut known, mut made) = (0, 0);
        // Each second some of them are old enough to be forgotten, which alone would make room for a second's wishes.
        for number in 0..2 * MOST_KNOWN {
            let seconds = i64::try_from(number).unwrap() * AGAIN_SECONDS / i64::try_from(MOST_KNOWN).unwrap();
            wanted.add(&wish("t", "shop", &number.to_string()), now().plus_seconds(seconds));
            let taken = wanted.take(1);
            wanted.asked(&taken, now().plus_seconds(seconds));
            made += usize::from(wanted.known.len() <= known);
            known = wanted.known.len();
        }
        assert!((1..=MOST_KNOWN / (MOST / 4)).contains(&made), "{made} times");
    }
}
