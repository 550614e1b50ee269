//! Alpine versions: `digits(.digits)*[letter](_suffix[digits])*[~hash][-r digits]` (apk-tools, `doc/apk-package.5`).

use super::key::{number, split_run, text};

/// What stands next in a version, worst first: where one version ends, another that goes on is newer unless it goes on
/// with a pre-release suffix or with what no version may hold.
const INVALID: u8 = 0;
const NO_DIGITS: u8 = 1;
const SUFFIX_BEFORE: u8 = 2;
const END: u8 = 3;
const REVISION: u8 = 4;
const HASH: u8 = 5;
const SUFFIX_NUMBER: u8 = 6;
const SUFFIX_AFTER: u8 = 7;
const EMPTY_DIGITS: u8 = 8;
const LETTER: u8 = 9;
const DIGITS: u8 = 10;
const FIRST_DIGITS: u8 = 11;

/// Suffixes before a release, then those after it.
const BEFORE: [&[u8]; 4] = [b"alpha", b"beta", b"pre", b"rc"];
const AFTER: [&[u8]; 5] = [b"cvs", b"svn", b"git", b"hg", b"p"];

pub(super) fn write_key(version: &str, key: &mut Vec<u8>) {
    let mut rest = version.trim().as_bytes();
    let mut last = None;
    while let Some((class, after)) = write_token(last, rest, key) {
        (last, rest) = (Some(class), after);
    }
}

/// Writes what `rest` begins with; tells what it was and what follows, unless it was the last.
fn write_token<'a>(last: Option<u8>, rest: &'a [u8], key: &mut Vec<u8>) -> Option<(u8, &'a [u8])> {
    let Some(first) = rest.first() else {
        key.push(END);
        return None;
    };
    let in_digits = matches!(last, Some(FIRST_DIGITS | DIGITS | EMPTY_DIGITS));
    match first {
        b'0'..=b'9' if last.is_none() => Some((FIRST_DIGITS, write_number(FIRST_DIGITS, rest, key))),
        b'.' if in_digits => Some(write_fraction(&rest[1..], key)),
        b'a'..=b'z' if in_digits => {
            key.extend_from_slice(&[LETTER, *first]);
            Some((LETTER, &rest[1..]))
        }
        b'0'..=b'9' if matches!(last, Some(SUFFIX_BEFORE | SUFFIX_AFTER | LETTER)) => {
            Some((SUFFIX_NUMBER, write_number(SUFFIX_NUMBER, rest, key)))
        }
        b'~' if last.is_some() => {
            let (hash, after) = split_run(&rest[1..], |c| c.is_ascii_hexdigit());
            key.push(HASH);
            text(key, hash);
            Some((HASH, after))
        }
        b'-' if last.is_some() && begins_revision(rest) => Some((REVISION, write_number(REVISION, &rest[2..], key))),
        b'_' if last.is_some() => write_suffix(&rest[1..], key).or_else(|| write_invalid(last, rest, key)),
        _ => write_invalid(last, rest, key),
    }
}

fn write_number<'a>(class: u8, rest: &'a [u8], key: &mut Vec<u8>) -> &'a [u8] {
    let (digits, after) = split_run(rest, |c| c.is_ascii_digit());
    key.push(class);
    number(key, digits);
    after
}

/// Digits after the first: with a leading zero they compare as text, and precede those without.
fn write_fraction<'a>(rest: &'a [u8], key: &mut Vec<u8>) -> (u8, &'a [u8]) {
    let (digits, after) = split_run(rest, |c| c.is_ascii_digit());
    match digits.first() {
        None => {
            // `0.8.21.r2` goes on with a letter and is newer than `0.8.21-r9`; `1.18.-r2` has a dot too many.
            let letter = after.first().is_some_and(u8::is_ascii_lowercase);
            key.push(if letter { EMPTY_DIGITS } else { NO_DIGITS });
            return (EMPTY_DIGITS, after);
        }
        Some(b'0') => {
            key.extend_from_slice(&[DIGITS, 0]);
            text(key, digits);
        }
        Some(_) => {
            key.extend_from_slice(&[DIGITS, 1]);
            number(key, digits);
        }
    }
    (DIGITS, after)
}

fn write_suffix<'a>(rest: &'a [u8], key: &mut Vec<u8>) -> Option<(u8, &'a [u8])> {
    let (name, after) = split_run(rest, |c| c.is_ascii_lowercase());
    let place = |list: &[&[u8]]| list.iter().position(|suffix| *suffix == name);
    let before = place(&BEFORE).map(|place| (SUFFIX_BEFORE, place));
    let (class, place) = before.or_else(|| place(&AFTER).map(|place| (SUFFIX_AFTER, place)))?;
    key.extend_from_slice(&[class, place as u8]);
    Some((class, after))
}

/// Texts that are no versions at all still need an order.
fn write_invalid<'a>(last: Option<u8>, rest: &'a [u8], key: &mut Vec<u8>) -> Option<(u8, &'a [u8])> {
    key.push(INVALID);
    if last.is_none() {
        text(key, rest);
    }
    None
}

/// `-r`, and no word that merely begins so.
fn begins_revision(rest: &[u8]) -> bool {
    rest.get(1) == Some(&b'r') && !rest.get(2).is_some_and(u8::is_ascii_alphabetic)
}
