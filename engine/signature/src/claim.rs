//! What a signed payload says, and of which image.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use stella_attest::statement::PAYLOAD_TYPE;
use stella_domain::Digest;

/// The predicate by which a statement is a signature of an image and nothing else (cosign 3).
pub const SIGNATURE_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";
/// What a simple signing payload calls itself when it is a signature of an image.
const SIMPLE_TYPE: &str = "cosign container image signature";
/// Versions of in-toto statements.
const STATEMENTS: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];
/// Subjects of a statement that are looked at.
const MOST_SUBJECTS: usize = 1024;

/// What was signed.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// That somebody stands for the image.
    Signature,
    /// Something about the image.
    Attestation {
        /// The URI that says what it is.
        predicate_type: String,
        /// The rest.
        predicate: Value,
    },
}

#[derive(Deserialize)]
struct Simple {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: String,
}

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    subject: Vec<Subject>,
    #[serde(default)]
    predicate: Value,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

/// What a payload of simple signing claims of one of `images`.
pub(crate) fn of_simple(payload: &[u8], images: &[Digest]) -> Result<Claim, String> {
    let simple: Simple =
        serde_json::from_slice(payload).map_err(|error| format!("the signed payload cannot be read: {error}"))?;
    if simple.critical.kind != SIMPLE_TYPE {
        return Err(format!("it is of the type '{}', no signature of an image", cut(&simple.critical.kind)));
    }
    let named = simple.critical.image.docker_manifest_digest;
    if !images.iter().any(|image| image.to_string() == named) {
        return Err(format!("it is of another image: {}", cut(&named)));
    }
    Ok(Claim::Signature)
}

/// What a statement in an envelope claims of one of `images`.
pub(crate) fn of_statement(payload_type: &str, payload: &[u8], images: &[Digest]) -> Result<Claim, String> {
    if payload_type != PAYLOAD_TYPE {
        return Err(format!("the payload is of the type '{}', no in-toto statement", cut(payload_type)));
    }
    let statement: Statement =
        serde_json::from_slice(payload).map_err(|error| format!("the statement cannot be read: {error}"))?;
    if !STATEMENTS.contains(&statement.kind.as_str()) {
        return Err(format!("the statement is of the type '{}'", cut(&statement.kind)));
    }
    if statement.subject.len() > MOST_SUBJECTS {
        return Err(format!("the statement has {} subjects, more than {MOST_SUBJECTS}", statement.subject.len()));
    }
    let named = statement.subject.iter().filter_map(|subject| subject.digest.get("sha256"));
    if !named.clone().any(|hex| images.iter().any(|image| image.hex() == *hex)) {
        let first = named.map(|hex| cut(hex)).next().unwrap_or_else(|| "none".to_owned());
        return Err(format!("it is of another image: {first}"));
    }
    let Statement { predicate_type, predicate, .. } = statement;
    Ok(if predicate_type == SIGNATURE_TYPE {
        Claim::Signature
    } else {
        Claim::Attestation { predicate_type, predicate }
    })
}

/// As much of foreign text as a message can bear.
#[must_use]
pub fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn statement(kind: &str, image: &Digest, predicate_type: &str) -> Vec<u8> {
        json!({"_type": kind, "subject": [{"name": "a", "digest": {"sha512": "00"}}, {"digest": {"sha256": image.hex()}}],
               "predicateType": predicate_type, "predicate": {"a": 1}})
        .to_string()
        .into_bytes()
    }

    #[test]
    fn a_statement_is_of_the_images_it_names_and_of_its_type() {
        let (image, other) = (Digest::of("image"), Digest::of("other"));
        let read = |bytes: &[u8]| of_statement(PAYLOAD_TYPE, bytes, &[other, image]);
        assert_eq!(read(&statement(STATEMENTS[0], &image, SIGNATURE_TYPE)), Ok(Claim::Signature));
        let bom = read(&statement(STATEMENTS[1], &image, "https://cyclonedx.org/bom")).unwrap();
        let expected =
            Claim::Attestation { predicate_type: "https://cyclonedx.org/bom".to_owned(), predicate: json!({"a": 1}) };
        assert_eq!(bom, expected, "an attestation is no signature");
        let third = statement(STATEMENTS[0], &Digest::of("third"), SIGNATURE_TYPE);
        assert!(read(&third).unwrap_err().starts_with("it is of another image: "));
        assert!(read(&statement("https://in-toto.io/Statement/v2", &image, SIGNATURE_TYPE)).is_err());
        assert!(
            of_statement("application/json", &third, &[image]).unwrap_err().starts_with("the payload is of the type")
        );
        assert!(read(b"{}").is_err());
        let none = json!({"_type": STATEMENTS[0], "subject": [], "predicateType": SIGNATURE_TYPE}).to_string();
        assert_eq!(read(none.as_bytes()).unwrap_err(), "it is of another image: none");
    }

    #[test]
    fn a_simple_payload_is_of_its_image_and_a_signature() {
        let image = Digest::of("image");
        let payload = |kind: &str, digest: &str| {
            json!({"critical": {"identity": {"docker-reference": "r.example/a"}, "image": {"docker-manifest-digest": digest},
                                "type": kind}, "optional": null})
            .to_string()
            .into_bytes()
        };
        let read = |bytes: &[u8]| of_simple(bytes, &[image]);
        assert_eq!(read(&payload(SIMPLE_TYPE, &image.to_string())), Ok(Claim::Signature));
        assert!(read(&payload(SIMPLE_TYPE, &Digest::of("other").to_string())).unwrap_err().contains("another image"));
        assert!(read(&payload("atomic container signature", &image.to_string())).unwrap_err().contains("the type"));
        assert!(read(b"[]").is_err());
    }
}
