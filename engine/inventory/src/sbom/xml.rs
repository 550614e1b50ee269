//! A walk through XML, element by element: no DTD, no entities but the five of XML, bounded depth.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::{resolve_xml_entity, unescape};
use quick_xml::events::{BytesStart, Event};

use super::json::cut;
use super::{SbomError, SbomFormat};

const MAX_ATTRIBUTES: usize = 64;

/// An element that was entered.
#[derive(Debug)]
pub(super) struct Tag<'t> {
    /// Its name without prefix. Empty for elements of other namespaces than the document's.
    pub(super) name: String,
    start: BytesStart<'t>,
}

/// A document being walked. Each element that [`Xml::child`] gives has to be left again: by walking to its end with
/// [`Xml::child`] itself, with [`Xml::text`] or with [`Xml::skip`].
pub(super) struct Xml<'t> {
    text: &'t str,
    reader: Reader<&'t [u8]>,
    prefix: String,
    namespace: String,
    depth: usize,
    max_depth: usize,
}

enum Step<'t> {
    Open(BytesStart<'t>),
    Close,
    Text(Cow<'t, str>),
    End,
}

impl<'t> Xml<'t> {
    /// A walk that has entered the root.
    pub(super) fn enter(text: &'t str, max_depth: usize) -> Result<(Self, Tag<'t>), SbomError> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let (prefix, namespace) = (String::new(), String::new());
        let mut xml = Self { text, reader, prefix, namespace, depth: 0, max_depth };
        loop {
            match xml.step()? {
                Step::Text(text) if text.trim().is_empty() => {}
                Step::Open(start) => {
                    let name = start.name().0.to_owned();
                    let (prefix, local) = name.split_once(':').unwrap_or(("", &name));
                    xml.prefix = prefix.to_owned();
                    let declared = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
                    let tag = Tag { name: local.to_owned(), start };
                    xml.namespace = xml.attribute(&tag, &declared)?.unwrap_or_default();
                    return Ok((xml, tag));
                }
                _ => return Err(xml.error("it has no root element")),
            }
        }
    }

    /// The namespace of the root.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The next element within the one entered last; `None` when that ended.
    pub(super) fn child(&mut self) -> Result<Option<Tag<'t>>, SbomError> {
        loop {
            match self.step()? {
                Step::Open(start) => {
                    let tag = Tag { name: String::new(), start };
                    let foreign = self.attribute(&tag, "xmlns")?.is_some_and(|space| space != self.namespace);
                    let name = tag.start.name().0;
                    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
                    let name = if prefix == self.prefix && !foreign { local.to_owned() } else { String::new() };
                    return Ok(Some(Tag { name, ..tag }));
                }
                Step::Close => return Ok(None),
                Step::Text(_) => {}
                Step::End => return Err(self.error("it ends within an element")),
            }
        }
    }

    /// The text of the element entered last, which is left.
    pub(super) fn text(&mut self) -> Result<String, SbomError> {
        let mut found = String::new();
        loop {
            match self.step()? {
                Step::Text(text) => found.push_str(&text),
                Step::Open(_) => self.skip()?,
                Step::Close => return Ok(found.trim().to_owned()),
                Step::End => return Err(self.error("it ends within an element")),
            }
        }
    }

    /// Leaves the element entered last.
    pub(super) fn skip(&mut self) -> Result<(), SbomError> {
        let target = self.depth.saturating_sub(1);
        while self.depth > target {
            if let Step::End = self.step()? {
                return Err(self.error("it ends within an element"));
            }
        }
        Ok(())
    }

    /// Whether nothing but blanks and comments follows the root.
    pub(super) fn finish(&mut self) -> Result<(), SbomError> {
        loop {
            match self.step()? {
                Step::End => return Ok(()),
                Step::Text(text) if text.trim().is_empty() => {}
                _ => return Err(self.error("something follows the root element")),
            }
        }
    }

    /// An attribute of an element.
    pub(super) fn attribute(&self, tag: &Tag<'_>, name: &str) -> Result<Option<String>, SbomError> {
        for (index, attribute) in tag.start.attributes().with_checks(false).enumerate() {
            let attribute = attribute.map_err(|error| self.error(&error.to_string()))?;
            if index >= MAX_ATTRIBUTES {
                return Err(SbomError::Limit { what: "attributes of an element", max: MAX_ATTRIBUTES });
            }
            if attribute.key.0 == name {
                let value = unescape(&attribute.value).map_err(|error| self.error(&error.to_string()))?;
                return Ok(Some(value.into_owned()));
            }
        }
        Ok(None)
    }

    /// An error with the line that was reached.
    pub(super) fn error(&self, reason: &str) -> SbomError {
        let position = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        let before = self.text.as_bytes().get(..position).unwrap_or(self.text.as_bytes());
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        let reason = format!("line {line}: {}", cut(reason));
        SbomError::Malformed { format: SbomFormat::CycloneDxXml.name(), reason }
    }

    fn step(&mut self) -> Result<Step<'t>, SbomError> {
        loop {
            let event = self.reader.read_event().map_err(|error| self.error(&error.to_string()))?;
            return Ok(match event {
                Event::Start(start) | Event::Empty(start) => {
                    self.depth += 1;
                    if self.depth > self.max_depth {
                        return Err(SbomError::Limit { what: "XML elements within each other", max: self.max_depth });
                    }
                    Step::Open(start)
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    Step::Close
                }
                Event::Text(text) => Step::Text(text.into_inner()),
                Event::CData(text) => Step::Text(text.into_inner()),
                Event::GeneralRef(reference) => {
                    let wrong = |reason: String| self.error(&reason);
                    let character = reference.resolve_char_ref().map_err(|error| wrong(error.to_string()))?;
                    match character {
                        Some(character) => Step::Text(character.to_string().into()),
                        None => match resolve_xml_entity(&reference) {
                            Some(text) => Step::Text(text.into()),
                            None => return Err(wrong(format!("entities are not read: &{};", &*reference))),
                        },
                    }
                }
                Event::DocType(_) => return Err(self.error("document type definitions are not read")),
                Event::Decl(declaration) => {
                    self.check_encoding(declaration.encoding().and_then(Result::ok).as_deref())?;
                    continue;
                }
                Event::Comment(_) | Event::PI(_) => continue,
                Event::Eof => Step::End,
            });
        }
    }

    fn check_encoding(&self, encoding: Option<&str>) -> Result<(), SbomError> {
        let known = ["utf-8", "utf8", "us-ascii"];
        match encoding {
            Some(name) if !known.iter().any(|known| name.eq_ignore_ascii_case(known)) => {
                Err(self.error(&format!("the encoding {name} is not read")))
            }
            _ => Ok(()),
        }
    }
}

/// The namespace of a document's root, if it has one.
pub(super) fn root_namespace(text: &str) -> Result<Option<String>, SbomError> {
    let (xml, tag) = match Xml::enter(text, 1) {
        Ok(entered) => entered,
        Err(SbomError::Malformed { reason, .. }) => {
            return Err(SbomError::NotAnSbom { found: format!("it is XML or HTML that cannot be read: {reason}") });
        }
        Err(error) => return Err(error),
    };
    drop(tag);
    Ok(Some(xml.namespace).filter(|namespace| !namespace.is_empty()))
}
