//! See [`stella_fuzz::vex`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stella_fuzz::vex(bytes));
