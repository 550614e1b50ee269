//! Alpine versions: `digits(.digits)*[letter](_suffix[digits])*[~hash][-r digits]` (apk-tools, `doc/apk-package.5`).

use std::cmp::Ordering;

use super::{compare_numbers, split_run};

/// What may come next in a version, in the order in which apk ranks a version that has it against one that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    FirstDigits,
    Digits,
    Letter,
    Suffix,
    SuffixNumber,
    Hash,
    Revision,
    End,
    Invalid,
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    kind: Kind,
    text: &'a [u8],
}

/// Suffixes before a release, then those after it.
const BEFORE: [&[u8]; 4] = [b"alpha", b"beta", b"pre", b"rc"];
const AFTER: [&[u8]; 5] = [b"cvs", b"svn", b"git", b"hg", b"p"];

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (Tokens::of(a), Tokens::of(b));
    loop {
        let (token_a, token_b) = (a.next_token(), b.next_token());
        if token_a.kind != token_b.kind {
            return compare_ends(token_a, token_b);
        }
        match token_a.kind {
            // Two texts that are no versions at all still need an order.
            Kind::Invalid if a.only_token && b.only_token => return token_a.text.cmp(token_b.text),
            Kind::End | Kind::Invalid => return Ordering::Equal,
            _ => {}
        }
        let order = compare_tokens(token_a, token_b);
        if order.is_ne() {
            return order;
        }
    }
}

fn compare_tokens(a: Token<'_>, b: Token<'_>) -> Ordering {
    let fraction = |text: &[u8]| text.first() == Some(&b'0');
    match a.kind {
        Kind::Digits if fraction(a.text) || fraction(b.text) => a.text.cmp(b.text),
        Kind::FirstDigits | Kind::Digits | Kind::SuffixNumber | Kind::Revision => compare_numbers(a.text, b.text),
        Kind::Suffix => suffix_rank(a.text).cmp(&suffix_rank(b.text)),
        _ => a.text.cmp(b.text),
    }
}

/// One version goes on where the other stops or goes on otherwise: a pre-release suffix is less than nothing, and so is what
/// no version may hold; anything else is more.
fn compare_ends(a: Token<'_>, b: Token<'_>) -> Ordering {
    let wrong = |token: Token<'_>| token.kind == Kind::Invalid || (token.kind == Kind::Digits && token.text.is_empty());
    match (wrong(a), wrong(b)) {
        (true, _) => return Ordering::Less,
        (_, true) => return Ordering::Greater,
        _ => {}
    }
    let before = |token: Token<'_>| token.kind == Kind::Suffix && suffix_rank(token.text) < 0;
    match (before(a), before(b)) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        _ => b.kind.cmp(&a.kind),
    }
}

fn suffix_rank(text: &[u8]) -> i32 {
    let place = |list: &[&[u8]]| list.iter().position(|s| *s == text).map(|p| i32::try_from(p).unwrap_or(0));
    place(&BEFORE).map(|p| p - 4).or_else(|| place(&AFTER)).unwrap_or(i32::MAX)
}

struct Tokens<'a> {
    rest: &'a [u8],
    last: Option<Kind>,
    /// Whether at most one token has been taken.
    only_token: bool,
}

impl<'a> Tokens<'a> {
    fn of(version: &'a str) -> Self {
        Self { rest: version.trim().as_bytes(), last: None, only_token: true }
    }

    fn next_token(&mut self) -> Token<'a> {
        let token = self.scan();
        self.only_token = self.last.is_none();
        self.last = Some(token.kind);
        token
    }

    fn scan(&mut self) -> Token<'a> {
        let Some(first) = self.rest.first() else {
            return Token { kind: Kind::End, text: b"" };
        };
        match (self.last, first) {
            (None, b'0'..=b'9') => self.run(Kind::FirstDigits, 0, |c| c.is_ascii_digit()),
            (Some(Kind::FirstDigits | Kind::Digits), b'.') => self.run(Kind::Digits, 1, |c| c.is_ascii_digit()),
            (Some(Kind::FirstDigits | Kind::Digits), b'a'..=b'z') => self.exactly(Kind::Letter, 1),
            (Some(Kind::Suffix | Kind::Letter), b'0'..=b'9') => self.run(Kind::SuffixNumber, 0, |c| c.is_ascii_digit()),
            (Some(_), b'_') if self.known_suffix() => self.run(Kind::Suffix, 1, |c| c.is_ascii_lowercase()),
            (Some(_), b'~') => self.run(Kind::Hash, 1, |c| c.is_ascii_hexdigit()),
            (Some(_), b'-') if self.begins_revision() => self.run(Kind::Revision, 2, |c| c.is_ascii_digit()),
            _ => self.exactly(Kind::Invalid, self.rest.len()),
        }
    }

    /// `-r`, and no word that merely begins so.
    fn begins_revision(&self) -> bool {
        self.rest.get(1) == Some(&b'r') && !self.rest.get(2).is_some_and(u8::is_ascii_alphabetic)
    }

    fn known_suffix(&self) -> bool {
        let (name, _) = split_run(&self.rest[1..], |c| c.is_ascii_lowercase());
        BEFORE.contains(&name) || AFTER.contains(&name)
    }

    fn run(&mut self, kind: Kind, skip: usize, inside: impl Fn(u8) -> bool) -> Token<'a> {
        let (text, rest) = split_run(&self.rest[skip..], inside);
        self.rest = rest;
        Token { kind, text }
    }

    fn exactly(&mut self, kind: Kind, length: usize) -> Token<'a> {
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        Token { kind, text }
    }
}
