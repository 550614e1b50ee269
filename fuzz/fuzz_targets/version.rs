//! See [`stella_fuzz::version`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stella_fuzz::version(bytes));
