//! Package URLs (purl-spec, ECMA-427).

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// A package URL: `pkg:type/namespace/name@version?qualifiers#subpath`, its parts decoded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purl {
    /// Type, lower case.
    pub kind: String,
    /// Namespace, its segments joined by `/`.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Version.
    pub version: Option<String>,
    /// Qualifiers by key; none is empty.
    pub qualifiers: BTreeMap<String, String>,
    /// Path within the package, without slashes around it.
    pub subpath: Option<String>,
}

/// Why a text is no package URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a package URL: {reason}")]
pub struct PurlError {
    /// What was given, cut to 200 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Purl {
    /// A URL of these parts, normalised as its type demands.
    ///
    /// # Errors
    /// The name of the part that is missing or malformed.
    pub fn new(kind: &str, namespace: Option<&str>, name: &str, version: Option<&str>) -> Result<Self, &'static str> {
        let purl = Self {
            kind: kind.to_ascii_lowercase(),
            namespace: namespace.map(str::to_owned).filter(|namespace| !namespace.is_empty()),
            name: name.to_owned(),
            version: version.map(str::to_owned).filter(|version| !version.is_empty()),
            qualifiers: BTreeMap::new(),
            subpath: None,
        };
        purl.normalised()
    }

    /// The same with another qualifier; an empty value adds none.
    ///
    /// # Errors
    /// When the key has characters that keys cannot have.
    pub fn with(mut self, key: &str, value: &str) -> Result<Self, &'static str> {
        let key = key.to_ascii_lowercase();
        if !is_key(&key) {
            return Err("a qualifier has a malformed key");
        }
        if !value.is_empty() {
            self.qualifiers.insert(key, value.to_owned());
        }
        Ok(self)
    }

    fn normalised(mut self) -> Result<Self, &'static str> {
        if !is_type(&self.kind) {
            return Err("the type is missing or malformed");
        }
        if self.name.is_empty() {
            return Err("the name is missing");
        }
        match self.kind.as_str() {
            "pypi" => self.name = self.name.to_lowercase().replace('_', "-"),
            "deb" | "apk" | "composer" | "github" | "bitbucket" => {
                self.name = self.name.to_lowercase();
                self.namespace = self.namespace.map(|namespace| namespace.to_lowercase());
            }
            "rpm" => self.namespace = self.namespace.map(|namespace| namespace.to_lowercase()),
            _ => {}
        }
        Ok(self)
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = text.split_once(':').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("pkg"));
        let rest = rest.ok_or("it does not begin with pkg:")?.1.trim_start_matches('/');
        let (rest, subpath) = rest.rsplit_once('#').map_or((rest, None), |(rest, subpath)| (rest, Some(subpath)));
        let (rest, query) = rest.rsplit_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
        let (kind, rest) = rest.split_once('/').ok_or("it has no type")?;
        let rest = rest.trim_matches('/');
        // An unencoded @ at the start of a segment begins a scope, not a version.
        let versioned = rest.rsplit_once('@').filter(|(before, _)| !before.is_empty() && !before.ends_with('/'));
        let (rest, version) = versioned.map_or((rest, None), |(rest, version)| (rest, Some(version)));
        let (namespace, name) =
            rest.trim_end_matches('/').rsplit_once('/').map_or((None, rest), |(n, name)| (Some(n), name));
        let namespace = namespace.map(|text| decode_segments(text, |_| true)).transpose()?;
        let version = version.map(decode).transpose()?;
        let mut purl = Self::new(kind, namespace.as_deref(), &decode(name)?, version.as_deref())?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or("a qualifier has no value")?;
            purl = purl.with(key, &decode(value)?)?;
        }
        let is_real = |segment: &str| segment != "." && segment != "..";
        purl.subpath = subpath.map(|text| decode_segments(text, is_real)).transpose()?.filter(|path| !path.is_empty());
        Ok(purl)
    }
}

impl FromStr for Purl {
    type Err = PurlError;

    fn from_str(text: &str) -> Result<Self, PurlError> {
        Self::parse(text).map_err(|reason| PurlError { text: text.chars().take(200).collect(), reason })
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pkg:{}/", self.kind)?;
        if let Some(namespace) = &self.namespace {
            for segment in namespace.split('/').filter(|segment| !segment.is_empty()) {
                encode(f, segment)?;
                f.write_char('/')?;
            }
        }
        encode(f, &self.name)?;
        if let Some(version) = &self.version {
            f.write_char('@')?;
            encode(f, version)?;
        }
        for (index, (key, value)) in self.qualifiers.iter().enumerate() {
            write!(f, "{}{key}=", if index == 0 { '?' } else { '&' })?;
            encode(f, value)?;
        }
        for (index, segment) in self.subpath.iter().flat_map(|path| path.split('/')).enumerate() {
            f.write_char(if index == 0 { '#' } else { '/' })?;
            encode(f, segment)?;
        }
        Ok(())
    }
}

fn is_type(kind: &str) -> bool {
    kind.starts_with(|c: char| c.is_ascii_lowercase())
        && kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
}

fn is_key(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'))
}

fn encode(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.bytes().try_for_each(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => f.write_char(char::from(byte)),
        byte => write!(f, "%{byte:02X}"),
    })
}

fn decode(text: &str) -> Result<String, &'static str> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let decoded = match byte {
            b'%' => digit().zip(digit()).and_then(|(high, low)| u8::try_from(high * 16 + low).ok()),
            byte => Some(byte),
        };
        bytes.push(decoded.ok_or("a percent sign is not followed by two hex digits")?);
    }
    String::from_utf8(bytes).map_err(|_| "a part is not UTF-8")
}

fn decode_segments(text: &str, keep: impl Fn(&str) -> bool) -> Result<String, &'static str> {
    let segments: Result<Vec<String>, _> = text.split('/').filter(|segment| !segment.is_empty()).map(decode).collect();
    Ok(segments?.into_iter().filter(|segment| keep(segment)).collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms() {
        for (text, canonical) in [
            ("pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64", "pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64"),
            ("pkg:PYPI/Django_package@1.11.1.dev1", "pkg:pypi/django-package@1.11.1.dev1"),
            ("pkg:npm/@babel/core#/a/../b/", "pkg:npm/%40babel/core#a/b"),
            ("pkg:npm/%40babel/core@7.0.0", "pkg:npm/%40babel/core@7.0.0"),
            ("pkg://maven/g/a@1?b=2&a=1&c=", "pkg:maven/g/a@1?a=1&b=2"),
            ("pkg:golang/github.com/ProtonMail/x@v1", "pkg:golang/github.com/ProtonMail/x@v1"),
        ] {
            assert_eq!(text.parse::<Purl>().unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn malformed_urls_are_refused() {
        for text in [
            "",
            "pkg:",
            "x",
            "pkg:npm",
            "pkg:npm/",
            "pkg:3x/a",
            "pkg:npm/a?b",
            "pkg:npm/a@%zz",
            "pkg:npm/a?a b=c",
            "pkg%3Anpm/a",
        ] {
            assert!(text.parse::<Purl>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn reads_what_it_writes(name in "[^/]{1,12}", version in ".{0,8}", value in ".{0,8}") {
            let purl = Purl::new("generic", Some("a/b"), &name, Some(&version)).unwrap().with("k", &value).unwrap();
            proptest::prop_assert_eq!(purl.to_string().parse::<Purl>(), Ok(purl));
        }

        #[test]
        fn never_panics(text: String) {
            let _ = text.parse::<Purl>();
            let _ = format!("pkg:{text}").parse::<Purl>();
        }
    }
}
