//! Whether a review concerns admission of images, and which of its images are new.

use std::collections::BTreeSet;

use crate::reference::ImageName;
use crate::review::{ImageUse, Operation, Review, Workload, extract};

/// What of a review has to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Concern {
    pub(super) workload: Workload,
    /// The kubelet runs it whatever is answered: it is the mirror of a file on the node.
    pub(super) static_pod: bool,
    /// Images the old object lacks; at least one.
    pub(super) images: Vec<ImageUse>,
}

/// What has to be judged; `None` for what passes: other kinds, subresources and operations, objects that are being
/// deleted, and updates that bring no image (labels, annotations, scale, status). That an object is being deleted is for the
/// API server to say, which it does in the old one.
pub(super) fn concern(review: &Review) -> Option<Concern> {
    let workload = Workload::of(review)?;
    let known = match review.operation {
        Operation::Create => BTreeSet::new(),
        Operation::Update => spellings(&extract(workload, &review.old_object)),
        Operation::Other => return None,
    };
    let dying = || review.old_object.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null());
    if review.operation == Operation::Update && dying() {
        return None;
    }
    let mut images = extract(workload, &review.object);
    images.retain(|used| !known.contains(&spelling(&used.image)));
    let static_pod = workload.is_pod() && review.mirrors_static_pod();
    (!images.is_empty()).then_some(Concern { workload, static_pod, images })
}

fn spellings(images: &[ImageUse]) -> BTreeSet<String> {
    images.iter().map(|used| spelling(&used.image)).collect()
}

/// `nginx` and `docker.io/library/nginx:latest` are one image; what cannot be read is compared as written.
fn spelling(image: &str) -> String {
    ImageName::parse(image).map_or_else(|_| image.to_owned(), |name| name.to_string())
}
