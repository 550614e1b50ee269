//! Versions of Maven artifacts (Maven, "POM Reference", "Version Order Specification").

use super::key::{number, split_run, text};

/// Qualifiers older than the release, in their order.
const BEFORE: [&[u8]; 5] = [b"alpha", b"beta", b"milestone", b"rc", b"snapshot"];
/// Qualifiers that say no more than the release.
const RELEASE: [&[u8]; 3] = [b"ga", b"final", b"release"];

const EARLIER: u8 = 1;
const END: u8 = 0x10;
const SERVICE_PACK: u8 = 0x20;
const QUALIFIER: u8 = 0x21;
const HYPHEN_NUMBER: u8 = 0x30;
const DOT_NUMBER: u8 = 0x31;

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Number(Vec<u8>),
    Qualifier(Vec<u8>),
}

#[derive(Debug)]
struct Token {
    hyphen: bool,
    word: Word,
}

impl Token {
    /// Zero, or a qualifier that says nothing.
    fn is_null(&self) -> bool {
        match &self.word {
            Word::Number(digits) => digits.iter().all(|digit| *digit == b'0'),
            Word::Qualifier(word) => word.is_empty(),
        }
    }

    fn write_key(&self, key: &mut Vec<u8>) {
        match &self.word {
            Word::Number(digits) => {
                key.push(if self.hyphen { HYPHEN_NUMBER } else { DOT_NUMBER });
                number(key, digits);
            }
            Word::Qualifier(word) => match BEFORE.iter().position(|name| name == word) {
                Some(place) => key.push(EARLIER + place as u8),
                None if word == b"sp" => key.push(SERVICE_PACK),
                None => {
                    key.push(QUALIFIER);
                    text(key, word);
                }
            },
        }
    }
}

pub(super) fn write_key(version: &str, key: &mut Vec<u8>) {
    let mut kept: Vec<Token> = Vec::new();
    // What says nothing is dropped at the end, before a hyphen and before a qualifier.
    for token in tokens(&version.trim().to_lowercase()).into_iter().rev() {
        let before_number = kept.last().is_some_and(|next| !next.hyphen && matches!(next.word, Word::Number(_)));
        if !token.is_null() || before_number {
            kept.push(token);
        }
    }
    kept.iter().rev().for_each(|token| token.write_key(key));
    key.push(END);
}

fn tokens(version: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut rest, mut hyphen) = (version.as_bytes(), false);
    loop {
        let digits = rest.first().is_some_and(u8::is_ascii_digit);
        let inside = |c: u8| c != b'.' && c != b'-' && c.is_ascii_digit() == digits;
        let (run, after) = split_run(rest, inside);
        let before_digit = after.first().is_some_and(u8::is_ascii_digit);
        let word = match run {
            // Nothing between two separators is a zero.
            b"" => Word::Number(Vec::new()),
            run if digits => Word::Number(run.to_vec()),
            run => Word::Qualifier(qualifier(run, before_digit).to_vec()),
        };
        tokens.push(Token { hyphen, word });
        match after.first() {
            None => return tokens,
            Some(separator @ (b'.' | b'-')) => {
                hyphen = *separator == b'-';
                rest = &after[1..];
            }
            // Between a digit and a letter stands an invisible hyphen.
            Some(_) => {
                hyphen = true;
                rest = after;
            }
        }
    }
}

fn qualifier(word: &[u8], before_digit: bool) -> &[u8] {
    match word {
        b"a" if before_digit => b"alpha",
        b"b" if before_digit => b"beta",
        b"m" if before_digit => b"milestone",
        b"cr" => b"rc",
        word if RELEASE.contains(&word) => b"",
        word => word,
    }
}
