//! Time stamps of authorities (RFC 3161): a signed statement that some bytes existed at a time. They are CMS (RFC 5652) in DER;
//! BER, which CMS allows outside of what is signed, is not read.

use stella_domain::Timestamp;
use webpki::KeyUsage;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::asn1::{self, Item};
use crate::certificate;
use crate::key::{Hash, PublicKey};
use crate::trust_root::{Authority, TrustRoot};

/// Bytes of a time stamp; one with a chain of certificates has some 6,000.
pub(crate) const LONGEST: usize = 64 << 10;
/// Certificates, attributes or signatures of a time stamp.
const MOST: usize = 32;

/// The extended key usage "time stamping", 1.3.6.1.5.5.7.3.8.
pub(crate) const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];
/// 1.2.840.113549.1.7.2, id-signedData.
pub(crate) const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// 1.2.840.113549.1.9.16.1.4, id-ct-TSTInfo.
pub(crate) const STAMP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 4];
/// Attributes: the type of what is signed, 1.2.840.113549.1.9.3; its digest, 1.2.840.113549.1.9.4; by which certificate (RFC 5035),
/// 1.2.840.113549.1.9.16.2.47.
pub(crate) const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
pub(crate) const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
pub(crate) const SIGNING_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 47];
/// Hashes, 2.16.840.1.101.3.4.2.
static HASHES: [(&[u8], Hash); 3] = [
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1], Hash::Sha256),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2], Hash::Sha384),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3], Hash::Sha512),
];
/// Kinds of signatures with the hash that they name: ECDSA (1.2.840.10045.4.3), PKCS #1 v1.5 (1.2.840.113549.1.1) and Ed25519
/// (1.3.101.112), which has its own. One of PKCS #1 leaves it to the hash of the digest.
static SIGNATURES: [(&[u8], Option<Hash>); 8] = [
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], Some(Hash::Sha256)),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], Some(Hash::Sha384)),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4], Some(Hash::Sha512)),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1], None),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], Some(Hash::Sha256)),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12], Some(Hash::Sha384)),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13], Some(Hash::Sha512)),
    (&[0x2b, 0x65, 0x70], Some(Hash::Sha512)),
];
/// Tags `[0]` and `[1]` of items with items in them, and `[0]` of bytes.
pub(crate) const FIRST: u8 = 0xa0;
const SECOND: u8 = 0xa1;
const FIRST_BYTES: u8 = 0x80;

