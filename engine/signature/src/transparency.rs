//! Signed certificate timestamps: the promise of a log of certificates to list a certificate (RFC 6962, sections 3.2 and 3.3), as
//! Fulcio embeds it.

use stella_domain::{Digest, Timestamp};

use crate::asn1::{self, Item};
use crate::trust_root::{Log, TrustRoot, log_of};

/// The extension with the promises, 1.3.6.1.4.1.11129.2.4.2.
const PROMISES: &[u8] = &[0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 2];
/// The tag `[3]` of a certificate's extensions.
const EXTENSIONS: u8 = 0xa3;
/// Promises in a certificate that are looked at.
const MOST: usize = 16;

/// A promise as it came.
struct Promise<'a> {
    log: &'a [u8],
    /// Milliseconds since 1970.
    at: u64,
    extensions: &'a [u8],
    /// Numbers of the hash and of the kind of the signature (RFC 5246, section 7.4.1.4.1).
    algorithm: [u8; 2],
    signature: &'a [u8],
}

/// That a log of `root` promised to list the certificate, whose issuer has the key `issuer` (SubjectPublicKeyInfo). Where `root`
/// names no logs of certificates, none is asked for.
///
/// # Errors
/// What is wrong with its promises: the reason against the last of them.
pub(crate) fn verify(certificate: &[u8], issuer: &[u8], root: &TrustRoot) -> Result<(), String> {
    if root.ct_logs.is_empty() {
        return Ok(());
    }
    let (list, precertificate) = parts(certificate)?;
    let promises = promises(list).ok_or("their list cannot be read")?;
    let issuer = Digest::of(issuer);
    let mut reason = "their list is empty".to_owned();
    for promise in promises {
        let promise = promise.ok_or_else(|| "it is of another version than 1".to_owned());
        match promise.and_then(|promise| promise.verify(&root.ct_logs, &issuer, &precertificate)) {
            Ok(()) => return Ok(()),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

/// The list of promises in a certificate, and what the logs had of it: all that its issuer signs but for the list.
fn parts(certificate: &[u8]) -> Result<(&[u8], Vec<u8>), String> {
    let signed = Item::only(certificate)?.items()?.next(asn1::SEQUENCE)?;
    let (mut kept, mut list) = (Vec::new(), None);
    for field in signed.items()?.rest()? {
        if !field.has_tag(EXTENSIONS) {
            kept.extend_from_slice(field.whole);
            continue;
        }
        let mut others = Vec::new();
        for extension in Item::only(field.content)?.items()?.rest()? {
            let mut fields = extension.items()?;
            if fields.next(asn1::OBJECT_IDENTIFIER)?.content == PROMISES {
                let value = fields.rest()?.pop().filter(|value| value.has_tag(asn1::OCTET_STRING));
                // There is one: whoever reads a certificate first refuses an extension that is there twice.
                list = Some(value.ok_or("their extension has no value")?.content);
            } else {
                others.extend_from_slice(extension.whole);
            }
        }
        kept.extend_from_slice(&asn1::wrapped(EXTENSIONS, &asn1::wrapped(asn1::SEQUENCE, &others)));
    }
    let list = list.ok_or("the certificate has none")?;
    Ok((list, asn1::wrapped(asn1::SEQUENCE, &kept)))
}

/// The promises of a list; `None` in place of one whose version is not known.
fn promises(list: &[u8]) -> Option<Vec<Option<Promise<'_>>>> {
    let list = Item::only(list).ok().filter(|list| list.has_tag(asn1::OCTET_STRING))?;
    let mut outer = list.content;
    let mut inner = prefixed(&mut outer)?;
    if !outer.is_empty() {
        return None;
    }
    let mut promises = Vec::new();
    while !inner.is_empty() {
        if promises.len() == MOST {
            return None;
        }
        let bytes = prefixed(&mut inner)?;
        let known = bytes.first()? == &0;
        promises.push(if known { Some(promise(bytes)?) } else { None });
    }
    Some(promises)
}

fn promise(mut bytes: &[u8]) -> Option<Promise<'_>> {
    let [_version] = taken(&mut bytes)?;
    let (log, rest) = bytes.split_at_checked(32)?;
    bytes = rest;
    let at = u64::from_be_bytes(taken(&mut bytes)?);
    let extensions = prefixed(&mut bytes)?;
    let algorithm = taken(&mut bytes)?;
    let signature = prefixed(&mut bytes)?;
    bytes.is_empty().then_some(Promise { log, at, extensions, algorithm, signature })
}

/// The next `N` bytes.
fn taken<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

/// The next bytes, whose number stands before them in two.
fn prefixed<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (taken, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *bytes = rest;
    Some(taken)
}

impl Promise<'_> {
    fn verify(&self, logs: &[Log], issuer: &Digest, precertificate: &[u8]) -> Result<(), String> {
        let at = Timestamp::from_millis(i64::try_from(self.at).unwrap_or(i64::MAX));
        let log = log_of(logs, "ctlogs", self.log, &[at])?;
        if self.algorithm != log.key.tls_algorithm() {
            return Err(format!("it is signed in another way than the key of the log {} signs", hex::encode(self.log)));
        }
        let signed = self.signed(issuer, precertificate).ok_or("the certificate is too long")?;
        if !log.key.verifies(&signed, self.signature) {
            return Err(format!(
                "it is not by the key of the log {}, or of another certificate",
                hex::encode(self.log)
            ));
        }
        Ok(())
    }

    /// What the log signs (RFC 6962, section 3.2): version 1, the kind "certificate timestamp", and an entry of the kind
    /// "precertificate".
    fn signed(&self, issuer: &Digest, precertificate: &[u8]) -> Option<Vec<u8>> {
        let [0, length @ ..] = u32::try_from(precertificate.len()).ok()?.to_be_bytes() else { return None };
        let extensions = u16::try_from(self.extensions.len()).ok()?.to_be_bytes();
        let parts: [&[u8]; 8] = [
            &[0, 0],
            &self.at.to_be_bytes(),
            &[0, 1],
            issuer.as_bytes(),
            &length,
            precertificate,
            &extensions,
            self.extensions,
        ];
        Some(parts.concat())
    }
}

#[cfg(test)]
mod tests;
