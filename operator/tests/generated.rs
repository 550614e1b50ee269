//! The checked-in OpenAPI document is that of the handlers. `STELLA_GENERATE=1` writes it anew.

use std::path::Path;

#[test]
fn the_openapi_document_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api/openapi.json");
    let wanted = stella_operator::http::document().unwrap();
    if std::env::var_os("STELLA_GENERATE").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let present = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(present == wanted, "{} differs from the handlers; run `make generate`", path.display());
}
