//! See [`stella_fuzz::canonical`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stella_fuzz::canonical(bytes));
