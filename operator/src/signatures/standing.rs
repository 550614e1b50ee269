//! The verdict of an image once what policies demand of its signatures is looked at. Pure, but for reading what is in store.

use std::collections::BTreeSet;
use std::sync::Arc;

use stella_api::admission::{ImageDecision, ImageVerdict, UnscannedAction};
use stella_domain::{Digest, Hasher, Tenant, Timestamp};
use stella_signature::TrustRoot;
use stella_store::{SignatureCheck, StoreError};

use super::demand::Demand;
use crate::app::App;

/// What is known of the signatures of an image.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    checks: Vec<SignatureCheck>,
    root: Option<Arc<TrustRoot>>,
}

/// The names of an image that what is demanded is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names<'a> {
    /// All of them: it was found before names were kept, and nobody has looked again since.
    All,
    /// These; none where nothing is there.
    These(BTreeSet<&'a str>),
}

impl Names<'_> {
    /// Whether this name is among them.
    #[must_use]
    pub fn contain(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(name),
        }
    }
}

/// How one thing that is demanded stands, the worst first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// It was looked for, and is not there.
    Missing(String),
    /// It could not be looked for.
    Failed(String),
    /// Nobody has looked yet.
    Pending,
    /// It is there.
    Given,
}

/// What is demanded.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Signature,
    Sbom,
}

impl Wanted {
    const fn name(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Sbom => "sbom",
        }
    }

    const fn of(self, check: &SignatureCheck) -> bool {
        match self {
            Self::Signature => check.signed,
            Self::Sbom => check.sbom,
        }
    }

    /// The names of the image that it is of, where they are known.
    const fn names(self, check: &SignatureCheck) -> Option<&BTreeSet<String>> {
        match self {
            Self::Signature => check.signed_names.as_ref(),
            Self::Sbom => check.sbom_names.as_ref(),
        }
    }

    /// What a policy demands.
    fn of_demand(demand: &Demand) -> impl Iterator<Item = Self> + use<> {
        let wanted = [(demand.signature, Self::Signature), (demand.sbom, Self::Sbom)];
        wanted.into_iter().filter(|(asked, _)| *asked).map(|(_, wanted)| wanted)
    }
}

