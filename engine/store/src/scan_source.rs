//! Where the image of a scan comes from.

use crate::StoreError;
use crate::codec::damaged;

/// Where the image of a scan comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ScanSource {
    /// A node that has it, else its registry.
    #[default]
    Auto,
    /// A node that has it.
    Node,
    /// Its registry.
    Registry,
    /// The web server that its reference names.
    Url,
    /// An archive that was sent.
    Upload,
    /// An SBOM that was sent.
    Sbom,
}

impl ScanSource {
    const ALL: [Self; 6] = [Self::Auto, Self::Node, Self::Registry, Self::Url, Self::Upload, Self::Sbom];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Node => "node",
            Self::Registry => "registry",
            Self::Url => "url",
            Self::Upload => "upload",
            Self::Sbom => "sbom",
        }
    }

    /// Whether a node may be asked for it.
    #[must_use]
    pub const fn is_on_nodes(self) -> bool {
        !matches!(self, Self::Registry | Self::Url)
    }

    pub(crate) fn read(name: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|source| source.name() == name);
        found.ok_or_else(|| damaged("scan", format!("unknown source '{name}'")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_read_back() {
        for source in ScanSource::ALL {
            assert_eq!(ScanSource::read(source.name()).unwrap(), source);
        }
        assert!(matches!(ScanSource::read("moon"), Err(StoreError::Damaged { .. })));
    }
}
