//! A header becomes a package.

use super::header::{Header, HeaderError, Tag};
use crate::archive::join;
use crate::identity::source_rpm;
use crate::{Package, PackageKind};

/// `st_mode` of a directory.
const FORMAT: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
/// A file that was left out when the package was installed, such as documentation.
const NOT_INSTALLED: u32 = 2;
/// Bytes of a path (`PATH_MAX`).
const MAX_PATH: usize = 4096;

/// How many more bytes the packages of a database may take. Two lists of a few bytes can name many long paths, and
/// one text can stand for many tags.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(128 << 20)
    }
}

impl Budget {
    fn take(&mut self, bytes: usize) -> Result<(), PackageError> {
        self.0 = self.0.checked_sub(bytes).ok_or(PackageError::TooMuch)?;
        Ok(())
    }
}

/// Why a header is no package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PackageError {
    /// It cannot be read.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// It lacks a name, a version or a release.
    #[error("package '{0}' has no name, no version or no release")]
    Incomplete(String),
    /// It and those before it are more than is held.
    #[error("the packages and their files need more memory than is given to a database")]
    TooMuch,
}

/// The package that a header describes. Keys for signatures are kept like packages, but are none.
pub(super) fn package_of(
    header: &Header<'_>,
    path: &str,
    budget: &mut Budget,
) -> Result<Option<Package>, PackageError> {
    let name = header.text(Tag::Name)?;
    if name == "gpg-pubkey" {
        return Ok(None);
    }
    let (version, release) = (header.text(Tag::Version)?, header.text(Tag::Release)?);
    if name.is_empty() || version.is_empty() || release.is_empty() {
        return Err(PackageError::Incomplete(name));
    }
    let epoch = header.numbers(Tag::Epoch)?.first().copied().unwrap_or(0);
    let without_epoch = format!("{version}-{release}");
    let with_epoch = |version: &str| if epoch == 0 { version.to_owned() } else { format!("{epoch}:{version}") };
    let module = Some(header.text(Tag::ModularityLabel)?).filter(|label| !label.is_empty());
    let mut source = source_rpm(&header.text(Tag::SourceRpm)?);
    if let Some(source) = &mut source {
        // The name of the source's file has no epoch; built with the same version, it has the same.
        if source.version == without_epoch {
            source.version = with_epoch(&source.version);
        }
        source.module = module;
    }
    let (licence, arch) = (header.text(Tag::License)?, header.text(Tag::Arch)?);
    let held = source.iter().map(|source| source.name.len() + source.version.len()).sum::<usize>();
    let module = source.iter().flat_map(|source| &source.module).map(String::len).sum::<usize>();
    let own = name.len() + without_epoch.len() + licence.len() + arch.len() + path.len();
    budget.take(size_of::<Package>() + own + held + module)?;
    Ok(Some(Package {
        kind: PackageKind::Rpm,
        version: with_epoch(&without_epoch),
        name,
        arch: Some(arch).filter(|arch| !arch.is_empty()),
        source,
        path: path.to_owned(),
        licences: Some(licence).filter(|licence| !licence.is_empty()).into_iter().collect(),
        files: Vec::new(),
        linked: false,
        sha1: None,
    }))
}

/// The installed files of a package, relative to the root, sorted, without folders.
pub(super) fn files_of(header: &Header<'_>, budget: &mut Budget) -> Result<Vec<String>, PackageError> {
    let modes = header.numbers(Tag::FileModes)?;
    let states = header.numbers(Tag::FileStates)?;
    let is_file = |index: usize| {
        modes.get(index).is_none_or(|mode| mode & FORMAT != DIRECTORY) && states.get(index) != Some(&NOT_INSTALLED)
    };
    let mut files = Vec::new();
    let mut take = |folder: &[u8], name: &[u8]| -> Result<(), PackageError> {
        if folder.len() + name.len() > MAX_PATH {
            return Ok(());
        }
        let path = join("", &String::from_utf8_lossy(&[folder, name].concat()));
        budget.take(path.len() + size_of::<String>())?;
        files.push(path);
        Ok(())
    };
    let folders = header.texts(Tag::DirNames)?;
    let folder_of = header.numbers(Tag::DirIndexes)?;
    for (index, name) in header.texts(Tag::BaseNames)?.into_iter().enumerate().filter(|(index, _)| is_file(*index)) {
        let folder = folder_of.get(index).and_then(|folder| folders.get(*folder as usize));
        take(folder.ok_or(HeaderError::Tag(Tag::DirIndexes))?, name)?;
    }
    // Packages built before rpm 4 list whole paths.
    for (_, path) in header.texts(Tag::OldFileNames)?.into_iter().enumerate().filter(|(index, _)| is_file(*index)) {
        take(b"", path)?;
    }
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::super::header::tests::header;
    use super::*;

    const STRING: u32 = 6;
    const STRING_ARRAY: u32 = 8;
    const INT16: u32 = 3;
    const INT32: u32 = 4;

    fn read(tags: &[(Tag, u32, usize, &[u8])]) -> Result<Option<Package>, PackageError> {
        package_of(&Header::parse(&header(tags)).unwrap(), "x", &mut Budget::default())
    }

    #[test]
    fn a_name_a_version_and_a_release_are_needed() {
        let tags: &[(Tag, u32, usize, &[u8])] =
            &[(Tag::Name, STRING, 1, b"a\0"), (Tag::Version, STRING, 1, b"1\0"), (Tag::Release, STRING, 1, b"2\0")];
        let package = read(tags).unwrap().unwrap();
        assert_eq!((package.version.as_str(), package.arch, package.source), ("1-2", None, None));
        assert_eq!(read(&tags[..2]), Err(PackageError::Incomplete("a".into())));
        assert_eq!(read(&[(Tag::Name, STRING, 1, b"gpg-pubkey\0")]), Ok(None));
        assert_eq!(read(&[(Tag::Name, INT32, 1, b"a\0aa")]), Err(HeaderError::Tag(Tag::Name).into()));
    }

    #[test]
    fn whole_paths_of_old_packages_and_folders() {
        let modes = [0x41, 0xed, 0x81, 0xa4];
        let bytes =
            header(&[(Tag::OldFileNames, STRING_ARRAY, 2, b"/etc\0/etc/x\0"), (Tag::FileModes, INT16, 2, &modes)]);
        assert_eq!(files_of(&Header::parse(&bytes).unwrap(), &mut Budget::default()).unwrap(), ["etc/x"]);
    }

    #[test]
    fn short_lists_cannot_name_a_great_many_bytes() {
        let folder = [vec![b'/'], vec![b'x'; 4000], vec![b'/', 0]].concat();
        let names = b"a\0".repeat(10_000);
        let bytes = header(&[
            (Tag::DirNames, STRING_ARRAY, 1, &folder),
            (Tag::BaseNames, STRING_ARRAY, 10_000, &names),
            (Tag::DirIndexes, INT32, 10_000, &[0; 40_000]),
        ]);
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(files_of(&header, &mut Budget(1 << 20)), Err(PackageError::TooMuch));
        assert_eq!(files_of(&header, &mut Budget::default()).unwrap().len(), 1);
    }

    #[test]
    fn a_file_of_no_folder_is_an_error() {
        let bytes = header(&[(Tag::BaseNames, STRING_ARRAY, 1, b"a\0"), (Tag::DirIndexes, INT32, 1, &[0, 0, 0, 9])]);
        let files = files_of(&Header::parse(&bytes).unwrap(), &mut Budget::default());
        assert_eq!(files, Err(HeaderError::Tag(Tag::DirIndexes).into()));
    }
}
