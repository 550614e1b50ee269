//! Versions of gems: numbers and words, a word being older than a number (RubyGems, `Gem::Version`).
//!
//! Whatever is missing counts as zero, so a run of zeros only matters by what ends it.

use super::key::{number, split_run, text};

/// Before the end: a word, at once or after zeros.
const WORD: u8 = 0x10;
const ZEROS_THEN_WORD: u8 = 0x20;
const END: u8 = 0x30;
/// After the end: a number, after zeros or at once.
const ZEROS_THEN_NUMBER: u8 = 0x40;
const NUMBER: u8 = 0x50;

pub(super) fn write_key(version: &str, key: &mut Vec<u8>) {
    // A hyphen begins a pre-release.
    let version = version.trim().replace('-', ".pre.");
    let mut rest = version.as_bytes();
    let mut zeros = 0u32;
    let mut words_before = false;
    while let Some(first) = rest.first() {
        let (run, after) = split_run(rest, |c| match first {
            b'0'..=b'9' => c.is_ascii_digit(),
            _ => c.is_ascii_alphabetic(),
        });
        rest = if run.is_empty() { &rest[1..] } else { after };
        if run.is_empty() {
            continue;
        }
        if first.is_ascii_alphabetic() {
            // Zeros before the first word do not count.
            if zeros > 0 && words_before {
                key.push(ZEROS_THEN_WORD);
                key.extend_from_slice(&zeros.to_be_bytes());
            } else {
                key.push(WORD);
            }
            text(key, run);
            (zeros, words_before) = (0, true);
        } else if run.iter().all(|digit| *digit == b'0') {
            zeros += 1;
        } else {
            if zeros > 0 {
                key.push(ZEROS_THEN_NUMBER);
                key.extend_from_slice(&(!zeros).to_be_bytes());
            } else {
                key.push(NUMBER);
            }
            number(key, run);
            zeros = 0;
        }
    }
    key.push(END);
}
