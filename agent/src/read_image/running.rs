//! Reads an image through a container that runs it, where its layers are no longer kept.

use stella_api::node::NodeReading;
use stella_cri::Connection;
use stella_cri::messages::ListedContainer;
use stella_domain::Digest;
use stella_inventory::{Limits, rootfs};
use tokio::runtime::Handle;

use super::ReadImageError;
use crate::cri;
use crate::identity::digest_in;
use crate::procfs::ProcFs;

/// Reads the root of the first container found that runs the image.
///
/// # Errors
/// When none runs, or its root cannot be read.
pub fn read(
    connection: &Connection,
    proc: &ProcFs,
    image_ref: &str,
    digests: &[Digest],
    limits: &Limits,
) -> Result<NodeReading, ReadImageError> {
    let handle = Handle::current();
    for container in handle.block_on(cri::running(connection))? {
        if !runs(&container, image_ref, digests) {
            continue;
        }
        if let Some(pid) = handle.block_on(cri::first_pid(connection, &container.id))? {
            let inventory = rootfs(&proc.through_root(pid, ""), limits)?;
            return Ok(NodeReading::Rootfs { container_id: container.id, inventory });
        }
    }
    Err(ReadImageError::NotRunning)
}

fn runs(container: &ListedContainer, image_ref: &str, digests: &[Digest]) -> bool {
    let spec = container.image.as_ref();
    let names = spec.into_iter().flat_map(|spec| [&spec.image, &spec.user_specified_image]);
    let mut names = names.chain([&container.image_ref]).filter(|name| !name.is_empty());
    names.any(|name| {
        let named = digest_in(name).or_else(|| name.parse().ok());
        name == image_ref || named.is_some_and(|digest| digests.contains(&digest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stella_cri::messages::ImageSpec;

    #[test]
    fn a_container_is_known_by_name_or_any_digest_of_its_image() {
        let config = Digest::of("c");
        let container = ListedContainer {
            id: "x".to_owned(),
            image: Some(ImageSpec { image: "r.example/a:1".to_owned(), user_specified_image: String::new() }),
            image_ref: config.to_string(),
        };
        assert!(runs(&container, "r.example/a:1", &[]));
        assert!(runs(&container, "", &[config]));
        assert!(!runs(&container, "", &[Digest::of("other")]));
        assert!(!runs(&container, "r.example/b:1", &[]));
    }
}
