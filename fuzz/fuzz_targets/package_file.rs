//! See [`stella_fuzz::package_file`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stella_fuzz::package_file(bytes));
