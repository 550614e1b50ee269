//! What the types of package URLs demand beyond the syntax (purl-spec, `types/`).
//!
//! Refused is what names no package at all. A namespace that a type asks for and documents in use often leave out
//! (`pkg:rpm/curl@8`) is not missed.

use super::Purl;

/// Whether the namespace is one segment, a host, and the name all that follows.
pub(super) fn name_has_slashes(kind: &str) -> bool {
    kind.eq_ignore_ascii_case("git")
}

/// Puts the parts into the spelling in which the type compares them.
pub(super) fn normalise(purl: &mut Purl) {
    match purl.kind.as_str() {
        "pypi" => {
            lower(&mut purl.name);
            if purl.name.contains('_') {
                purl.name = purl.name.replace('_', "-");
            }
        }
        "alpm" | "apk" | "bitbucket" | "brew" | "composer" | "deb" | "git" | "github" | "hex" | "vscode-extension" => {
            purl.namespace.iter_mut().for_each(lower);
            lower(&mut purl.name);
        }
        "bitnami" | "luarocks" | "oci" | "otp" | "pub" => lower(&mut purl.name),
        "qpkg" | "rpm" => purl.namespace.iter_mut().for_each(lower),
        "huggingface" => purl.version.iter_mut().for_each(lower),
        "mlflow" if purl.qualifiers.get("repository_url").is_some_and(|url| url.contains("databricks")) => {
            lower(&mut purl.name);
        }
        _ => {}
    }
}

/// What is wrong with the parts for their type, but for qualifiers that are still to come.
pub(super) fn check(purl: &Purl) -> Result<(), &'static str> {
    match purl.kind.as_str() {
        "chrome-extension" => chrome_extension(purl),
        "cpan" if purl.name.contains("::") => Err("a CPAN distribution has no '::' in its name"),
        "otp" | "vcpkg" if purl.namespace.is_some() => Err("the type has no namespace"),
        "swift" | "vscode-extension" if purl.namespace.is_none() => Err("the type requires a namespace"),
        _ => Ok(()),
    }
}

/// What is wrong with the whole.
pub(super) fn check_complete(purl: &Purl) -> Result<(), &'static str> {
    match purl.kind.as_str() {
        "julia" if !purl.qualifiers.contains_key("uuid") => Err("the type requires the qualifier 'uuid'"),
        _ => Ok(()),
    }
}

/// Most texts have no capitals; those are left where they are.
fn lower(text: &mut String) {
    if !text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        *text = text.to_lowercase();
    }
}

/// Ids are 32 letters of a to p; versions one to four numbers.
fn chrome_extension(purl: &Purl) -> Result<(), &'static str> {
    if purl.name.len() != 32 || !purl.name.bytes().all(|b| (b'a'..=b'p').contains(&b)) {
        return Err("the id of a Chrome extension has 32 letters of a to p");
    }
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match &purl.version {
        Some(version) if version.split('.').count() > 4 || !version.split('.').all(is_number) => {
            Err("the version of a Chrome extension has one to four numbers")
        }
        _ => Ok(()),
    }
}
