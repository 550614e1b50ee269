//! See [`stella_fuzz::globs`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stella_fuzz::globs(bytes));