impl Provenance {
    /// What is in store of an image.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn load(app: &App, tenant: &Tenant, image: &Digest) -> Result<Self, StoreError> {
        let checks = app.store.signature_checks(tenant, image).await?;
        Ok(Self { checks, root: app.signatures.root() })
    }

    /// With these checks and no trust root.
    #[cfg(test)]
    pub(crate) fn of(checks: Vec<SignatureCheck>) -> Self {
        Self { checks, root: None }
    }

    /// Names all of it that a verdict rests on.
    pub fn name_into(&self, hasher: &mut Hasher) {
        for check in &self.checks {
            hasher.field(check.authority.as_bytes());
            hasher.field([u8::from(check.signed), u8::from(check.sbom), u8::from(check.failure.is_empty())]);
            for names in [&check.signed_names, &check.sbom_names] {
                hasher.field([u8::from(names.is_some())]);
                hasher.field(names.as_ref().map_or(0, BTreeSet::len).to_be_bytes());
                names.iter().flatten().for_each(|name| hasher.field(name));
            }
        }
    }

    /// The decision that the findings led to, with what `demands` add to it at `now`. What is missing, or could not be looked for,
    /// blocks; what nobody has looked for yet is treated as `unscanned` says.
    #[must_use]
    pub fn decide<'a>(
        &self,
        mut decision: ImageDecision,
        demands: impl IntoIterator<Item = &'a Demand>,
        unscanned: UnscannedAction,
        now: Timestamp,
    ) -> ImageDecision {
        let mut stands: Vec<(Standing, Wanted, &Demand)> = Vec::new();
        for demand in demands {
            for wanted in Wanted::of_demand(demand) {
                stands.push((self.standing(demand, wanted, now), wanted, demand));
            }
        }
        // What is known to be missing is said first.
        stands.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        for (standing, wanted, demand) in stands {
            let name = wanted.name();
            let (verdict, reason) = match standing {
                Standing::Given => {
                    match wanted {
                        Wanted::Signature => decision.signed = true,
                        Wanted::Sbom => decision.sbom = true,
                    }
                    continue;
                }
                Standing::Missing(detail) => {
                    (ImageVerdict::Blocked, format!("{name}.missing: none by {}: {detail}", demand.named()))
                }
                Standing::Failed(failure) => (ImageVerdict::Blocked, format!("{name}.unverified: {failure}")),
                Standing::Pending => (of_unscanned(unscanned), format!("{name}.pending: nobody has looked for it yet")),
            };
            lay(&mut decision, verdict, &demand.policy, reason);
        }
        decision
    }

    /// The names of the image that all of what `demands` ask for is of, as far as it is there at `now`. The digest that the image is filed
    /// under may be missing: whatever is there is of it.
    #[must_use]
    pub fn names<'a>(&self, demands: impl IntoIterator<Item = &'a Demand>, now: Timestamp) -> Names<'_> {
        let (mut is_given, mut common) = (false, None::<BTreeSet<&str>>);
        for demand in demands {
            for wanted in Wanted::of_demand(demand) {
                let checks = self.checks_of(demand);
                let given: Vec<&SignatureCheck> =
                    checks.filter(|check| of_check(check, wanted, now) == Standing::Given).collect();
                if given.is_empty() {
                    continue;
                }
                is_given = true;
                let names: Option<Vec<&BTreeSet<String>>> = given.into_iter().map(|it| wanted.names(it)).collect();
                let Some(names) = names else { continue };
                let names: BTreeSet<&str> = names.into_iter().flatten().map(String::as_str).collect();
                common = Some(common.map_or_else(|| names.clone(), |before| &before & &names));
            }
        }
        match common {
            Some(common) => Names::These(common),
            None if is_given => Names::All,
            None => Names::These(BTreeSet::new()),
        }
    }

    /// What is known by the authorities that a policy believes.
    fn checks_of(&self, demand: &Demand) -> impl Iterator<Item = &SignatureCheck> {
        let ids: BTreeSet<Digest> = demand.authorities().map(|authority| authority.id(self.root.as_deref())).collect();
        self.checks.iter().filter(move |check| ids.contains(&check.authority))
    }

    /// How one thing that a policy demands stands at `now`: one authority that is content is enough.
    fn standing(&self, demand: &Demand, wanted: Wanted, now: Timestamp) -> Standing {
        if let Some(reason) = &demand.broken {
            return Standing::Failed(reason.clone());
        }
        let root = self.root.as_deref();
        let mut found: Vec<Standing> = Vec::new();
        for authority in demand.authorities() {
            let id = authority.id(root);
            let check = self.checks.iter().find(|check| check.authority == id);
            found.push(check.map_or(Standing::Pending, |check| of_check(check, wanted, now)));
        }
        let given = found.contains(&Standing::Given);
        let pending = found.contains(&Standing::Pending);
        let failed = found.iter().find(|standing| matches!(standing, Standing::Failed(_))).cloned();
        match (given, pending, failed) {
            (true, ..) => Standing::Given,
            (false, true, _) => Standing::Pending,
            (false, false, Some(failed)) => failed,
            (false, false, None) => Standing::Missing(details(found)),
        }
    }
}

fn details(found: Vec<Standing>) -> String {
    let detail = |standing| match standing {
        Standing::Missing(detail) => Some(detail),
        _ => None,
    };
    let mut details: Vec<String> = found.into_iter().filter_map(detail).collect();
    details.dedup();
    details.join("; ")
}

/// What one check says at `now`. What was found counts until it expires; that nothing was found, until something is. Where no look
/// told all there is, what was not found is not known to be missing.
fn of_check(check: &SignatureCheck, wanted: Wanted, now: Timestamp) -> Standing {
    let failed = !check.failure.is_empty();
    match (check.checked_at, wanted.of(check)) {
        (_, true) if now < check.expires_at => Standing::Given,
        (None, _) if failed => Standing::Failed(check.failure.clone()),
        (None, _) => Standing::Pending,
        (Some(_), true) if failed => Standing::Failed(format!("what was found has expired, and {}", check.failure)),
        (Some(_), true) => Standing::Pending,
        (Some(_), false) => Standing::Missing(check.detail.clone()),
    }
}

const fn of_unscanned(unscanned: UnscannedAction) -> ImageVerdict {
    match unscanned {
        UnscannedAction::Allow => ImageVerdict::Pass,
        UnscannedAction::Warn => ImageVerdict::Warn,
        UnscannedAction::Deny => ImageVerdict::Blocked,
    }
}

