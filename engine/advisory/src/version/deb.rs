//! Debian versions: `[epoch:]upstream[-revision]` (Debian policy manual, section 5.6.12).

use super::key::{number, split_run};

/// Between `~` and everything else.
const END: u8 = 2;

pub(super) fn write_key(version: &str, key: &mut Vec<u8>) {
    let version = version.trim();
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    write_part(epoch.as_bytes(), key);
    write_part(upstream.as_bytes(), key);
    write_part(revision.as_bytes(), key);
}

/// Alternates between a run without digits and a run of digits. An absent revision equals `0`, as the manual asks.
pub(super) fn write_part(mut part: &[u8], key: &mut Vec<u8>) {
    loop {
        let (text, rest) = split_run(part, |c| !c.is_ascii_digit());
        let (digits, rest) = split_run(rest, |c| c.is_ascii_digit());
        text.iter().for_each(|c| write_character(*c, key));
        key.push(END);
        number(key, digits);
        if rest.is_empty() {
            break;
        }
        part = rest;
    }
    key.push(END);
}

/// Letters before all that is no letter.
fn write_character(c: u8, key: &mut Vec<u8>) {
    match c {
        b'~' => key.push(1),
        c if c.is_ascii_alphabetic() => key.push(c),
        c if c < 127 => key.push(c + 128),
        c => key.extend_from_slice(&[u8::MAX, c]),
    }
}
