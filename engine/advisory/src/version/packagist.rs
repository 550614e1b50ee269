//! Versions of PHP packages, in the order of PHP's `version_compare`, which Composer uses.
//!
//! Branches (`dev-main`) precede every release, as Composer has it.

use super::key::{number, split_run};

/// Ranks of words; a number, and the end, stand between `rc` and `p`.
const WORDS: [(&[u8], u8); 7] = [(b"dev", 2), (b"alpha", 3), (b"a", 3), (b"beta", 4), (b"b", 4), (b"rc", 5), (b"p", 9)];
const UNKNOWN: u8 = 1;
const END: u8 = 7;
const NUMBER: u8 = 8;

pub(super) fn write_key(version: &str, key: &mut Vec<u8>) {
    let version = version.trim();
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    let mut rest = version.as_bytes();
    while let Some(first) = rest.first() {
        let digits = first.is_ascii_digit();
        let (run, after) =
            split_run(rest, |c| if digits { c.is_ascii_digit() } else { c.is_ascii_alphabetic() || !c.is_ascii() });
        if run.is_empty() {
            rest = &rest[1..];
            continue;
        }
        rest = after;
        if digits {
            key.push(NUMBER);
            number(key, run);
        } else {
            key.push(rank(run));
        }
    }
    key.push(END);
}

/// PHP looks at how a word begins; unknown words are equal to each other.
fn rank(word: &[u8]) -> u8 {
    let begins = |name: &[u8]| word.len() >= name.len() && word[..name.len()].eq_ignore_ascii_case(name);
    WORDS.iter().find(|(name, _)| begins(name)).map_or(UNKNOWN, |(_, rank)| *rank)
}
