//! See [`stella_fuzz::sbom`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stella_fuzz::sbom(bytes));
