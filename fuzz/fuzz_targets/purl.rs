//! See [`stella_fuzz::purl`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stella_fuzz::purl(bytes));
