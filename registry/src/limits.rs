//! How much a registry may make us do, and how long we wait for it.

use std::time::Duration;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Bounds on one pull. The defaults let every ordinary image through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a manifest, an index or a configuration. Default 16 MiB (registries promise to take 4 MiB).
    pub document_bytes: u64,
    /// Bytes of one packed layer. Default 16 GiB.
    pub blob_bytes: u64,
    /// Bytes of all layers of one image that are received, those received again included. Default 32 GiB.
    pub total_bytes: u64,
    /// Layers of one image. Default 512.
    pub layers: usize,
    /// Indexes within indexes. Default 4.
    pub nesting: usize,
    /// Times that one thing is asked of one host before it counts as failed. Default 5.
    pub attempts: u32,
    /// Redirects that one request follows. Default 5.
    pub redirects: usize,
    /// Layers that are fetched at once. Default 3.
    pub parallel: usize,
    /// Time to connect. Default 10 s.
    pub connect: Duration,
    /// Time until an answer begins. Default 30 s.
    pub answer: Duration,
    /// Time without a byte. Default 30 s.
    pub idle: Duration,
    /// Time for a manifest, a configuration or a token. Default 60 s.
    pub document: Duration,
    /// Time for all layers of an image. Default 1 h.
    pub image: Duration,
    /// Time before the second attempt; it doubles with each. Default 500 ms.
    pub first_delay: Duration,
    /// The longest time between attempts, also when a registry asks for more by `Retry-After`. Default 30 s.
    pub longest_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 16 * MIB,
            blob_bytes: 16 * GIB,
            total_bytes: 32 * GIB,
            layers: 512,
            nesting: 4,
            attempts: 5,
            redirects: 5,
            parallel: 3,
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            document: Duration::from_secs(60),
            image: Duration::from_secs(3600),
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(30),
        }
    }
}

impl From<&stella_inventory::Limits> for Limits {
    /// What is fetched may be as large as what is read of it: no packed layer is worth fetching that is larger than it may be
    /// when unpacked, and documents stay below their own default, which is four times what registries promise to take. Times
    /// and attempts are about registries, not about images, and stay as they are.
    fn from(read: &stella_inventory::Limits) -> Self {
        let default = Self::default();
        Self {
            document_bytes: read.max_metadata_bytes.min(default.document_bytes),
            blob_bytes: read.max_layer_bytes,
            total_bytes: read.max_total_bytes,
            layers: read.max_layers,
            nesting: read.max_nesting.min(default.nesting),
            ..default
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(settings: &str) -> Limits {
        Limits::from(&settings.parse::<stella_inventory::Limits>().unwrap())
    }

    #[test]
    fn what_may_be_read_bounds_what_is_fetched() {
        let limits = derived("layers=3,layer-bytes=1MiB,total-bytes=2MiB,metadata-bytes=1KiB");
        let expected =
            Limits { layers: 3, blob_bytes: MIB, total_bytes: 2 * MIB, document_bytes: 1024, ..Limits::default() };
        assert_eq!(limits, expected);
    }

    #[test]
    fn larger_images_are_fetched_where_they_may_be_read_and_documents_are_not() {
        let limits = derived("layers=600,layer-bytes=100GiB,total-bytes=200GiB,metadata-bytes=1GiB");
        assert_eq!((limits.layers, limits.blob_bytes, limits.total_bytes), (600, 100 * GIB, 200 * GIB));
        assert_eq!(limits.document_bytes, Limits::default().document_bytes);
    }
}
