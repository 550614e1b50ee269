//! Texts of a document, borrowed from it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A text as it stands in the document, or a copy where it is written with escapes. [`Cow`] alone would not borrow
/// within an `Option` or a `Vec`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text<'d>(Cow<'d, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl<'d> From<&'d str> for Text<'d> {
    fn from(text: &'d str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl<'de: 'd, 'd> Deserialize<'de> for Text<'d> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(deserializer.deserialize_str(Borrowing)?))
    }
}

struct Borrowing;

impl<'de> Visitor<'de> for Borrowing {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_escapes_is_copied() {
        let texts: Vec<Option<Text<'_>>> = serde_json::from_str(r#"["a","\u0061",null,""]"#).unwrap();
        let copied: Vec<Option<bool>> =
            texts.iter().map(|text| text.as_ref().map(|text| matches!(text.0, Cow::Owned(_)))).collect();
        assert_eq!(copied, [Some(false), Some(true), None, Some(false)]);
        assert_eq!(texts[0].as_deref(), texts[1].as_deref());
    }

    #[test]
    fn anything_else_is_refused_as_it_is_for_an_owned_text() {
        for json in ["5", "null", "[]", "{}", "true", "\"", "\"\\x\""] {
            let owned = serde_json::from_str::<String>(json).unwrap_err().to_string();
            assert_eq!(serde_json::from_str::<Text<'_>>(json).unwrap_err().to_string(), owned);
        }
    }
}
