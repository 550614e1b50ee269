//! The list of what is revoked, signed, for whoever checks tokens on their own.

use serde::Serialize;
use serde_json::Value;
use stella_domain::{Digest, Timestamp};

use crate::authority::Authority;
use crate::jose::{self, JoseError, Jwks};
use crate::vault::Revocation;

/// The type of the signature.
pub const TYPE: &str = "stella-revocations+json";
/// The version of the bundle.
const SCHEMA: u32 = 1;
/// The longest bundle that is read.
const MAX_BUNDLE: usize = 16 * 1024 * 1024;

/// A bundle in three files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// `revocation-bundle.json`: canonical JSON (RFC 8785).
    pub bundle: Vec<u8>,
    /// `revocation-bundle.json.jws`: detached as of RFC 7515, appendix F.
    pub jws: String,
    /// `revocation-bundle.json.sha256`, 64 hex digits.
    pub sha256: String,
    /// The key that signed.
    pub kid: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bundle<'a> {
    schema_version: u32,
    issuer: String,
    /// When the newest entry was revoked: the same list is the same bytes, whenever it is asked for.
    issued_at: Option<Timestamp>,
    revocations: &'a [Revocation],
}

/// Why a bundle is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The signature does not hold.
    #[error("the signature of the bundle is refused: {0}")]
    Jose(#[from] JoseError),
    /// It is longer than is read.
    #[error("the bundle is longer than {MAX_BUNDLE} bytes")]
    TooLong,
}

/// Signs `revocations`, which are sorted.
///
/// # Errors
/// When the key cannot sign.
pub fn export(authority: &Authority, revocations: &[Revocation]) -> Result<Export, JoseError> {
    let bundle = Bundle {
        schema_version: SCHEMA,
        issuer: authority.settings.own_issuer(),
        issued_at: revocations.iter().map(|one| one.revoked_at).max(),
        revocations,
    };
    let value = serde_json::to_value(&bundle).map_err(|_| JoseError::Json("bundle"))?;
    let bundle = serde_json_canonicalizer::to_vec(&value).map_err(|_| JoseError::Json("bundle"))?;
    let ring = authority.keys.ring();
    let jws = jose::detach(&jose::sign(ring.active(), TYPE, &bundle)?);
    let sha256 = Digest::of(&bundle).hex();
    Ok(Export { bundle, jws, sha256, kid: ring.active().kid().to_owned() })
}

/// Checks the detached signature `jws` of `bundle` with a key of `keys`.
///
/// # Errors
/// When it does not hold.
pub fn verify(bundle: &[u8], jws: &str, keys: &Value) -> Result<(), BundleError> {
    if bundle.len() > MAX_BUNDLE {
        return Err(BundleError::TooLong);
    }
    let whole = jose::reattach(jws, bundle)?;
    // The header stands alone: only tokens have a limit that is far below a bundle's size.
    let header = format!("{}.e30.AA", whole.split('.').next().unwrap_or_default());
    let parts = jose::split(&header)?;
    if parts.typ.as_deref() != Some(TYPE) {
        return Err(
            JoseError::Type { got: parts.typ.unwrap_or_default().chars().take(40).collect(), wanted: TYPE }.into()
        );
    }
    let kid = parts.kid.as_deref();
    let keys = Jwks::read(keys)?;
    let key =
        keys.find(kid).ok_or_else(|| JoseError::UnknownKey(kid.unwrap_or_default().chars().take(64).collect()))?;
    Ok(jose::verify(&whole, parts.algorithm, key)?)
}
