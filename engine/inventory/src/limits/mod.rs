//! How much a foreign archive, tree or document may make us do.

mod settings;

pub use settings::LimitsError;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Bounds on what is read. The defaults let every ordinary image through and stop what is built to harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Layers of one image. Default 512 (overlayfs itself ends at 500 lower directories).
    pub max_layers: usize,
    /// Uncompressed bytes of one layer. Default 32 GiB.
    pub max_layer_bytes: u64,
    /// Uncompressed bytes of all layers of one image together. Default 64 GiB.
    pub max_total_bytes: u64,
    /// Uncompressed bytes for each compressed byte, checked from [`Limits::RATIO_FROM`] uncompressed bytes on.
    /// Default 200: real layers stay below 50, a bomb made with deflate comes near 1,000.
    pub max_ratio: u64,
    /// Entries of one layer, archive or tree. Default 2,000,000.
    pub max_entries: u64,
    /// Bytes of a path. Default 4,096 (`PATH_MAX`).
    pub max_path_bytes: usize,
    /// Components of a path. Default 256.
    pub max_path_depth: usize,
    /// Bytes of one file that a cataloger reads whole (manifests, metadata), of an image's
    /// manifest and of its configuration. Default 64 MiB.
    pub max_metadata_bytes: u64,
    /// Bytes of one package database, which is read whole too. Default 256 MiB: rpm's grows to some 100 MB on a full
    /// installation.
    pub max_database_bytes: u64,
    /// Bytes of one executable that has to be held whole, as Go's build information of before 1.18 requires.
    /// Default 256 MiB.
    pub max_executable_bytes: u64,
    /// Bytes of an SBOM document. Default 256 MiB.
    pub max_document_bytes: u64,
    /// Objects of an SBOM document; twice as many lines of SPDX's tag-value form, four times as many XML tags and
    /// items in JSON lists. Default 1,000,000: a document of 150 MB has about as many.
    pub max_document_objects: usize,
    /// Bytes of names, packages, links and lists of files that are kept of one image or tree. Default 512 MiB: a full
    /// installation of a distribution needs some 50 MB.
    pub max_inventory_bytes: u64,
    /// Archives within archives that a JAR is followed through. Default 8: a WAR in an EAR with JARs in it needs two.
    pub max_archive_depth: usize,
    /// Entries of one JAR and of all that lie in it together. Default 1,000,000.
    pub max_archive_entries: usize,
    /// Uncompressed bytes of one entry of a JAR, or of the archive in what PyInstaller made, that is read, such as another JAR.
    /// Default 128 MiB.
    pub max_archive_entry_bytes: u64,
    /// Uncompressed bytes of all entries that are read of one such file and of all that lie in it together, and of all such files
    /// that are read at the same time. Default 512 MiB.
    pub max_archive_bytes: u64,
    /// Elements within elements of an XML document that a cataloger reads, such as a Maven project. Default 64.
    pub max_xml_depth: usize,
    /// Nesting: indexes within indexes, components within components, links through links. Default 32.
    pub max_nesting: usize,
    /// Whether a file name that is not UTF-8 refuses the layer. Default yes; otherwise the name is read with
    /// replacement characters and the file recorded as a problem.
    pub refuse_non_utf8: bool,
}

impl Limits {
    /// Uncompressed bytes from which on the compression ratio counts: 32 MiB. Small files compress oddly well.
    pub const RATIO_FROM: u64 = 32 * MIB;
    /// Bytes of the window of zstd, which is kept for each layer that is read: 32 MiB. `zstd -19` asks for 8 MiB, level 20
    /// and the best level of BuildKit and Podman for 32 MiB; libzstd itself would allow 128 MiB.
    pub const ZSTD_WINDOW: u64 = 32 * MIB;
    /// Bytes of one extended tar header (a long name or PAX records): 1 MiB.
    pub const EXTENDED_HEADER: u64 = 1024 * KIB;
    /// Packages that one file may declare: 500,000.
    pub const PACKAGES_PER_FILE: usize = 500_000;
    /// Bytes that the packages of one file may take, the names of their files included: 256 MiB.
    pub const PACKAGE_BYTES_PER_FILE: usize = 256 << 20;
    /// Bytes that files which are read whole take at once, in all layers of an image that are read at the same time: 512 MiB.
    /// What JARs unpack to is counted beside it, with [`Self::max_archive_bytes`] for all of them.
    pub const HELD_BYTES: u64 = 512 * MIB;
    /// Folders that are looked up among an image's links: 200 million, which take about a minute. Paths of ordinary
    /// depth need ten each.
    pub const LINK_LOOKUPS: u64 = 200_000_000;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_layers: 512,
            max_layer_bytes: 32 * GIB,
            max_total_bytes: 64 * GIB,
            max_ratio: 200,
            max_entries: 2_000_000,
            max_path_bytes: 4096,
            max_path_depth: 256,
            max_metadata_bytes: 64 * MIB,
            max_database_bytes: 256 * MIB,
            max_executable_bytes: 256 * MIB,
            max_document_bytes: 256 * MIB,
            max_document_objects: 1_000_000,
            max_inventory_bytes: 512 * MIB,
            max_archive_depth: 8,
            max_archive_entries: 1_000_000,
            max_archive_entry_bytes: 128 * MIB,
            max_archive_bytes: 512 * MIB,
            max_xml_depth: 64,
            max_nesting: 32,
            refuse_non_utf8: true,
        }
    }
}
