//! The checked-in schema of policies is the one that is served. `STELLA_GENERATE=1` writes it anew.

use std::path::Path;

#[test]
fn the_schema_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/api/policy/policy-schema@1.json");
    let wanted = format!("{:#}\n", stella_policy::schema());
    if std::env::var_os("STELLA_GENERATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &wanted).unwrap();
    }
    let present = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(present == wanted, "{} differs from the code; run `make generate`", path.display());
}
