//! A compact set of the paths of a layer.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The paths a layer contains, each as a 64-bit FNV-1a hash (8 bytes a path); a directory is hashed with a
/// trailing slash, so that a path is known as one or the other.
///
/// Two different paths of an image share a hash with a probability of about 10⁻¹⁰. Whoever can choose paths to
/// collide can as well write a whiteout, so nothing is gained by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathSet(Vec<u64>);

impl PathSet {
    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of paths.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `path` is there as anything but a directory.
    #[must_use]
    pub fn has_file(&self, path: &str) -> bool {
        self.contains(PathHash::of(path).file())
    }

    /// Whether `path` is there as a directory.
    #[must_use]
    pub fn has_directory(&self, path: &str) -> bool {
        self.contains(PathHash::of(path).directory())
    }

    pub(crate) fn contains(&self, key: u64) -> bool {
        self.0.binary_search(&key).is_ok()
    }
}

impl FromIterator<u64> for PathSet {
    fn from_iter<I: IntoIterator<Item = u64>>(keys: I) -> Self {
        let mut keys: Vec<u64> = keys.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        Self(keys)
    }
}

/// The running hash of a path; feeding a path component by component gives the hashes of all its parents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathHash(u64);

impl PathHash {
    pub(crate) const ROOT: Self = Self(OFFSET);

    pub(crate) fn of(path: &str) -> Self {
        Self::ROOT.feed(path)
    }

    pub(crate) fn feed(self, text: &str) -> Self {
        Self(text.bytes().fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME)))
    }

    /// The key of the path as anything but a directory.
    pub(crate) const fn file(self) -> u64 {
        self.0
    }

    /// The key of the path as a directory.
    pub(crate) fn directory(self) -> u64 {
        self.feed("/").0
    }
}

impl Serialize for PathSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        let bytes: Vec<u8> = self.0.iter().flat_map(|key| key.to_be_bytes()).collect();
        serializer.serialize_str(&hex::encode(bytes))
    }
}

impl<'de> Deserialize<'de> for PathSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return Ok(Vec::<u64>::deserialize(deserializer)?.into_iter().collect());
        }
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = hex::decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
        let (keys, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(serde::de::Error::custom("a set of paths is made of 16 hex digits a path"));
        }
        Ok(keys.iter().copied().map(u64::from_be_bytes).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_files_from_directories() {
        let set: PathSet = [PathHash::of("a/b").file(), PathHash::of("a").directory()].into_iter().collect();
        assert!(set.has_file("a/b") && !set.has_directory("a/b"));
        assert!(set.has_directory("a") && !set.has_file("a"));
    }

    #[test]
    fn reads_what_it_writes() {
        let set: PathSet = ["x", "y/z", ""].into_iter().map(|path| PathHash::of(path).file()).collect();
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<PathSet>(&json).unwrap(), set);
        assert!(serde_json::from_str::<PathSet>("\"0102\"").is_err());
    }
}
