//! One program for every target, the one that `$STELLA_FUZZ` names: linking one takes as long as linking all would.
#![no_main]

use std::sync::OnceLock;

use stella_fuzz::{TARGETS, Target};

fn target() -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("STELLA_FUZZ").unwrap_or_default();
        let found = TARGETS.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("STELLA_FUZZ names no target: '{name}'")).1
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target()(bytes));
