//! Telling a format by the content of a document, never by its name.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use super::json::cut;
use super::xml::root_namespace;
use super::{SbomError, SbomFormat};

/// The text of a document, without the mark of its byte order.
///
/// # Errors
/// When it is not UTF-8: where it stops being so.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str, SbomError> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(SbomError::NotAnSbom { found: "it is UTF-16; the formats are read as UTF-8".into() });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        if let Some(packed) = compression(bytes) {
            return SbomError::NotAnSbom { found: format!("it is compressed with {packed}") };
        }
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        SbomError::NotAnSbom { found: format!("it is not UTF-8: byte {} in line {line}", before.len()) }
    })
}

/// The format of a text.
///
/// # Errors
/// [`SbomError::NotAnSbom`], with what it looks like instead.
pub(super) fn detect(text: &str) -> Result<SbomFormat, SbomError> {
    let start = text.trim_ascii_start();
    let none = |found: String| Err(SbomError::NotAnSbom { found });
    match start.as_bytes().first() {
        None => none("it is empty".into()),
        Some(b'{') => match key_of(start) {
            Ok(Some(format)) => Ok(format),
            Ok(None) => none(fields(start)),
            Err(error) => none(format!("broken JSON: {}", cut(&error.to_string()))),
        },
        Some(b'[') => none("it is a JSON array".into()),
        Some(b'<') => match root_namespace(start)? {
            Some(namespace) if namespace.starts_with("http://cyclonedx.org/schema/bom") => Ok(SbomFormat::CycloneDxXml),
            Some(namespace) => none(format!("it is XML of the namespace '{}'", cut(&namespace))),
            None => none("it is XML or HTML without the namespace of CycloneDX".into()),
        },
        Some(_) if first_line(start).starts_with("SPDXVersion:") => Ok(SbomFormat::SpdxTagValue),
        Some(_) => match compression(start.as_bytes()) {
            Some(packed) => none(format!("it is compressed with {packed}")),
            None => none("it is no JSON, no XML and no SPDX in tag-value form".into()),
        },
    }
}

fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or("")
}

fn compression(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        _ => None,
    }
}

/// The format that the first telling key of the object stands for. A text that breaks off after it is told as well,
/// so that the format's own reader says what is wrong.
fn key_of(text: &str) -> Result<Option<SbomFormat>, serde_json::Error> {
    let mut found = None;
    let result = serde_json::Deserializer::from_str(text).deserialize_map(Keys(&mut found));
    match result {
        Err(error) if found.is_none() => Err(error),
        _ => Ok(found),
    }
}

struct Keys<'f>(&'f mut Option<SbomFormat>);

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            *self.0 = match &*key {
                "bomFormat" => Some(SbomFormat::CycloneDx),
                "spdxVersion" => Some(SbomFormat::Spdx),
                "@graph" => Some(SbomFormat::Spdx3),
                "SchemaVersion" => Some(SbomFormat::Trivy),
                "artifacts" | "artifactRelationships" => Some(SbomFormat::Syft),
                _ => None,
            };
            if self.0.is_some() {
                return Ok(());
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

fn fields(text: &str) -> String {
    match serde_json::from_str::<std::collections::BTreeMap<String, IgnoredAny>>(text) {
        Ok(fields) => {
            let names: Vec<String> = fields.into_keys().take(8).collect();
            cut(&format!("a JSON object with the fields {}", names.join(", ")))
        }
        Err(error) => format!("broken JSON: {}", cut(&error.to_string())),
    }
}
