//! CycloneDX XML, 1.2 to 1.7, into the model that JSON has too.

use super::super::SbomError;
use super::super::text::Text;
use super::super::xml::{Tag, Xml};
use super::model::{
    Component, Dependency, Document, Evidence, Hash, Licence, LicenceChoice, Metadata, Occurrence, Property,
};

const NAMESPACE: &str = "http://cyclonedx.org/schema/bom/";

/// Reads a document. `max_nesting` components may lie within each other; elements four times as many, since each
/// component within another takes two and what it has takes some more.
pub(super) fn read(text: &str, max_nesting: usize) -> Result<Document<'static>, SbomError> {
    let (mut xml, root) = Xml::enter(text, 4 * max_nesting.max(4))?;
    let Some(version) = xml.namespace().strip_prefix(NAMESPACE).filter(|_| root.name == "bom").map(str::to_owned)
    else {
        let found = format!("an XML element '{}' of the namespace '{}'", root.name, xml.namespace());
        return Err(SbomError::NotAnSbom { found: super::super::json::cut(&found) });
    };
    let mut document =
        Document { bom_format: Some("CycloneDX".into()), spec_version: Some(version.into()), ..Document::default() };
    while let Some(tag) = xml.child()? {
        match tag.name.as_str() {
            "metadata" => document.metadata = Some(metadata(&mut xml)?),
            "components" => document.components = Some(components(&mut xml)?),
            "dependencies" => document.dependencies = Some(dependencies(&mut xml)?),
            "properties" => document.properties = Some(properties(&mut xml)?),
            _ => xml.skip()?,
        }
    }
    xml.finish()?;
    Ok(document)
}

fn metadata(xml: &mut Xml<'_>) -> Result<Metadata<'static>, SbomError> {
    let mut metadata = Metadata::default();
    while let Some(tag) = xml.child()? {
        match tag.name.as_str() {
            "component" => metadata.component = Some(component(xml, &tag)?),
            "properties" => metadata.properties = Some(properties(xml)?),
            _ => xml.skip()?,
        }
    }
    Ok(metadata)
}

fn components(xml: &mut Xml<'_>) -> Result<Vec<Component<'static>>, SbomError> {
    each(xml, "component", component)
}

fn component(xml: &mut Xml<'_>, tag: &Tag<'_>) -> Result<Component<'static>, SbomError> {
    let mut component = Component {
        kind: xml.attribute(tag, "type")?.map(Text::from),
        reference: xml.attribute(tag, "bom-ref")?.map(Text::from),
        is_external: xml.attribute(tag, "isExternal")?.map(|text| text == "true" || text == "1"),
        ..Component::default()
    };
    while let Some(tag) = xml.child()? {
        match tag.name.as_str() {
            "name" => component.name = Some(xml.text()?.into()),
            "version" => component.version = Some(xml.text()?.into()),
            "versionRange" => component.version_range = Some(xml.text()?.into()),
            "description" => component.description = Some(xml.text()?.into()),
            "scope" => component.scope = Some(xml.text()?.into()),
            "purl" => component.purl = Some(xml.text()?.into()),
            "hashes" => component.hashes = Some(each(xml, "hash", hash)?),
            "licenses" => component.licenses = Some(licences(xml)?),
            "properties" => component.properties = Some(properties(xml)?),
            "evidence" => component.evidence = Some(evidence(xml)?),
            "components" => component.components = Some(components(xml)?),
            _ => xml.skip()?,
        }
    }
    Ok(component)
}

fn hash(xml: &mut Xml<'_>, tag: &Tag<'_>) -> Result<Hash<'static>, SbomError> {
    Ok(Hash { alg: xml.attribute(tag, "alg")?.unwrap_or_default().into(), content: xml.text()?.into() })
}

fn licences(xml: &mut Xml<'_>) -> Result<Vec<LicenceChoice<'static>>, SbomError> {
    let mut found = Vec::new();
    while let Some(tag) = xml.child()? {
        match tag.name.as_str() {
            "license" => found.push(LicenceChoice { license: Some(licence(xml)?), expression: None }),
            "expression" => found.push(LicenceChoice { license: None, expression: Some(xml.text()?.into()) }),
            "expression-detailed" | "expressionDetailed" => {
                let expression = xml.attribute(&tag, "expression")?.map(Text::from);
                xml.skip()?;
                found.push(LicenceChoice { license: None, expression });
            }
            _ => xml.skip()?,
        }
    }
    Ok(found)
}

fn licence(xml: &mut Xml<'_>) -> Result<Licence<'static>, SbomError> {
    let mut licence = Licence::default();
    while let Some(tag) = xml.child()? {
        match tag.name.as_str() {
            "id" => licence.id = Some(xml.text()?.into()),
            "name" => licence.name = Some(xml.text()?.into()),
            _ => xml.skip()?,
        }
    }
    Ok(licence)
}

fn properties(xml: &mut Xml<'_>) -> Result<Vec<Property<'static>>, SbomError> {
    each(xml, "property", |xml, tag| {
        Ok(Property { name: xml.attribute(tag, "name")?.unwrap_or_default().into(), value: Some(xml.text()?.into()) })
    })
}

fn evidence(xml: &mut Xml<'_>) -> Result<Evidence<'static>, SbomError> {
    let mut evidence = Evidence::default();
    while let Some(tag) = xml.child()? {
        match tag.name.as_str() {
            "occurrences" => evidence.occurrences = Some(each(xml, "occurrence", occurrence)?),
            _ => xml.skip()?,
        }
    }
    Ok(evidence)
}

fn occurrence(xml: &mut Xml<'_>, _: &Tag<'_>) -> Result<Occurrence<'static>, SbomError> {
    let mut location = Text::default();
    while let Some(tag) = xml.child()? {
        match tag.name.as_str() {
            "location" => location = xml.text()?.into(),
            _ => xml.skip()?,
        }
    }
    Ok(Occurrence { location })
}

fn dependencies(xml: &mut Xml<'_>) -> Result<Vec<Dependency<'static>>, SbomError> {
    each(xml, "dependency", |xml, tag| {
        let reference = xml.attribute(tag, "ref")?.unwrap_or_default();
        let depends_on = each(xml, "dependency", |xml, tag| {
            let reference = xml.attribute(tag, "ref")?.unwrap_or_default();
            xml.skip()?;
            Ok(Text::from(reference))
        })?;
        Ok(Dependency { reference: reference.into(), depends_on: Some(depends_on) })
    })
}

/// The elements of one name within the one entered last.
fn each<'t, T>(
    xml: &mut Xml<'t>,
    name: &str,
    read: impl Fn(&mut Xml<'t>, &Tag<'t>) -> Result<T, SbomError>,
) -> Result<Vec<T>, SbomError> {
    let mut found = Vec::new();
    while let Some(tag) = xml.child()? {
        if tag.name == name {
            found.push(read(xml, &tag)?);
        } else {
            xml.skip()?;
        }
    }
    Ok(found)
}
