//! Bytes become the folder of `containers/storage`: four parts with zero bytes between, the list of images, the list of layers, a
//! configuration, and what is written down of the one layer that has files. `IMAGE` in the first is the configuration's digest.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use stella_domain::Digest;
use stella_inventory::image::{ImageFile, ReadOptions};

/// The image's name.
const NAME: &str = "localhost/app:1";
/// The layer that has files.
const LAYER: &str = "1111111111111111111111111111111111111111111111111111111111111111";

/// What can be read of the image of this name is the same when it is read again.
pub fn storage(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    if write(folder.path(), bytes).is_none() {
        return;
    }
    let read = || {
        let options = ReadOptions { limits: super::limits(), ..ReadOptions::default() };
        ImageFile::open_stored(&[folder.path()], NAME, &options).ok()?.inventory().ok()
    };
    if let Some(inventory) = read() {
        assert_eq!(Some(inventory), read());
    }
}

fn write(root: &Path, bytes: &[u8]) -> Option<()> {
    let mut parts = bytes.splitn(4, |byte| *byte == 0);
    let (images, layers, config, lines) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let id = Digest::of(config).hex();
    let put = |name: String, content: &[u8]| {
        let path = root.join(name);
        fs::create_dir_all(path.parent()?).ok()?;
        fs::write(path, content).ok()
    };
    put("overlay-images/images.json".into(), String::from_utf8_lossy(images).replace("IMAGE", &id).as_bytes())?;
    put("overlay-layers/layers.json".into(), layers)?;
    put(format!("overlay-images/{id}/={}", STANDARD.encode(format!("sha256:{id}"))), config)?;
    put(format!("overlay/{LAYER}/diff/etc/os-release"), b"ID=debian\nVERSION_ID=12\n")?;
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(lines).ok()?;
    put(format!("overlay-layers/{LAYER}.tar-split.gz"), &packed.finish().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_input_is_an_image() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), include_bytes!("../corpus/storage/seed-image")).unwrap();
        let image = ImageFile::open_stored(&[folder.path()], NAME, &ReadOptions::default()).unwrap();
        assert_eq!(image.inventory().unwrap().os.unwrap().version, "12");
    }
}
