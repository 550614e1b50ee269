//! What the properties of a component tell, in the words of Stella, Trivy and Syft.

use crate::SourcePackage;

use super::super::listing::joined_version;
use super::model::Property;
use super::property;

/// The values of the properties that are read. Of several with one name the last counts.
#[derive(Debug, Default)]
pub(super) struct Told<'d> {
    /// The layer by our own property.
    pub(super) layer: Option<&'d str>,
    trivy_layer: Option<&'d str>,
    syft_layer: Option<&'d str>,
    /// The path by whichever property has it.
    pub(super) path: Option<&'d str>,
    pub(super) files: Option<&'d str>,
    pub(super) linked: Option<&'d str>,
    pub(super) os_like: Option<&'d str>,
    source: (Option<&'d str>, Option<&'d str>),
    syft_source: (Option<&'d str>, Option<&'d str>),
    trivy: Trivy<'d>,
}

/// The source package in Trivy's words; empty where it says nothing.
#[derive(Debug, Default)]
struct Trivy<'d> {
    name: &'d str,
    epoch: &'d str,
    version: &'d str,
    release: &'d str,
}

impl<'d> Told<'d> {
    pub(super) fn by(properties: &'d [Property<'_>]) -> Self {
        let mut told = Self::default();
        let (mut own_path, mut trivy_path, mut syft_path) = (None, None, None);
        for property in properties {
            let Some(value) = property.value.as_deref() else { continue };
            match &*property.name {
                property::LAYER => told.layer = Some(value),
                property::PATH => own_path = Some(value),
                property::FILES => told.files = Some(value),
                property::LINKED => told.linked = Some(value),
                property::OS_LIKE => told.os_like = Some(value),
                property::SOURCE_NAME => told.source.0 = Some(value),
                property::SOURCE_VERSION => told.source.1 = Some(value),
                "aquasecurity:trivy:LayerDiffID" => told.trivy_layer = Some(value),
                "aquasecurity:trivy:FilePath" => trivy_path = Some(value),
                "aquasecurity:trivy:SrcName" => told.trivy.name = value,
                "aquasecurity:trivy:SrcEpoch" => told.trivy.epoch = value,
                "aquasecurity:trivy:SrcVersion" => told.trivy.version = value,
                "aquasecurity:trivy:SrcRelease" => told.trivy.release = value,
                "syft:location:0:layerID" => told.syft_layer = Some(value),
                "syft:location:0:path" => syft_path = Some(value),
                "syft:metadata:source" => told.syft_source.0 = Some(value),
                "syft:metadata:sourceVersion" => told.syft_source.1 = Some(value),
                _ => {}
            }
        }
        told.path = own_path.or(trivy_path).or(syft_path);
        told
    }

    /// The layer in the words of others.
    pub(super) fn foreign_layer(&self) -> Option<&'d str> {
        self.trivy_layer.or(self.syft_layer)
    }

    /// The source package that the component was built from.
    pub(super) fn source(&self) -> Option<SourcePackage> {
        let Trivy { name, epoch, version, release } = self.trivy;
        if !name.is_empty() {
            return Some(SourcePackage::new(name, joined_version(epoch, version, release)));
        }
        let name = self.source.0.or(self.syft_source.0).filter(|name| !name.is_empty())?;
        Some(SourcePackage::new(name, self.source.1.or(self.syft_source.1).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties<'d>(pairs: &[(&'d str, Option<&'d str>)]) -> Vec<Property<'d>> {
        pairs.iter().map(|(name, value)| Property { name: (*name).into(), value: value.map(Into::into) }).collect()
    }

    #[test]
    fn the_last_of_a_name_counts_and_ours_before_those_of_others() {
        let properties = properties(&[
            ("syft:location:0:path", Some("c")),
            ("aquasecurity:trivy:FilePath", Some("b")),
            (property::PATH, Some("a")),
            (property::PATH, Some("")),
            (property::PATH, None),
            ("aquasecurity:trivy:LayerDiffID", Some("l")),
            ("syft:location:0:layerID", Some("m")),
        ]);
        assert_eq!(Told::by(&properties).path, Some(""), "said to be nowhere");
        assert_eq!(Told::by(&properties[..2]).path, Some("b"));
        assert_eq!(Told::by(&properties[..1]).path, Some("c"));
        assert_eq!(Told::by(&properties).foreign_layer(), Some("l"));
    }

    #[test]
    fn a_source_package_in_the_words_of_each() {
        let source = |pairs: &[(&'static str, Option<&'static str>)]| {
            let properties = properties(pairs);
            Told::by(&properties).source().map(|source| format!("{} {}", source.name, source.version))
        };
        let own = (property::SOURCE_NAME, Some("own"));
        assert_eq!(source(&[own, ("syft:metadata:sourceVersion", Some("1"))]).as_deref(), Some("own 1"));
        assert_eq!(source(&[(property::SOURCE_NAME, Some("")), ("syft:metadata:source", Some("s"))]), None);
        assert_eq!(source(&[("syft:metadata:source", Some("s"))]).as_deref(), Some("s "));
        let trivy = [
            own,
            ("aquasecurity:trivy:SrcName", Some("t")),
            ("aquasecurity:trivy:SrcEpoch", Some("2")),
            ("aquasecurity:trivy:SrcVersion", Some("1.0")),
            ("aquasecurity:trivy:SrcRelease", Some("3.el9")),
        ];
        assert_eq!(source(&trivy).as_deref(), Some("t 2:1.0-3.el9"));
    }
}