/// Lays a reason over a decision. Where it makes the verdict worse, the verdict rests on it and on no finding.
fn lay(decision: &mut ImageDecision, verdict: ImageVerdict, policy: &str, reason: String) {
    if verdict <= decision.verdict {
        decision.reasons.push(reason);
        return;
    }
    decision.verdict = verdict;
    decision.policy = Some(policy.to_owned());
    decision.rule = None;
    decision.worst.clear();
    decision.count = 0;
    decision.confidence = None;
    decision.reasons.insert(0, reason);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const KEYS: [&str; 2] = [
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKW48lkHX5rn3U7d9mzc5deQXWSYg\n\
         7txW4HREzsHOcC7R0wGrsN/EfdN13Kz+5xOPo+oV/+s+UO84YmE/GMi4Tg==\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n",
    ];

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    fn demand(admission: Value) -> Demand {
        let mut admission = admission;
        admission["signers"] = json!([{"name": "a", "key": KEYS[0]}, {"name": "b", "key": KEYS[1]}]);
        let spec = serde_json::from_value(json!({ "admission": admission })).unwrap();
        let demand = Demand::of("shop/signed", &spec).unwrap();
        assert_eq!(demand.broken, None);
        demand
    }

    fn names(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    /// A check of the demand's first or second signer, at second 10, good until second 100.
    fn check(demand: &Demand, which: usize, signed: bool) -> SignatureCheck {
        SignatureCheck {
            image: Digest::of("image"),
            authority: demand.authorities().nth(which).unwrap().id(None),
            signed,
            sbom: false,
            signed_names: Some(names(&["i", "index"])),
            sbom_names: Some(names(&["i", "r.example/app:1"])),
            signed_places: names(&["r.example/app"]),
            sbom_places: names(&["r.example/app"]),
            detail: format!("detail {which}"),
            failure: String::new(),
            failures: 0,
            looked_at: at(10),
            checked_at: Some(at(10)),
            expires_at: at(100),
            retry_at: at(50),
        }
    }

    fn decided(checks: Vec<SignatureCheck>, demand: &Demand, unscanned: UnscannedAction, now: i64) -> ImageDecision {
        let provenance = Provenance { checks, root: None };
        provenance.decide(ImageDecision::bare(ImageVerdict::Pass), [demand], unscanned, at(now))
    }

    #[test]
    fn one_signer_is_enough_and_none_is_not() {
        let demand = demand(json!({"requireSignature": true}));
        let one = decided(vec![check(&demand, 0, false), check(&demand, 1, true)], &demand, UnscannedAction::Deny, 20);
        assert_eq!((one.verdict, one.signed, one.sbom), (ImageVerdict::Pass, true, false));
        assert!(one.reasons.is_empty());
        let none =
            decided(vec![check(&demand, 0, false), check(&demand, 1, false)], &demand, UnscannedAction::Allow, 20);
        assert_eq!((none.verdict, none.signed, none.rule), (ImageVerdict::Blocked, false, None));
        assert_eq!(none.policy.as_deref(), Some("shop/signed"));
        assert_eq!(none.reasons, ["signature.missing: none by a, b: detail 0; detail 1"]);
    }

    #[test]
    fn what_nobody_has_looked_at_is_treated_as_unscanned_says() {
        let demand = demand(json!({"requireSignature": true}));
        for (unscanned, verdict) in [
            (UnscannedAction::Allow, ImageVerdict::Pass),
            (UnscannedAction::Warn, ImageVerdict::Warn),
            (UnscannedAction::Deny, ImageVerdict::Blocked),
        ] {
            for checks in [vec![], vec![check(&demand, 0, false)]] {
                let decision = decided(checks, &demand, unscanned, 20);
                assert_eq!(decision.verdict, verdict);
                assert_eq!(decision.reasons, ["signature.pending: nobody has looked for it yet"]);
            }
        }
    }

    #[test]
    fn a_registry_that_does_not_answer_opens_nothing() {
        let demand = demand(json!({"requireSignature": true}));
        let failed = |which, checked: Option<i64>, signed| SignatureCheck {
            failure: "no answer".to_owned(),
            failures: 3,
            checked_at: checked.map(at),
            ..check(&demand, which, signed)
        };
        let never = decided(vec![failed(0, None, false), failed(1, None, false)], &demand, UnscannedAction::Allow, 20);
        assert_eq!(
            (never.verdict, never.reasons),
            (ImageVerdict::Blocked, vec!["signature.unverified: no answer".to_owned()])
        );
        let held = || vec![failed(0, Some(10), true), failed(1, Some(10), false)];
        assert_eq!(decided(held(), &demand, UnscannedAction::Allow, 99).verdict, ImageVerdict::Pass, "it counts on");
        let expired = decided(held(), &demand, UnscannedAction::Allow, 100);
        assert_eq!(expired.verdict, ImageVerdict::Blocked);
        assert!(expired.reasons[0].starts_with("signature.unverified: what was found has expired, and no answer"));
        let missing =
            decided(vec![failed(0, Some(10), false), failed(1, Some(10), false)], &demand, UnscannedAction::Allow, 20);
        assert!(missing.reasons[0].starts_with("signature.missing"), "a known denial stays one");
    }

    #[test]
    fn what_was_not_found_where_somebody_did_not_answer_is_not_missing() {
        let demand = demand(json!({"requireSignature": true, "requireSbom": true}));
        // The SBOM was found in one repository, and the other is away.
        let part = |which| SignatureCheck {
            sbom: true,
            failure: "no answer".to_owned(),
            checked_at: None,
            ..check(&demand, which, false)
        };
        let decision = decided(vec![part(0), part(1)], &demand, UnscannedAction::Allow, 20);
        assert_eq!((decision.verdict, decision.signed, decision.sbom), (ImageVerdict::Blocked, false, true));
        assert_eq!(decision.reasons, ["signature.unverified: no answer"]);
    }

    #[test]
    fn names_are_those_that_all_that_is_demanded_is_of() {
        let one = demand(json!({"requireSignature": true}));
        let of = |checks: Vec<SignatureCheck>, demand: &Demand, now| {
            let provenance = Provenance { checks, root: None };
            match provenance.names([demand], at(now)) {
                Names::All => None,
                Names::These(names) => Some(names.into_iter().map(str::to_owned).collect::<Vec<_>>()),
            }
        };
        let told = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(vec![], &one, 20), told(&[]), "nobody has looked");
        assert_eq!(of(vec![check(&one, 0, false)], &one, 20), told(&[]), "nothing is there");
        assert_eq!(of(vec![check(&one, 0, true)], &one, 20), told(&["i", "index"]));
        assert_eq!(of(vec![check(&one, 0, true)], &one, 100), told(&[]), "it has expired");
        // One signer is enough: what either signed counts.
        let other = SignatureCheck { signed_names: Some(names(&["i", "other"])), ..check(&one, 1, true) };
        assert_eq!(of(vec![check(&one, 0, true), other], &one, 20), told(&["i", "index", "other"]));
        // An SBOM is not of all that the signature is of.
        let both = demand(json!({"requireSignature": true, "requireSbom": true}));
        let check = SignatureCheck { sbom: true, ..check(&both, 0, true) };
        assert_eq!(of(vec![check.clone()], &both, 20), told(&["i"]));
        // What was found before names were kept holds for all of them.
        let before = SignatureCheck { signed_names: None, ..check };
        assert_eq!(of(vec![before.clone()], &one, 20), None);
        assert_eq!(of(vec![before], &both, 20), told(&["i", "r.example/app:1"]));
    }

    #[test]
    fn each_thing_is_demanded_by_itself_and_what_is_missing_is_said_first() {
        let demand = demand(json!({"requireSignature": true, "requireSbom": true}));
        let check = |which| SignatureCheck { sbom: which == 0, ..check(&demand, which, which == 1) };
        let both = decided(vec![check(0), check(1)], &demand, UnscannedAction::Deny, 20);
        assert_eq!((both.verdict, both.signed, both.sbom), (ImageVerdict::Pass, true, true));
        let one =
            decided(vec![SignatureCheck { signed: false, ..check(1) }, check(0)], &demand, UnscannedAction::Deny, 20);
        assert_eq!((one.verdict, one.signed, one.sbom), (ImageVerdict::Blocked, false, true));
        assert_eq!(one.reasons.len(), 1);
    }

    #[test]
    fn findings_that_block_keep_their_say() {
        let demand = demand(json!({"requireSignature": true}));
        let mut findings = ImageDecision::bare(ImageVerdict::Blocked);
        (findings.rule, findings.policy) = (Some("criticals".to_owned()), Some("shop/base".to_owned()));
        findings.reasons = vec!["rule: criticals".to_owned()];
        let checks = vec![check(&demand, 0, false), check(&demand, 1, false)];
        let decision = Provenance { checks, root: None }.decide(findings, [&demand], UnscannedAction::Allow, at(20));
        assert_eq!(decision.rule.as_deref(), Some("criticals"));
        assert_eq!(decision.reasons.len(), 2);
        assert!(decision.reasons[1].starts_with("signature.missing"));
    }

    #[test]
    fn signers_that_cannot_be_read_block() {
        let spec =
            serde_json::from_value(json!({"admission": {"requireSbom": true, "signers": [{"name": "a"}]}})).unwrap();
        let demand = Demand::of("shop/broken", &spec).unwrap();
        let decision = decided(vec![], &demand, UnscannedAction::Allow, 20);
        assert_eq!(decision.verdict, ImageVerdict::Blocked);
        assert!(decision.reasons[0].starts_with("sbom.unverified: spec.admission.signers[0] (a): "));
    }
}
