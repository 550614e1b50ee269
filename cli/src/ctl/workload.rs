//! From pods to the workloads that made them, by the names that Kubernetes gives.

use std::collections::BTreeMap;

use stella_api::finding::UseEvidence;

/// Letters of generated names (`rand.SafeEncodeString` of apimachinery): no vowels, nothing that looks like another.
const GENERATED: &str = "bcdfghjklmnpqrstvwxz2456789";
const POD_SUFFIX: usize = 5;
/// Hashes of pod templates have up to this many letters, and rarely few.
const TEMPLATE_HASH: std::ops::RangeInclusive<usize> = 7..=10;

/// `namespace/workload`, with the number of pods where there are several; sorted.
pub(super) fn users(evidence: &[UseEvidence]) -> Vec<String> {
    let mut pods: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for used in evidence {
        let pods = pods.entry((used.namespace.as_str(), workload_of(&used.pod))).or_default();
        if !pods.contains(&used.pod.as_str()) {
            pods.push(&used.pod);
        }
    }
    let shown = |((namespace, workload), pods): ((&str, &str), Vec<&str>)| match pods.as_slice() {
        [pod] => format!("{namespace}/{pod}"),
        pods => format!("{namespace}/{workload} ({} pods)", pods.len()),
    };
    pods.into_iter().map(shown).collect()
}

/// The name without what a DaemonSet, a Job or a ReplicaSet of a Deployment adds to it.
fn workload_of(pod: &str) -> &str {
    let Some(owner) = without(pod, |suffix| suffix.len() == POD_SUFFIX) else { return pod };
    without(owner, |suffix| TEMPLATE_HASH.contains(&suffix.len())).unwrap_or(owner)
}

fn without(name: &str, fits: impl Fn(&str) -> bool) -> Option<&str> {
    let (rest, suffix) = name.rsplit_once('-')?;
    let generated = suffix.chars().all(|letter| GENERATED.contains(letter));
    (generated && fits(suffix)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_endings_are_no_part_of_the_name() {
        let cases = [
            ("web-7d9c5b6f4-x2x8z", "web"),
            ("agent-x2x8z", "agent"),
            ("db-0", "db-0"),
            ("web-frontend", "web-frontend"),
            ("solo", "solo"),
        ];
        for (pod, workload) in cases {
            assert_eq!(workload_of(pod), workload);
        }
    }
}
