//! Whether an entry is in a tree (RFC 9162, section 2.1.3.2).

use stella_domain::{Digest, Hasher};

/// Nodes of a proof; a tree of 2^63 leaves has no longer one.
pub(crate) const LONGEST_PROOF: usize = 64;

/// The hash of a leaf.
pub(crate) fn leaf(content: &[u8]) -> [u8; 32] {
    hash(0, &[content])
}

/// The root of the tree with `size` leaves that has `leaf` at `index`, by this proof. `None` when it proves nothing.
pub(crate) fn root(leaf: [u8; 32], index: u64, size: u64, proof: &[[u8; 32]]) -> Option<[u8; 32]> {
    if index >= size || proof.len() > LONGEST_PROOF {
        return None;
    }
    let (mut at, mut last, mut root) = (index, size - 1, leaf);
    for node in proof {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            root = hash(1, &[node, &root]);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            root = hash(1, &[&root, node]);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

fn hash(kind: u8, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Hasher::new();
    hasher.update([kind]);
    parts.iter().for_each(|part| hasher.update(part));
    let digest: Digest = hasher.finish();
    *digest.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Root of a tree, and the proof for one leaf, by their definitions (RFC 9162, sections 2.1.1 and 2.1.3.1).
    fn tree(leaves: &[[u8; 32]], index: usize) -> ([u8; 32], Vec<[u8; 32]>) {
        if leaves.len() == 1 {
            return (leaves[0], Vec::new());
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        let in_left = index < left.len();
        let (left_root, mut left_proof) = tree(left, if in_left { index } else { 0 });
        let (right_root, mut right_proof) = tree(right, if in_left { 0 } else { index - left.len() });
        let both = hash(1, &[&left_root, &right_root]);
        if in_left {
            left_proof.push(right_root);
            (both, left_proof)
        } else {
            right_proof.push(left_root);
            (both, right_proof)
        }
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proved_and_no_other() {
        for size in 1..20_u64 {
            let leaves: Vec<[u8; 32]> = (0..size).map(|n| leaf(&n.to_be_bytes())).collect();
            for index in 0..size {
                let at = usize::try_from(index).unwrap();
                let (expected, proof) = tree(&leaves, at);
                assert_eq!(root(leaves[at], index, size, &proof), Some(expected), "{index} of {size}");
                assert_ne!(root(leaf(b"other"), index, size, &proof), Some(expected));
                if size > 1 {
                    assert_ne!(root(leaves[at], (index + 1) % size, size, &proof), Some(expected));
                    assert_ne!(root(leaves[at], index, size, &proof[1..]), Some(expected));
                }
                let longer = [&proof[..], &[[0; 32]]].concat();
                assert_eq!(root(leaves[at], index, size, &longer), None);
            }
        }
        assert_eq!(root(leaf(b""), 1, 1, &[]), None);
        assert_eq!(root(leaf(b""), 0, 0, &[]), None);
    }
}
