//! See [`stella_fuzz::dsse`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stella_fuzz::dsse(bytes));
