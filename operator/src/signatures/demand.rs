//! What a policy demands of the signatures of images.

use stella_crds::{KeylessIdentity, PolicySigner, PolicySpec};
use stella_domain::Digest;
use stella_signature::{Pattern, Signer, SignerError, TrustRoot};

/// Somebody who is believed.
#[derive(Debug, Clone)]
pub enum Authority {
    /// Anybody who may write to the image's repository.
    Anybody,
    /// Whoever makes such signatures.
    Signer(Signer),
}

static ANYBODY: Authority = Authority::Anybody;

impl Authority {
    /// Names whom this believes, and by what.
    #[must_use]
    pub fn id(&self, root: Option<&TrustRoot>) -> Digest {
        match self {
            Self::Anybody => Digest::of("anybody"),
            Self::Signer(signer) => signer.authority(root),
        }
    }
}

/// What one policy demands.
#[derive(Debug, Clone)]
pub struct Demand {
    /// The policy, `namespace/name`.
    pub policy: String,
    /// Whether an image has to be signed.
    pub signature: bool,
    /// Whether it has to have an SBOM.
    pub sbom: bool,
    /// Who is believed, by the names that the policy gives them.
    signers: Vec<(String, Authority)>,
    /// Why nobody can be.
    pub broken: Option<String>,
}

impl Demand {
    /// What a policy with this name and spec demands; `None` when nothing. Of one whose signers cannot be read nothing can be met.
    #[must_use]
    pub fn of(policy: &str, spec: &PolicySpec) -> Option<Self> {
        let admission = &spec.admission;
        if !admission.require_signature && !admission.require_sbom {
            return None;
        }
        let (signers, broken) = match Self::signers(spec) {
            Ok(signers) => (signers, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        let broken = broken.or_else(|| {
            (admission.require_signature && signers.is_empty())
                .then(|| "spec.admission.requireSignature needs signers: whose signatures count".to_owned())
        });
        Some(Self {
            policy: policy.to_owned(),
            signature: admission.require_signature,
            sbom: admission.require_sbom,
            signers,
            broken,
        })
    }

    /// The signers of a policy by their names.
    fn signers(spec: &PolicySpec) -> Result<Vec<(String, Authority)>, String> {
        let read = |(n, signer): (usize, &PolicySigner)| {
            let place = format!("spec.admission.signers[{n}] ({})", signer.name);
            let read = signer_of(signer).map_err(|reason| format!("{place}: {reason}"))?;
            Ok((signer.name.clone(), Authority::Signer(read)))
        };
        spec.admission.signers.iter().enumerate().map(read).collect()
    }

    /// Whether somebody is believed by the trust root.
    #[must_use]
    pub fn needs_trust_root(&self) -> bool {
        self.signers.iter().any(|(_, signer)| matches!(signer, Authority::Signer(Signer::Keyless { .. })))
    }

    /// Who is believed. Without signers it is anybody, for SBOMs.
    pub fn authorities(&self) -> impl Iterator<Item = &Authority> {
        let anybody = (self.signers.is_empty() && self.broken.is_none()).then_some(&ANYBODY);
        self.signers.iter().map(|(_, signer)| signer).chain(anybody)
    }

    /// Their names, for people.
    #[must_use]
    pub fn named(&self) -> String {
        let names: Vec<&str> = self.signers.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() { "anybody".to_owned() } else { names.join(", ") }
    }
}

fn signer_of(signer: &PolicySigner) -> Result<Signer, String> {
    match (&signer.key, &signer.keyless) {
        (Some(key), None) => Signer::key(key).map_err(|error| error.to_string()),
        (None, Some(identity)) => keyless(identity),
        _ => Err("exactly one of key and keyless is needed".to_owned()),
    }
}

fn keyless(identity: &KeylessIdentity) -> Result<Signer, String> {
    let pattern = |field: &'static str, exact: &Option<String>, expression: &Option<String>| match (exact, expression) {
        (Some(exact), None) => Ok(Pattern::Exact(exact.clone())),
        (None, Some(expression)) => {
            Pattern::matching(field, expression).map_err(|error: SignerError| format!("keyless.{error}"))
        }
        _ => Err(format!("keyless: exactly one of {field} and its expression is needed")),
    };
    let issuer = pattern("issuerRegExp", &identity.issuer, &identity.issuer_reg_exp)?;
    let subject = pattern("subjectRegExp", &identity.subject, &identity.subject_reg_exp)?;
    Ok(Signer::Keyless { issuer, subject })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKW48lkHX5rn3U7d9mzc5deQXWSYg\n\
                       7txW4HREzsHOcC7R0wGrsN/EfdN13Kz+5xOPo+oV/+s+UO84YmE/GMi4Tg==\n-----END PUBLIC KEY-----\n";

    fn demand(admission: Value) -> Option<Demand> {
        let spec = serde_json::from_value(json!({ "admission": admission })).unwrap();
        Demand::of("shop/signed", &spec)
    }

    #[test]
    fn nothing_is_demanded_unless_asked_for() {
        assert!(demand(json!({})).is_none());
        assert!(demand(json!({"signers": [{"name": "a", "key": KEY}]})).is_none());
    }

    #[test]
    fn without_signers_anybody_may_attach_an_sbom_and_nobody_a_signature() {
        let sbom = demand(json!({"requireSbom": true})).unwrap();
        assert!(matches!(sbom.authorities().collect::<Vec<_>>()[..], [Authority::Anybody]));
        assert_eq!(sbom.named(), "anybody");
        let signature = demand(json!({"requireSignature": true})).unwrap();
        assert!(signature.broken.is_some());
        assert_eq!(signature.authorities().count(), 0);
    }

    #[test]
    fn signers_are_keys_and_identities_and_what_is_neither_names_its_place() {
        let identity = json!({"issuer": "https://i.example", "subjectRegExp": "https://s\\.example/.*"});
        let both = demand(json!({"requireSignature": true, "signers": [
            {"name": "release", "key": KEY}, {"name": "ci", "keyless": identity}]}))
        .unwrap();
        assert_eq!(
            (both.named().as_str(), both.authorities().count(), both.broken.as_deref()),
            ("release, ci", 2, None)
        );
        assert!(both.needs_trust_root());
        for (signer, reason) in [
            (json!({"name": "x", "key": "no"}), "spec.admission.signers[0] (x): key: it is no PEM"),
            (json!({"name": "x"}), "spec.admission.signers[0] (x): exactly one of key and keyless"),
            (
                json!({"name": "x", "keyless": {"issuer": "a"}}),
                "spec.admission.signers[0] (x): keyless: exactly one of subject",
            ),
            (
                json!({"name": "x", "keyless": {"issuer": "a", "subjectRegExp": "("}}),
                "spec.admission.signers[0] (x): keyless.subjectRegExp: ",
            ),
        ] {
            let broken = demand(json!({"requireSignature": true, "signers": [signer]})).unwrap();
            let said = broken.broken.clone().unwrap();
            assert!(said.starts_with(reason), "{said}");
            assert_eq!(broken.authorities().count(), 0);
        }
    }
}
