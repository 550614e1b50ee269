//! What is asked for in one request: images of one namespace, bounded in number and in bytes.

use std::collections::HashMap;

use stella_api::runtime::MAX_BATCH;

use super::wanted::Waiting;

/// Bytes that the names of a batch may have together. The operator takes 1 MiB of JSON.
const MAX_BYTES: usize = 512 << 10;

#[derive(Default)]
struct Batch {
    images: Vec<Waiting>,
    bytes: usize,
}

impl Batch {
    /// Whether `image` still fits. An empty one takes any.
    fn takes(&self, image: &Waiting) -> bool {
        self.images.len() < MAX_BATCH && (self.images.is_empty() || self.bytes + image.image.len() <= MAX_BYTES)
    }

    fn add(&mut self, image: Waiting) {
        self.bytes += image.image.len();
        self.images.push(image);
    }
}

/// Sorts images into batches of one namespace each. The namespace whose first image waits longest comes first.
pub(super) fn batches(taken: Vec<Waiting>) -> Vec<Vec<Waiting>> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut last_of: HashMap<String, usize> = HashMap::new();
    for image in taken {
        let last = last_of.get(&image.namespace).copied().filter(|last| batches[*last].takes(&image));
        let at = last.unwrap_or_else(|| {
            last_of.insert(image.namespace.clone(), batches.len());
            batches.push(Batch::default());
            batches.len() - 1
        });
        batches[at].add(image);
    }
    batches.into_iter().map(|batch| batch.images).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::ScanWish;
    use crate::fixture::now;
    use crate::scans::wanted::Wanted;

    /// Sizes of the batches, with their namespaces.
    fn sizes(wishes: impl IntoIterator<Item = (&'static str, String)>) -> Vec<(String, usize)> {
        let mut wanted = Wanted::default();
        for (namespace, image) in wishes {
            let wish = ScanWish { tenant: "t".into(), namespace: namespace.into(), image, confirmed_at: None };
            wanted.add(&wish, now());
        }
        let batches = batches(wanted.take(usize::MAX));
        batches.into_iter().map(|batch| (batch[0].namespace.clone(), batch.len())).collect()
    }

    #[test]
    fn a_batch_is_of_one_namespace_and_the_first_to_wait_comes_first() {
        let names = ["shop", "pay", "shop", "ads"];
        let wishes = names.into_iter().enumerate().map(|(number, name)| (name, format!("app:{number}")));
        let expected = [("shop", 2), ("pay", 1), ("ads", 1)].map(|(name, size)| (name.to_owned(), size));
        assert_eq!(sizes(wishes), expected);
    }

    #[test]
    fn neither_many_nor_long_names_make_a_large_batch() {
        let short = (0..=MAX_BATCH).map(|number| ("shop", format!("app:{number}")));
        assert_eq!(sizes(short), [("shop".to_owned(), MAX_BATCH), ("shop".to_owned(), 1)]);
        let long = (0..MAX_BATCH).map(|number| ("shop", format!("{number:06}{}", "x".repeat(4090))));
        assert_eq!(sizes(long), [("shop".to_owned(), 128), ("shop".to_owned(), 128)]);
    }
}
