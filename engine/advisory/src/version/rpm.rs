//! RPM versions: `[epoch:]version[-release]`, parts compared by `rpmvercmp` (RPM manual, "Dependencies", versioning).

use super::key::{number, split_run, text};

const TILDE: u8 = 1;
const END: u8 = 2;
const CARET: u8 = 3;
const LETTERS: u8 = 4;
const DIGITS: u8 = 5;

pub(super) fn write_key(version: &str, key: &mut Vec<u8>) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (version, release) = rest.rsplit_once('-').map_or((rest, None), |(version, release)| (version, Some(release)));
    write_part(epoch.as_bytes(), key);
    write_part(version.as_bytes(), key);
    key.push(u8::from(release.is_some()));
    if let Some(release) = release {
        write_part(release.as_bytes(), key);
    }
}

fn write_part(mut part: &[u8], key: &mut Vec<u8>) {
    while let Some(first) = part.first() {
        match first {
            b'~' | b'^' => {
                key.push(if *first == b'~' { TILDE } else { CARET });
                part = &part[1..];
            }
            b'0'..=b'9' => {
                let (run, rest) = split_run(part, |c| c.is_ascii_digit());
                key.push(DIGITS);
                number(key, run);
                part = rest;
            }
            b'a'..=b'z' | b'A'..=b'Z' => {
                let (run, rest) = split_run(part, |c| c.is_ascii_alphabetic());
                key.push(LETTERS);
                text(key, run);
                part = rest;
            }
            _ => part = &part[1..],
        }
    }
    key.push(END);
}
