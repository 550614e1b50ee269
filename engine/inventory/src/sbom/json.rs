//! JSON of foreign documents: what is wrong with it is told with its place.

use serde::Deserialize;

use super::{SbomError, SbomFormat};

/// Reads a document. A field of the wrong type is named by its path, a broken text by line and column.
pub(super) fn read<'de, T: Deserialize<'de>>(format: SbomFormat, text: &'de str) -> Result<T, SbomError> {
    let plain = match serde_json::from_str(text) {
        Ok(document) => return Ok(document),
        Err(error) => error,
    };
    // Following paths costs time, so only what failed is read again.
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let reason = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) if error.path().iter().next().is_some() => {
            format!("at {}: {}", cut(&error.path().to_string()), cut(&error.inner().to_string()))
        }
        _ => cut(&plain.to_string()),
    };
    Err(malformed(format, reason))
}

fn malformed(format: SbomFormat, reason: String) -> SbomError {
    SbomError::Malformed { format: format.name(), reason }
}

/// A message may quote the document: at most 300 characters of it.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
