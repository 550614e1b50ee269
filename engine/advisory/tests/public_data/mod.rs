//! Public data that is too large for the repository.

use std::path::{Path, PathBuf};

/// Where `what` lies: in `$STELLA_TEST_DATA`, else in `../shared/data` beside the repository. `None`, and a loud word, where it
/// is not; with `STELLA_REQUIRE_DATA=1` the test fails instead.
pub fn public_data(what: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("STELLA_TEST_DATA").map_or(beside, PathBuf::from);
    let path = folder.join(what);
    if path.exists() {
        return Some(path);
    }
    let required = std::env::var_os("STELLA_REQUIRE_DATA").is_some_and(|value| value == "1");
    assert!(!required, "{what} is not in {}, and STELLA_REQUIRE_DATA=1 is set", folder.display());
    eprintln!("SKIPPED: {what} is not in {} (set STELLA_TEST_DATA)", folder.display());
    None
}
