//! Versions that are lists of numbers without more: R packages (`1.2-3`, R manual, `numeric_version`) and Haskell
//! packages (Haskell package versioning policy). A longer list follows its beginning, zeros or not.

use super::key::{is_number, number, text};

const END: u8 = 0;
const TEXT: u8 = 1;
const NUMBER: u8 = 2;

pub(super) fn write_key(version: &str, key: &mut Vec<u8>) {
    for part in version.trim().split(['.', '-']) {
        if is_number(part.as_bytes()) {
            key.push(NUMBER);
            number(key, part.as_bytes());
        } else {
            key.push(TEXT);
            text(key, part.as_bytes());
        }
    }
    key.push(END);
}
