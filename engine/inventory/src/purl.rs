//! Package URLs (purl-spec, ECMA-427).

mod percent;
mod rules;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use percent::{decode, decode_segments, encode, encode_segments};

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
        Self::of(kind, namespace.map(str::to_owned), name.to_owned(), version.map(str::to_owned))
    }

    fn of(kind: &str, namespace: Option<String>, name: String, version: Option<String>) -> Result<Self, &'static str> {
        let purl = Self {
            kind: kind.to_ascii_lowercase(),
            namespace: namespace.filter(|namespace| !namespace.is_empty()),
            name,
            version: version.filter(|version| !version.is_empty()),
            qualifiers: BTreeMap::new(),
            subpath: None,
        };
        purl.normalised()
    }

    /// The same with another qualifier; an empty value adds none.
    ///
    /// # Errors
    /// When the key has characters that keys cannot have.
    pub fn with(self, key: &str, value: &str) -> Result<Self, &'static str> {
        self.qualified(key, Cow::Borrowed(value))
    }

    fn qualified(mut self, key: &str, value: Cow<'_, str>) -> Result<Self, &'static str> {
        let key = key.to_ascii_lowercase();
        if !is_key(&key) {
            return Err("a qualifier has a malformed key");
        }
        if !value.is_empty() {
            self.qualifiers.insert(key, value.into_owned());
            rules::normalise(&mut self);
        }
        Ok(self)
    }

    /// Reads a URL as [`FromStr`] does, and refuses keys of qualifiers that begin with a capital. (Keys are lowered
    /// otherwise. The suite of the specification refuses `Arch=` and takes `repositorY_url=`.)
    ///
    /// # Errors
    /// As [`FromStr`].
    pub fn parse_strict(text: &str) -> Result<Self, PurlError> {
        parse(text, true).map_err(|reason| PurlError::new(text, reason))
    }

    /// The same, when it has the qualifiers that its type requires.
    ///
    /// # Errors
    /// What is missing.
    pub fn complete(self) -> Result<Self, &'static str> {
        rules::check_complete(&self)?;
        Ok(self)
    }

    fn normalised(mut self) -> Result<Self, &'static str> {
        if !is_type(&self.kind) {
            return Err("the type is missing or malformed");
        }
        if rules::name_has_slashes(&self.kind) {
            let segments: Vec<&str> = self.name.split('/').filter(|segment| !segment.is_empty()).collect();
            self.name = segments.join("/");
        }
        if self.name.is_empty() {
            return Err("the name is missing");
        }
        rules::normalise(&mut self);
        rules::check(&self)?;
        Ok(self)
    }
}

fn parse(text: &str, strict: bool) -> Result<Purl, &'static str> {
    let rest = text.split_once(':').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("pkg"));
    let rest = rest.ok_or("it does not begin with pkg:")?.1.trim_start_matches('/');
    let (rest, subpath) = rest.rsplit_once('#').map_or((rest, None), |(rest, subpath)| (rest, Some(subpath)));
    let (rest, query) = rest.rsplit_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
    let (kind, rest) = rest.split_once('/').ok_or("it has no type")?;
    let rest = rest.trim_matches('/');
    // An unencoded @ at the start of a segment begins a scope, not a version.
    let is_version =
        |(before, after): &(&str, &str)| !after.contains('/') || (!before.is_empty() && !before.ends_with('/'));
    let versioned = rest.rsplit_once('@').filter(is_version);
    let (rest, version) = versioned.map_or((rest, None), |(rest, version)| (rest, Some(version)));
    let parted = if rules::name_has_slashes(kind) { rest.split_once('/') } else { rest.rsplit_once('/') };
    let (namespace, name) = parted.map_or((None, rest), |(namespace, name)| (Some(namespace), name));
    let namespace = namespace.map(|text| decode_segments(text, |_| true)).transpose()?;
    let version = version.map(decode).transpose()?.map(Cow::into_owned);
    let mut purl = Purl::of(kind, namespace, decode(name)?.into_owned(), version)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or("a qualifier has no value")?;
        if strict && key.starts_with(|c: char| c.is_ascii_uppercase()) {
            return Err("the key of a qualifier begins with a capital");
        }
        purl = purl.qualified(key, decode(value)?)?;
    }
    let is_real = |segment: &str| segment != "." && segment != "..";
    purl.subpath = subpath.map(|text| decode_segments(text, is_real)).transpose()?.filter(|path| !path.is_empty());
    purl.complete()
}

impl PurlError {
    fn new(text: &str, reason: &'static str) -> Self {
        Self { text: text.chars().take(200).collect(), reason }
    }
}

impl FromStr for Purl {
    type Err = PurlError;

    fn from_str(text: &str) -> Result<Self, PurlError> {
        parse(text, false).map_err(|reason| PurlError::new(text, reason))
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
        if rules::name_has_slashes(&self.kind) {
            encode_segments(f, &self.name)?;
        } else {
            encode(f, &self.name)?;
        }
        if let Some(version) = &self.version {
            f.write_char('@')?;
            encode(f, version)?;
        }
        for (index, (key, value)) in self.qualifiers.iter().enumerate() {
            write!(f, "{}{key}=", if index == 0 { '?' } else { '&' })?;
            encode(f, value)?;
        }
        self.subpath.iter().try_for_each(|path| {
            f.write_char('#')?;
            encode_segments(f, path)
        })
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
            ("pkg:git/host.example//a//b%2F/@///#c", "pkg:git/host.example/a/b#c"),
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
            "pkg:maven/@1",
            "pkg:git/host.example/%2F",
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