/// When an authority of `root` saw `signature`, by its `response` (TimeStampResp).
///
/// # Errors
/// What is wrong with it.
pub(crate) fn verify(response: &[u8], signature: &[u8], root: &TrustRoot) -> Result<Timestamp, String> {
    if response.len() > LONGEST {
        return Err(format!("it has {} bytes, at most {LONGEST} are read", response.len()));
    }
    let token = Token::read(response)?;
    let at = token.is_of(signature)?;
    if root.timestamp_authorities.is_empty() {
        return Err("the trust root names no timestampAuthorities".to_owned());
    }
    let mut reason = format!("no timestamp authority of the trust root was in use at {at}");
    for authority in root.timestamp_authorities.iter().filter(|authority| authority.valid.has(at)) {
        match token.is_by(authority, at) {
            Ok(()) => return Ok(at),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

/// A time stamp with its one signature.
struct Token<'a> {
    /// What is signed (TSTInfo).
    info: &'a [u8],
    certificates: Vec<Item<'a>>,
    signer: Signature<'a>,
}

/// A signature (SignerInfo).
struct Signature<'a> {
    /// Which certificate it is by.
    by: Item<'a>,
    digest: Hash,
    attributes: Item<'a>,
    hash: Hash,
    bytes: &'a [u8],
}

impl<'a> Token<'a> {
    /// Reads a TimeStampResp (RFC 3161, section 2.4.2).
    fn read(response: &'a [u8]) -> Result<Self, String> {
        let response = Item::only(response)?;
        expect(response, asn1::SEQUENCE, "it")?;
        let mut fields = response.items()?;
        let status = fields.next(asn1::SEQUENCE)?.items()?.next(asn1::INTEGER)?.content;
        if !matches!(status, [0 | 1]) {
            return Err("the authority did not grant it".to_owned());
        }
        let mut content = fields.next(asn1::SEQUENCE)?.items()?;
        fields.end()?;
        if content.next(asn1::OBJECT_IDENTIFIER)?.content != SIGNED_DATA {
            return Err("it is no signed data".to_owned());
        }
        Self::of_signed_data(Item::only(content.next(FIRST)?.content)?)
    }

    /// Reads a SignedData (RFC 5652, section 5.1).
    fn of_signed_data(data: Item<'a>) -> Result<Self, String> {
        expect(data, asn1::SEQUENCE, "its signed data")?;
        let mut fields = data.items()?;
        fields.next(asn1::INTEGER)?;
        fields.next(asn1::SET)?;
        let mut content = fields.next(asn1::SEQUENCE)?.items()?;
        if content.next(asn1::OBJECT_IDENTIFIER)?.content != STAMP {
            return Err("what it signs is no time stamp".to_owned());
        }
        let info = Item::only(content.next(FIRST)?.content)?;
        expect(info, asn1::OCTET_STRING, "what it signs")?;
        let certificates = fields.optional(FIRST)?.map(|set| few(set, "certificates")).transpose()?;
        fields.optional(SECOND)?;
        let signers = few(fields.next(asn1::SET)?, "signatures")?;
        fields.end()?;
        let [signer] = signers[..] else { return Err(format!("it has {} signatures in place of one", signers.len())) };
        let signer = Signature::read(signer)?;
        Ok(Self { info: info.content, certificates: certificates.unwrap_or_default(), signer })
    }

    /// The time that it says of `message` (TSTInfo: RFC 3161, section 2.4.2).
    fn is_of(&self, message: &[u8]) -> Result<Timestamp, String> {
        let info = Item::only(self.info)?;
        expect(info, asn1::SEQUENCE, "what it signs")?;
        let mut fields = info.items()?;
        if fields.next(asn1::INTEGER)?.content != [1] {
            return Err("it is of another version than 1".to_owned());
        }
        fields.next(asn1::OBJECT_IDENTIFIER)?;
        let mut imprint = fields.next(asn1::SEQUENCE)?.items()?;
        let hash = hash(imprint.next(asn1::SEQUENCE)?)?;
        if imprint.next(asn1::OCTET_STRING)?.content != hash.of(message).as_ref() {
            return Err("it is of another signature".to_owned());
        }
        fields.next(asn1::INTEGER)?;
        let time = fields.next(asn1::GENERALIZED_TIME)?.content;
        generalized(time).ok_or_else(|| "its time cannot be read".to_owned())
    }

    /// That `authority` made it at `at`.
    fn is_by(&self, authority: &Authority, at: Timestamp) -> Result<(), String> {
        let own = self.certificates.iter().map(|certificate| certificate.whole);
        let mut known = own.chain(authority.intermediates.iter().map(|certificate| &certificate[..]));
        let der = known
            .find(|der| self.signer.names(der).unwrap_or(false))
            .ok_or("the certificate that it is signed by is neither in it nor in the trust root")?;
        self.signer.verify(self.info, der)?;
        certificate::issued(der, std::slice::from_ref(authority), KeyUsage::required_if_present(TIME_STAMPING), at)
            .map(drop)
            .map_err(|error| format!("the certificate that it is signed by: {error}"))
    }
}

impl<'a> Signature<'a> {
    /// Reads a SignerInfo (RFC 5652, section 5.3).
    fn read(signer: Item<'a>) -> Result<Self, String> {
        expect(signer, asn1::SEQUENCE, "its signature")?;
        let mut fields = signer.items()?;
        fields.next(asn1::INTEGER)?;
        let by = fields.any()?;
        let digest = hash(fields.next(asn1::SEQUENCE)?)?;
        let attributes = fields.next(FIRST)?;
        let algorithm = fields.next(asn1::SEQUENCE)?.items()?.next(asn1::OBJECT_IDENTIFIER)?.content;
        let (_, hash) = SIGNATURES
            .iter()
            .find(|(known, _)| *known == algorithm)
            .ok_or("it is signed in a way that is not known: ECDSA, PKCS #1 v1.5 and Ed25519 are")?;
        let bytes = fields.next(asn1::OCTET_STRING)?.content;
        Ok(Self { by, digest, attributes, hash: hash.unwrap_or(digest), bytes })
    }

    /// Whether it says that it is by this certificate: by issuer and serial number, or by the identifier of the key.
    fn names(&self, der: &[u8]) -> Result<bool, String> {
        if self.by.has_tag(FIRST_BYTES) {
            let (_, certificate) = X509Certificate::from_der(der).map_err(|_| "it is no X.509 certificate")?;
            return Ok(certificate.extensions().iter().any(|extension| {
                matches!(extension.parsed_extension(), ParsedExtension::SubjectKeyIdentifier(id) if id.0 == self.by.content)
            }));
        }
        let mut named = self.by.items()?;
        let (issuer, serial) = (named.next(asn1::SEQUENCE)?, named.next(asn1::INTEGER)?);
        let mut fields = Item::only(der)?.items()?.next(asn1::SEQUENCE)?.items()?;
        fields.optional(FIRST)?;
        let own_serial = fields.next(asn1::INTEGER)?;
        fields.next(asn1::SEQUENCE)?;
        Ok(own_serial.content == serial.content && fields.next(asn1::SEQUENCE)?.whole == issuer.whole)
    }

    /// That it is one of `info` by the certificate `der`, whose one use is to sign time stamps (RFC 3161, section 2.3).
    fn verify(&self, info: &[u8], der: &[u8]) -> Result<(), String> {
        if Item::only(self.attribute(CONTENT_TYPE)?.content)?.content != STAMP {
            return Err("its signature is of something else than a time stamp".to_owned());
        }
        let digest = Item::only(self.attribute(MESSAGE_DIGEST)?.content)?;
        if !digest.has_tag(asn1::OCTET_STRING) || digest.content != self.digest.of(info).as_ref() {
            return Err("its signature is of another time stamp".to_owned());
        }
        let (hash, own) = signing_certificate(self.attribute(SIGNING_CERTIFICATE)?)?;
        if own != hash.of(der).as_ref() {
            return Err("its signature is by another certificate".to_owned());
        }
        // Signed as the set that they are, and not as the field `[0]` that they stand in (RFC 5652, section 5.4).
        let signed = asn1::wrapped(asn1::SET, self.attributes.content);
        if !stamping_key(der)?.verifies_with(self.hash, &signed, self.bytes) {
            return Err("it is not by the key of its certificate".to_owned());
        }
        Ok(())
    }

    /// The values of an attribute, which there has to be once.
    fn attribute(&self, kind: &[u8]) -> Result<Item<'a>, String> {
        let mut found = None;
        for attribute in few(self.attributes, "attributes")? {
            let mut parts = attribute.items()?;
            if parts.next(asn1::OBJECT_IDENTIFIER)?.content == kind {
                let values = parts.next(asn1::SET)?;
                if found.replace(values).is_some() {
                    return Err("its signature has an attribute twice".to_owned());
                }
            }
        }
        found.ok_or_else(|| {
            "its signature lacks an attribute: contentType, messageDigest and signingCertificateV2 are needed"
                .to_owned()
        })
    }
}

