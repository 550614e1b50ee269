//! See [`stella_fuzz::layer`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stella_fuzz::layer(bytes));
