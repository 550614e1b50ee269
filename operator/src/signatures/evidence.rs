//! What is attached to an image, weighed by who is believed. Pure.

use std::collections::BTreeSet;

use stella_domain::Digest;
use stella_inventory::{Limits, sbom};
use stella_registry::Attachment;
use stella_signature::{BUNDLE_TYPE, Claim, SIMPLE_SIGNING_TYPE, Signed, TrustRoot, cut};

use super::demand::Authority;

/// What the kinds of envelopes begin with, as cosign before version 3 attaches attestations.
const ENVELOPES: &str = "application/vnd.dsse.envelope";
/// What the kinds of sigstore bundles begin with.
const BUNDLES: &str = "application/vnd.dev.sigstore.bundle";
/// Kinds of SBOMs that are attached as they are.
const SBOM_TYPES: [&str; 10] = [
    "application/spdx+json",
    "text/spdx+json",
    "text/spdx",
    "text/spdx+xml",
    "application/vnd.cyclonedx+json",
    "application/vnd.cyclonedx+xml",
    "application/vnd.cyclonedx",
    "application/vnd.syft+json",
    "application/vnd.syft",
    "application/vnd.in-toto.spdx+json",
];
/// What the predicates of SBOMs begin with.
const SBOM_PREDICATES: [&str; 3] = ["https://spdx.dev/Document", "https://cyclonedx.org/bom", "https://syft.dev/bom"];
/// Reasons that are told of one image.
const TOLD: usize = 3;

/// What counts for one authority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    /// The digests that a signature is of.
    pub(super) signed: BTreeSet<Digest>,
    /// Those that an SBOM is of.
    pub(super) sbom: BTreeSet<Digest>,
    /// The repositories where these signatures lie.
    pub(super) signed_places: BTreeSet<String>,
    /// The same of SBOMs.
    pub(super) sbom_places: BTreeSet<String>,
    /// Why it does not count, for people.
    pub(super) detail: String,
}

/// Whether a part of this kind may be evidence.
pub(super) fn is_evidence(media_type: &str) -> bool {
    let kind = media_type.split(';').next().unwrap_or_default().trim();
    kind == SIMPLE_SIGNING_TYPE
        || kind.starts_with(ENVELOPES)
        || kind.starts_with(BUNDLES)
        || SBOM_TYPES.contains(&kind)
}

/// A part as it was read.
enum Read {
    Signed(Box<Signed>, Claim),
    Sbom(Vec<u8>),
}

/// What `parts`, which are attached to an image or to an index that lists it, whose digests are `images`, prove to each of
/// `authorities`, in their order.
pub(super) fn weigh(
    parts: &[Attachment],
    images: &[Digest],
    authorities: &[&Authority],
    root: Option<&TrustRoot>,
    limits: &Limits,
) -> Vec<Evidence> {
    let (mut found, mut against): (Vec<Evidence>, Vec<Vec<String>>) =
        (vec![Evidence::default(); authorities.len()], vec![Vec::new(); authorities.len()]);
    for part in parts {
        let read = match read(part, images) {
            Ok(read) => read,
            Err(reason) => {
                against.iter_mut().for_each(|reasons| reasons.push(reason.clone()));
                continue;
            }
        };
        // What it says is the same to everybody, and an SBOM is read once.
        let (mut is_sbom, mut of) = (None, None);
        for ((authority, evidence), reasons) in authorities.iter().zip(&mut found).zip(&mut against) {
            match proves(&read, authority, root, limits, &mut is_sbom) {
                Ok(Proved::Signature) => {
                    evidence.signed.extend(of.get_or_insert_with(|| subjects(&read, part, images)).iter());
                    evidence.signed_places.extend(part.places.iter().cloned());
                }
                Ok(Proved::Sbom) => {
                    evidence.sbom.extend(of.get_or_insert_with(|| subjects(&read, part, images)).iter());
                    evidence.sbom_places.extend(part.places.iter().cloned());
                }
                Ok(Proved::Nothing) => {}
                Err(reason) => reasons.push(reason),
            }
        }
    }
    for (evidence, mut reasons) in found.iter_mut().zip(against) {
        reasons.sort();
        reasons.dedup();
        let more = reasons.len().saturating_sub(TOLD);
        reasons.truncate(TOLD);
        if more > 0 {
            reasons.push(format!("and {more} more"));
        }
        let is_bare = evidence.signed.is_empty() && evidence.sbom.is_empty();
        let nothing = if is_bare { "nothing" } else { "nothing else" };
        evidence.detail = if reasons.is_empty() { format!("{nothing} is attached to it") } else { reasons.join("; ") };
    }
    found
}

