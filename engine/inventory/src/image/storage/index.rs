//! What `containers-storage` writes down: its images, and the layers they stand on.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use stella_domain::Digest;

use crate::limits::Limits;

use super::super::ImageError;
use super::super::manifest::{ManifestError, json};

/// An image of `images.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct StoredImage {
    pub(super) id: String,
    #[serde(default)]
    pub(super) digest: Option<Digest>,
    #[serde(default)]
    pub(super) names: Option<Vec<String>>,
    /// Id of the topmost layer.
    #[serde(default)]
    pub(super) layer: Option<String>,
}

/// A layer of `layers.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct StoredLayer {
    pub(super) id: String,
    #[serde(default)]
    parent: Option<String>,
    /// Digest of the uncompressed bytes it was made of; absent for one that a container left.
    #[serde(default)]
    pub(super) diff_digest: Option<Digest>,
    /// `incomplete` while it is unpacked or removed.
    #[serde(default)]
    flags: Value,
}

/// A small file of the storage.
pub(super) fn document(path: &Path, limits: &Limits) -> Result<Vec<u8>, ImageError> {
    let what = path.display().to_string();
    let failed = |source| ImageError::Read { what: what.clone(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > limits.max_metadata_bytes {
        return Err(ImageError::TooLarge { what, size, max: limits.max_metadata_bytes });
    }
    std::fs::read(path).map_err(failed)
}

/// The image that is called so, or whose id begins so.
pub(super) fn find(bytes: &[u8], name: &str) -> Result<Option<StoredImage>, ManifestError> {
    let images: Vec<StoredImage> = json("images.json", bytes)?;
    let id = name.strip_prefix("sha256:").unwrap_or(name);
    let is_id = (12..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let names = spellings(name);
    let called = |image: &StoredImage| {
        let has = |wanted: &String| image.names.iter().flatten().any(|name| name == wanted);
        names.iter().any(has) || image.digest.is_some_and(|digest| digest.to_string() == name)
    };
    let mut images: Vec<StoredImage> =
        images.into_iter().filter(|image| called(image) || (is_id && image.id.starts_with(id))).collect();
    // A name goes before an id that happens to begin like it.
    let place = images.iter().position(called).unwrap_or(0);
    Ok((place < images.len()).then(|| images.swap_remove(place)))
}

/// A name as given, and with the host and the tag that tools add.
fn spellings(name: &str) -> Vec<String> {
    let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
    let tagged = if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") };
    let hosts = match name.split_once('/') {
        None => vec!["localhost/", "docker.io/library/"],
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => Vec::new(),
        Some(_) => vec!["localhost/", "docker.io/"],
    };
    [name.to_owned(), tagged.clone()].into_iter().chain(hosts.iter().map(|host| format!("{host}{tagged}"))).collect()
}

/// The layers from the base up to `top`, each with the number of the list that has it: the first of those that do.
pub(super) fn chain(lists: &[Vec<u8>], top: &str, limits: &Limits) -> Result<Vec<(usize, StoredLayer)>, ImageError> {
    let mut by_id: HashMap<String, (usize, StoredLayer)> = HashMap::new();
    for (list, bytes) in lists.iter().enumerate() {
        let layers: Vec<StoredLayer> = json("layers.json", bytes)?;
        for layer in layers {
            by_id.entry(layer.id.clone()).or_insert((list, layer));
        }
    }
    let (mut chain, mut seen) = (Vec::new(), HashSet::new());
    let mut next = Some(top.to_owned());
    while let Some(id) = next.filter(|id| !id.is_empty()) {
        if chain.len() == limits.max_layers {
            return Err(ManifestError::TooManyLayers { found: chain.len() + 1, max: limits.max_layers }.into());
        }
        let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let shown = || id.chars().take(100).collect::<String>();
        let malformed = |reason: String| ManifestError::Malformed { what: "layers.json", reason };
        if !is_id || !seen.insert(id.clone()) {
            return Err(malformed(format!("'{}' is no id of a layer, or stands below itself", shown())).into());
        }
        let (list, layer) =
            by_id.remove(&id).ok_or_else(|| ImageError::Missing { what: format!("layer {}", shown()) })?;
        if layer.flags["incomplete"] == true {
            return Err(malformed(format!("layer {} is not all there", shown())).into());
        }
        next = layer.parent.clone();
        chain.push((list, layer));
    }
    chain.reverse();
    Ok(chain)
}

/// The name of a document's file: as it is when it is plain, else in base64.
pub(super) fn file_name(key: &str) -> String {
    let is_plain = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.');
    if is_plain { key.to_owned() } else { format!("={}", STANDARD.encode(key)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    #[test]
    fn names_and_ids() {
        let images = format!(
            r#"[{{"id":"{}","names":["docker.io/library/web:1"]}},{{"id":"{}","names":["localhost/a/b:latest"],"layer":"x"}},
            {{"id":"{}","names":null}}]"#,
            id('a'),
            id('b'),
            id('c')
        );
        let found = |name: &str| find(images.as_bytes(), name).unwrap().map(|image| image.id.chars().next().unwrap());
        for (name, wanted) in [
            ("web:1", Some('a')),
            ("docker.io/library/web:1", Some('a')),
            ("web", None),
            ("a/b", Some('b')),
            ("localhost/a/b", Some('b')),
            ("cccccccccccc", Some('c')),
            ("ccc", None),
            ("", None),
        ] {
            assert_eq!(found(name), wanted, "{name}");
        }
        assert_eq!(found(&format!("sha256:{}", id('a'))), Some('a'));
        assert_eq!(file_name("manifest"), "manifest");
        assert_eq!(file_name("sha256:aa"), "=c2hhMjU2OmFh");
    }

    #[test]
    fn chains_end() {
        let layers = |parent: &str| {
            format!(
                r#"[{{"id":"{}"}},{{"id":"{}","parent":"{}"}},{{"id":"{}","parent":"{parent}"}}]"#,
                id('a'),
                id('b'),
                id('c'),
                id('c')
            )
        };
        let limits = Limits { max_layers: 3, ..Limits::default() };
        let chain = |text: &str, top: char| chain(&[text.as_bytes().to_vec()], &id(top), &limits);
        let found = chain(&layers(&id('a')), 'b').unwrap();
        assert_eq!(found.iter().map(|(_, layer)| layer.id.clone()).collect::<Vec<_>>(), [id('a'), id('c'), id('b')]);
        for (parent, says) in
            [(id('b'), "stands below itself"), ("../../etc".into(), "no id of a layer"), (id('d'), "missing")]
        {
            let error = chain(&layers(&parent), 'b').unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn chains_go_on_in_other_lists() {
        let own = format!(r#"[{{"id":"{}","parent":"{}"}}]"#, id('b'), id('a'));
        let other = format!(r#"[{{"id":"{}","flags":null}},{{"id":"{}","parent":"x"}}]"#, id('a'), id('b'));
        let found = |lists: &[&String]| {
            let lists: Vec<Vec<u8>> = lists.iter().map(|list| list.as_bytes().to_vec()).collect();
            let chain = chain(&lists, &id('b'), &Limits::default()).map_err(|error| error.to_string())?;
            Ok::<_, String>(chain.into_iter().map(|(list, layer)| (list, layer.id)).collect::<Vec<_>>())
        };
        assert_eq!(found(&[&own, &other]), Ok(vec![(1, id('a')), (0, id('b'))]), "the first that has it");
        assert!(found(&[&own]).unwrap_err().contains("layer aaaa"));
        let half = format!(r#"[{{"id":"{}","flags":{{"incomplete":true}}}}]"#, id('a'));
        assert!(found(&[&own, &half]).unwrap_err().contains("is not all there"));
    }
}