/// Hash and digest of the certificate that signs (SigningCertificateV2: RFC 5035, section 3). The first is the signer's.
fn signing_certificate(values: Item<'_>) -> Result<(Hash, &[u8]), String> {
    let certificates = Item::only(values.content)?.items()?.next(asn1::SEQUENCE)?;
    let mut first = certificates.items()?.next(asn1::SEQUENCE)?.items()?;
    let hash = first.optional(asn1::SEQUENCE)?.map_or(Ok(Hash::Sha256), hash)?;
    Ok((hash, first.next(asn1::OCTET_STRING)?.content))
}

/// The key of a certificate that is for time stamps and nothing else.
fn stamping_key(der: &[u8]) -> Result<PublicKey, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| "its certificate is no X.509 certificate")?;
    let usage = certificate.extended_key_usage().map_err(|error| format!("the use of its certificate: {error}"))?;
    let alone = usage.is_some_and(|usage| {
        let uses = usage.value;
        let others =
            [uses.any, uses.server_auth, uses.client_auth, uses.code_signing, uses.email_protection, uses.ocsp_signing];
        usage.critical && uses.time_stamping && !others.contains(&true) && uses.other.is_empty()
    });
    if !alone {
        return Err("its certificate is not for time stamps alone, as a critical extension".to_owned());
    }
    PublicKey::of(certificate.public_key()).map_err(|error| format!("the key of its certificate: {error}"))
}

/// The hash of an AlgorithmIdentifier.
fn hash(algorithm: Item<'_>) -> Result<Hash, String> {
    let oid = algorithm.items()?.next(asn1::OBJECT_IDENTIFIER)?.content;
    let known = HASHES.iter().find(|(known, _)| *known == oid);
    known.map(|(_, hash)| *hash).ok_or_else(|| "its hash is not known: SHA-256, SHA-384 and SHA-512 are".to_owned())
}

fn expect(item: Item<'_>, tag: u8, what: &str) -> Result<(), String> {
    if item.has_tag(tag) { Ok(()) } else { Err(format!("{what} is of another kind than RFC 3161 says")) }
}

/// The items in `item`, where there are not too many.
fn few<'a>(item: Item<'a>, what: &str) -> Result<Vec<Item<'a>>, String> {
    let items = item.items()?.rest()?;
    if items.len() > MOST {
        return Err(format!("it has {} {what}, at most {MOST} are read", items.len()));
    }
    Ok(items)
}

/// A GeneralizedTime with seconds and maybe a fraction, in UTC (RFC 3161, section 2.4.2).
fn generalized(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 14
        || !digits(whole)
        || fraction.is_some_and(|text| !(1..=9).contains(&text.len()) || !digits(text))
    {
        return None;
    }
    let (date, time) = whole.split_at(8);
    let fraction = fraction.map(|fraction| format!(".{fraction}")).unwrap_or_default();
    let text = format!(
        "{}-{}-{}T{}:{}:{}{fraction}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..]
    );
    text.parse().ok()
}

#[cfg(test)]
mod tests;