/// Those of `images` that a part is of: what is signed says so itself, and what is not is of what it is attached to.
fn subjects(read: &Read, part: &Attachment, images: &[Digest]) -> Vec<Digest> {
    let is_of = |image: &&Digest| match read {
        Read::Signed(signed, _) => signed.claim(std::slice::from_ref(*image)).is_ok(),
        Read::Sbom(_) => part.subject == **image,
    };
    images.iter().filter(is_of).copied().collect()
}

enum Proved {
    Signature,
    Sbom,
    Nothing,
}

fn proves(
    read: &Read,
    authority: &Authority,
    root: Option<&TrustRoot>,
    limits: &Limits,
    is_sbom: &mut Option<Result<(), String>>,
) -> Result<Proved, String> {
    let (signed, claim) = match (read, authority) {
        (Read::Sbom(bytes), Authority::Anybody) => {
            is_sbom.get_or_insert_with(|| check(bytes, limits)).clone()?;
            return Ok(Proved::Sbom);
        }
        (Read::Sbom(_), Authority::Signer(_)) => return Err("an SBOM is attached that nobody signed".to_owned()),
        (Read::Signed(signed, claim), _) => (signed, claim),
    };
    if let Authority::Signer(signer) = authority {
        signer.verify(signed, root).map_err(|refusal| refusal.to_string())?;
    }
    match (claim, authority) {
        (Claim::Signature, Authority::Signer(_)) => Ok(Proved::Signature),
        // Whoever made it, nobody asked who.
        (Claim::Signature, Authority::Anybody) => Ok(Proved::Nothing),
        (Claim::Attestation { predicate_type, predicate }, _) => {
            if !SBOM_PREDICATES.iter().any(|known| predicate_type.starts_with(known)) {
                let kind = cut(predicate_type);
                return Err(format!("an attestation of the type '{kind}' is neither a signature nor an SBOM"));
            }
            is_sbom.get_or_insert_with(|| check(&document(predicate), limits)).clone()?;
            Ok(Proved::Sbom)
        }
    }
}

/// Reads a part, and what it says of `images`.
fn read(part: &Attachment, images: &[Digest]) -> Result<Read, String> {
    let kind = part.media_type.split(';').next().unwrap_or_default().trim();
    let signed = match kind {
        SIMPLE_SIGNING_TYPE => Signed::from_simple_signing(&part.bytes, &part.annotations),
        _ if kind.starts_with(ENVELOPES) => Signed::from_envelope(&part.bytes, &part.annotations),
        _ if kind.starts_with(BUNDLES) => Signed::from_bundle(&part.bytes),
        _ => return Ok(Read::Sbom(part.bytes.clone())),
    };
    let what = if kind == BUNDLE_TYPE { "a bundle" } else { kind };
    let signed = signed.map_err(|error| format!("{what} is attached and cannot be read: {error}"))?;
    let claim = signed.claim(images)?;
    Ok(Read::Signed(Box::new(signed), claim))
}

/// The document in a predicate: the predicate itself, or a text in it, as cosign wraps what is no JSON.
fn document(predicate: &serde_json::Value) -> Vec<u8> {
    let text = predicate.as_str().or_else(|| predicate["Data"].as_str());
    text.map_or_else(|| predicate.to_string().into_bytes(), |text| text.as_bytes().to_vec())
}

