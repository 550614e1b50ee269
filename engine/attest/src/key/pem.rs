//! Key files as text: PKCS#8 (RFC 5958), SEC1 (RFC 5915), SPKI (RFC 5280), in the armour of RFC 7468.

use std::ops::Deref;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};

use super::{Private, Verifying};

/// What armour begins with.
const BEGIN: &str = "-----BEGIN ";
/// What its last line begins with.
const END: &str = "-----END ";
/// What its first and last line end with.
const DASHES: &str = "-----";
/// Bytes of the shortest key in DER: one of Ed25519 that is public.
const SHORTEST: usize = 44;
/// Most keys of one file.
const MOST: usize = 64;

/// The text of a file that holds PEM; nothing for any other.
pub(super) fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.contains(BEGIN))
}

/// Whether it is a key in a form that is not read here. None is a secret: whoever knows a public key could sign with it.
pub(super) fn is_another_form(bytes: &[u8]) -> bool {
    // Between the letters of UTF-16 are zeros.
    let plain: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    let armoured = plain.windows(BEGIN.len()).any(|part| part == BEGIN.as_bytes());
    let ssh = [&b"ssh-"[..], b"ecdsa-sha2-", b"sk-"].iter().any(|start| bytes.starts_with(start));
    // A JSON Web Key (RFC 7517).
    let json = bytes.trim_ascii_start().starts_with(b"{");
    // DER as it is, or in base64 without its armour. Text alone is no DER: keys hold the number of their algorithm.
    let der = is_der(bytes) && !bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    let packed: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bare = STANDARD.decode(packed).is_ok_and(|decoded| decoded.len() >= SHORTEST && is_der(&decoded));
    armoured || ssh || json || der || bare
}

/// Whether it is one DER sequence from beginning to end (X.690, section 8.1.3).
fn is_der(bytes: &[u8]) -> bool {
    match bytes {
        [0x30, length @ 0..=0x7f, rest @ ..] => usize::from(*length) == rest.len(),
        [0x30, 0x81, length, rest @ ..] => usize::from(*length) == rest.len(),
        [0x30, 0x82, high, low, rest @ ..] => usize::from(u16::from_be_bytes([*high, *low])) == rest.len(),
        _ => false,
    }
}

/// Editors and `echo` end a file with a line break that nobody means.
pub(super) fn without_line_break(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// The blocks of a file, what stands between them left out.
pub(super) fn blocks(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.match_indices(BEGIN).map(|(at, _)| at).take(MOST);
    starts.map(|at| {
        let rest = &text[at..];
        let end =
            rest.find(END).and_then(|end| Some(end + END.len() + rest[end + END.len()..].find(DASHES)? + DASHES.len()));
        &rest[..end.unwrap_or(rest.len())]
    })
}

fn label(block: &str) -> &str {
    block.strip_prefix(BEGIN).and_then(|rest| rest.split_once("-----")).map_or("", |(label, _)| label)
}

/// The private key in `text`. `openssl ecparam -genkey` writes a block with the curve before it.
pub(super) fn private(text: &str) -> Result<Private, String> {
    let block = blocks(text).find(|block| label(block) != "EC PARAMETERS").ok_or("there is no PEM in it")?;
    match label(block) {
        "PRIVATE KEY" => {
            if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_pem(block) {
                return Ok(Private::Ed25519(key));
            }
            p256::ecdsa::SigningKey::from_pkcs8_pem(block).map(Private::Es256).map_err(|error| error.to_string())
        }
        "EC PRIVATE KEY" => {
            let key = p256::SecretKey::from_sec1_pem(block).map_err(|error| error.to_string())?;
            Ok(Private::Es256(key.into()))
        }
        label if label.starts_with("ENCRYPTED") => Err(format!("it is encrypted ('{label}')")),
        label => Err(format!("it is '{}'", label.chars().take(40).collect::<String>())),
    }
}

/// The public key in `text`.
pub(super) fn public(text: &str) -> Result<Verifying, String> {
    let block = blocks(text).next().ok_or("there is no PEM in it")?;
    match label(block) {
        "PUBLIC KEY" => {
            if let Ok(key) = ed25519_dalek::VerifyingKey::from_public_key_pem(block) {
                return Ok(Verifying::Ed25519(key));
            }
            p256::ecdsa::VerifyingKey::from_public_key_pem(block)
                .map(Verifying::Es256)
                .map_err(|error| error.to_string())
        }
        label => Err(format!("it is '{}'", label.chars().take(40).collect::<String>())),
    }
}

pub(super) fn of_private(key: &Private) -> Result<impl Deref<Target = String> + use<>, String> {
    match key {
        Private::Ed25519(key) => {
            let pair = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
            pair.to_pkcs8_pem(LineEnding::LF).map_err(|error| error.to_string())
        }
        Private::Es256(key) => key.to_pkcs8_pem(LineEnding::LF).map_err(|error| error.to_string()),
        Private::Hs256(_) => Err("it is a shared secret".to_owned()),
    }
}

/// Nothing for a shared secret.
pub(super) fn of_public(key: &Verifying) -> Option<Result<String, String>> {
    match key {
        Verifying::Ed25519(key) => Some(key.to_public_key_pem(LineEnding::LF).map_err(|error| error.to_string())),
        Verifying::Es256(key) => Some(key.to_public_key_pem(LineEnding::LF).map_err(|error| error.to_string())),
        Verifying::Hs256(_) => None,
    }
}
