//! YAML of lock files, within bounds.

use serde::de::DeserializeOwned;

use super::ParseError;

/// Reads a document. Lock files are large and flat and have no use for aliases; one that leans on them was built to
/// harm.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, ParseError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: 1000,
            max_anchors: 1000,
            max_depth: 32,
            max_documents: 1,
            max_events: 10_000_000,
            max_nodes: 5_000_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 8,
            max_alias_expansions_per_anchor: 1000,
        },
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| ParseError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn depth_and_alias_bombs_are_refused() {
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        assert!(read::<serde_json::Value>(&deep).is_err());
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let inner = vec![format!("*a{}", level - 1); 10].join(",");
            bomb.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
        }
        assert!(read::<serde_json::Value>(&bomb).is_err());
        assert_eq!(read::<BTreeMap<String, String>>("a: b\n").unwrap()["a"], "b");
    }
}
