//! See [`stella_fuzz::rego`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stella_fuzz::rego(bytes));