/// Whether it is an SBOM that says something.
fn check(bytes: &[u8], limits: &Limits) -> Result<(), String> {
    let document =
        sbom::parse(bytes, limits).map_err(|error| format!("an SBOM is attached and cannot be read: {error}"))?;
    if document.inventory.components.is_empty() {
        return Err("an SBOM is attached that lists nothing".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};
    use stella_attest::{Envelope, SigningKey, statement};
    use stella_signature::{SIGNATURE_TYPE, Signer};

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed("k", &[seed; 32])
    }

    fn signer(seed: u8) -> Authority {
        Authority::Signer(Signer::key(&key(seed).verifying().to_pem().unwrap()).unwrap())
    }

    fn image() -> Digest {
        Digest::of("image")
    }

    fn part(media_type: &str, bytes: impl Into<Vec<u8>>) -> Attachment {
        let (media_type, annotations, bytes) = (media_type.to_owned(), BTreeMap::new(), bytes.into());
        Attachment { subject: image(), media_type, annotations, bytes, places: ["r.example/app".to_owned()].into() }
    }

    /// A bundle with a statement of `kind` on `image`, signed with the key of `seed`.
    fn bundle(image: &Digest, kind: &str, predicate: &Value, seed: u8) -> Attachment {
        let statement = json!({"_type": statement::STATEMENT_TYPE, "subject": [{"digest": {"sha256": image.hex()}}],
                               "predicateType": kind, "predicate": predicate});
        let envelope = Envelope::sign(statement::PAYLOAD_TYPE, statement.to_string().as_bytes(), &key(seed));
        part(BUNDLE_TYPE, statement::bundle(&envelope, "k").to_string())
    }

    fn cyclonedx() -> Value {
        json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
               "components": [{"type": "library", "name": "a", "version": "1", "purl": "pkg:npm/a@1"}]})
    }

    impl Evidence {
        fn is_signed(&self) -> bool {
            !self.signed.is_empty()
        }

        fn has_sbom(&self) -> bool {
            !self.sbom.is_empty()
        }
    }

    fn weighed(parts: &[Attachment], authority: &Authority) -> Evidence {
        weigh(parts, &[image()], &[authority], None, &Limits::default()).remove(0)
    }

    #[test]
    fn a_signature_counts_for_who_made_it() {
        let parts = [bundle(&image(), SIGNATURE_TYPE, &json!({}), 1)];
        let own = weighed(&parts, &signer(1));
        assert!(own.is_signed() && own.signed_places == parts[0].places && own.sbom_places.is_empty());
        let other = weighed(&parts, &signer(2));
        assert_eq!((other.is_signed(), other.detail.as_str()), (false, "it is not by the key"));
        assert_eq!(weighed(&[], &signer(1)).detail, "nothing is attached to it");
        let both = weigh(&parts, &[image()], &[&signer(2), &signer(1)], None, &Limits::default());
        assert_eq!(both.iter().map(Evidence::is_signed).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn an_attestation_of_the_wrong_type_or_for_another_subject_proves_nothing() {
        for (part, reason) in [
            (bundle(&image(), "https://slsa.dev/provenance/v1", &json!({}), 1), "is neither a signature nor an SBOM"),
            (bundle(&Digest::of("other"), SIGNATURE_TYPE, &json!({}), 1), "it is of another image: "),
            (bundle(&Digest::of("other"), "https://cyclonedx.org/bom", &cyclonedx(), 1), "it is of another image: "),
        ] {
            let evidence = weighed(&[part], &signer(1));
            assert!(
                !evidence.is_signed() && !evidence.has_sbom() && evidence.detail.contains(reason),
                "{}",
                evidence.detail
            );
        }
        let sbom = weighed(&[bundle(&image(), "https://cyclonedx.org/bom", &cyclonedx(), 1)], &signer(1));
        assert_eq!((sbom.is_signed(), sbom.has_sbom()), (false, true), "an attested SBOM is no signature of the image");
        let signature = weighed(&[bundle(&image(), SIGNATURE_TYPE, &json!({}), 1)], &signer(1));
        assert_eq!((signature.is_signed(), signature.has_sbom()), (true, false), "and a signature no SBOM");
    }

    #[test]
    fn an_attestation_that_attaches_none_is_no_sbom() {
        let empty = json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []});
        for (predicate, reason) in [
            (json!({}), "cannot be read"),
            (Value::Null, "cannot be read"),
            (json!("text"), "cannot be read"),
            (empty, "lists nothing"),
        ] {
            let evidence = weighed(&[bundle(&image(), "https://cyclonedx.org/bom", &predicate, 1)], &signer(1));
            assert!(!evidence.has_sbom() && evidence.detail.contains(reason), "{predicate}: {}", evidence.detail);
        }
        let text = "SPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0\nSPDXID: SPDXRef-DOCUMENT\nDocumentName: a\n\
                    PackageName: d\nSPDXID: SPDXRef-d\nPackageVersion: 1\nExternalRef: PACKAGE-MANAGER purl pkg:pypi/d@1\n";
        for predicate in [json!(text), json!({"Data": text, "Timestamp": "2026-01-01T00:00:00Z"})] {
            assert!(
                weighed(&[bundle(&image(), "https://spdx.dev/Document", &predicate, 1)], &signer(1)).has_sbom(),
                "{predicate}"
            );
        }
    }

    #[test]
    fn what_nobody_signed_counts_where_anybody_is_believed() {
        let bare = [part("application/vnd.cyclonedx+json", cyclonedx().to_string())];
        assert!(weighed(&bare, &Authority::Anybody).has_sbom());
        assert_eq!(weighed(&bare, &signer(1)).detail, "an SBOM is attached that nobody signed");
        let attested = [bundle(&image(), "https://cyclonedx.org/bom", &cyclonedx(), 9)];
        assert!(weighed(&attested, &Authority::Anybody).has_sbom());
        assert!(!weighed(&attested, &signer(1)).has_sbom());
        let signature = weighed(&[bundle(&image(), SIGNATURE_TYPE, &json!({}), 9)], &Authority::Anybody);
        assert_eq!(
            (signature.is_signed(), signature.has_sbom()),
            (false, false),
            "there is nobody whose signature it could be"
        );
    }

    #[test]
    fn what_proves_something_proves_it_of_the_digests_that_it_names() {
        let (index, key) = (Digest::of("index"), signer(1));
        let weighed = |parts: &[Attachment], authority: &Authority| {
            weigh(parts, &[image(), index], &[authority], None, &Limits::default()).remove(0)
        };
        let of_image = bundle(&image(), SIGNATURE_TYPE, &json!({}), 1);
        assert_eq!(
            weighed(std::slice::from_ref(&of_image), &key).signed,
            BTreeSet::from([image()]),
            "not of the index"
        );
        // Where it lies proves nothing.
        let elsewhere = Attachment { subject: index, ..of_image.clone() };
        assert_eq!(weighed(&[elsewhere], &key).signed, BTreeSet::from([image()]));
        let of_index = bundle(&index, SIGNATURE_TYPE, &json!({}), 1);
        assert_eq!(weighed(std::slice::from_ref(&of_index), &key).signed, BTreeSet::from([index]));
        assert_eq!(weighed(&[of_image, of_index], &key).signed, BTreeSet::from([image(), index]));
        let bare = part("application/vnd.cyclonedx+json", cyclonedx().to_string());
        assert_eq!(weighed(std::slice::from_ref(&bare), &Authority::Anybody).sbom, BTreeSet::from([image()]));
        let bare = Attachment { subject: index, ..bare };
        assert_eq!(weighed(&[bare], &Authority::Anybody).sbom, BTreeSet::from([index]));
    }

    #[test]
    fn one_part_that_cannot_be_read_spoils_no_other() {
        let broken = part(BUNDLE_TYPE, "{");
        let evidence = weighed(&[broken, bundle(&image(), SIGNATURE_TYPE, &json!({}), 1)], &signer(1));
        assert!(evidence.is_signed() && evidence.detail.starts_with("a bundle is attached and cannot be read: "));
        let many: Vec<_> = (0..9).map(|n| bundle(&Digest::of([n]), SIGNATURE_TYPE, &json!({}), 1)).collect();
        assert!(weighed(&many, &signer(1)).detail.ends_with("; and 6 more"), "reasons are bounded");
    }

    #[test]
    fn kinds_are_known_by_their_names() {
        for kind in [
            BUNDLE_TYPE,
            SIMPLE_SIGNING_TYPE,
            "application/vnd.dsse.envelope.v1+json",
            "application/spdx+json; charset=utf-8",
        ] {
            assert!(is_evidence(kind), "{kind}");
        }
        assert!(!is_evidence("application/vnd.oci.image.layer.v1.tar+gzip"));
    }
}
