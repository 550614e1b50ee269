//! What the tests judge by.

use std::sync::Arc;
use stella_api::admission::{
    AdmissionMode, AdmissionUpdate, FailurePolicy, ImageAdmission, ImageDecision, ImageVerdict, NamespaceAdmission,
    UnscannedAction, WorstFinding,
};

use stella_api::client::{Client, Credential, Settings};
use stella_domain::{Digest, Severity, Tenant, Timestamp};

use crate::verdicts::{Feed, Held, View};

pub const SCOPE: &str = "base";

/// 2026-01-01, in whole seconds.
pub fn now() -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000)
}

/// The operator at `url`.
pub fn operator(url: &str, credential: Credential) -> Arc<Client> {
    Arc::new(Client::new(Settings { server: url.to_owned(), credential, ..Settings::default() }).unwrap())
}

pub fn namespace(name: &str) -> NamespaceAdmission {
    NamespaceAdmission {
        namespace: name.to_owned(),
        tenant: Tenant::default(),
        scope: SCOPE.to_owned(),
        mode: AdmissionMode::Enforce,
        unscanned: UnscannedAction::Allow,
        failure_policy: FailurePolicy::Ignore,
        stale_after_seconds: None,
        exempt: false,
    }
}

pub fn blocked(reference: &str) -> ImageAdmission {
    let worst = WorstFinding {
        advisory_id: "CVE-2025-1000".to_owned(),
        package: "openssl".to_owned(),
        version: "3.0.1".to_owned(),
        severity: Severity::Critical,
        fixed_in: vec!["3.0.2".to_owned()],
        in_use: true,
        inherited: false,
    };
    let decision = ImageDecision {
        policy: Some("shop/base".to_owned()),
        rule: Some("Block reachable criticals".to_owned()),
        worst: vec![worst],
        count: 4,
        ..verdict(ImageVerdict::Blocked)
    };
    image(reference, decision)
}

pub fn passing(reference: &str) -> ImageAdmission {
    image(reference, verdict(ImageVerdict::Pass))
}

pub fn warned(reference: &str) -> ImageAdmission {
    image(reference, verdict(ImageVerdict::Warn))
}

pub fn verdict(verdict: ImageVerdict) -> ImageDecision {
    ImageDecision::bare(verdict)
}

fn image(reference: &str, decision: ImageDecision) -> ImageAdmission {
    let image = Digest::of(reference);
    ImageAdmission {
        scope: SCOPE.to_owned(),
        image,
        digests: vec![image, Digest::of(format!("config of {reference}"))],
        references: vec![reference.to_owned()],
        decision,
        valid_until: None,
        next: None,
        grace: std::collections::BTreeMap::new(),
        confirmed_at: None,
    }
}

pub fn view(namespaces: &[NamespaceAdmission], images: &[ImageAdmission]) -> View {
    let mut feed = Feed::default();
    let updates = [AdmissionUpdate::Begin]
        .into_iter()
        .chain(namespaces.iter().cloned().map(AdmissionUpdate::Namespace))
        .chain(images.iter().cloned().map(AdmissionUpdate::Image))
        .chain([AdmissionUpdate::Ready { policy_revision: "7".to_owned(), at: now() }]);
    for update in updates {
        feed.apply(update).unwrap();
    }
    feed.view().clone()
}

/// Verdicts heard of just [`now`].
pub fn held(namespaces: &[NamespaceAdmission], images: &[ImageAdmission]) -> Held {
    Held { view: view(namespaces, images), heard_at: Some(now()), ..Held::default() }
}
