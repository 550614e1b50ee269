//! DER, item by item, for the structures that no parser here knows: the bytes of each item are at hand as they were signed.

use der::asn1::AnyRef;
use der::{Reader as _, SliceReader};

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// One item with its tag and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    /// All of it.
    pub(crate) whole: &'a [u8],
    /// What is in it.
    pub(crate) content: &'a [u8],
}

impl<'a> Item<'a> {
    /// The item that is all of `bytes`.
    pub(crate) fn only(bytes: &'a [u8]) -> Result<Self, String> {
        let mut items = Items::of(bytes)?;
        let item = items.any()?;
        items.end()?;
        Ok(item)
    }

    pub(crate) fn has_tag(&self, tag: u8) -> bool {
        self.whole.first() == Some(&tag)
    }

    /// The items in it.
    pub(crate) fn items(&self) -> Result<Items<'a>, String> {
        Items::of(self.content)
    }
}

/// Items one after another.
#[derive(Debug, Clone)]
pub(crate) struct Items<'a> {
    reader: SliceReader<'a>,
}

impl<'a> Items<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Self, String> {
        SliceReader::new(bytes).map(|reader| Self { reader }).map_err(wrong)
    }

    /// The next, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Item<'a>, String> {
        let whole = self.reader.tlv_bytes().map_err(wrong)?;
        let content = AnyRef::try_from(whole).map_err(wrong)?.value();
        Ok(Item { whole, content })
    }

    /// The next, which has to be `tag`.
    pub(crate) fn next(&mut self, tag: u8) -> Result<Item<'a>, String> {
        let item = self.any()?;
        if item.has_tag(tag) {
            return Ok(item);
        }
        Err(format!("an item has the tag 0x{:02x} where 0x{tag:02x} is expected", item.whole.first().unwrap_or(&0)))
    }

    /// The next where it is `tag`.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Item<'a>>, String> {
        if self.reader.peek_byte() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// All that are left; with each at two bytes or more, they are no more than half as many as there are bytes.
    pub(crate) fn rest(mut self) -> Result<Vec<Item<'a>>, String> {
        let mut rest = Vec::new();
        while !self.reader.is_finished() {
            rest.push(self.any()?);
        }
        Ok(rest)
    }

    /// That nothing is left.
    pub(crate) fn end(self) -> Result<(), String> {
        self.reader.finish().map_err(wrong)
    }
}

fn wrong(error: der::Error) -> String {
    format!("it is no DER: {error}")
}

/// An item of this tag around `content`.
pub(crate) fn wrapped(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let mut item = vec![tag];
    match length.get(zeros..).unwrap_or_default() {
        [] => item.push(0),
        [short @ 0..=0x7f] => item.push(*short),
        long => {
            item.push(0x80 | long.len() as u8);
            item.extend_from_slice(long);
        }
    }
    item.extend_from_slice(content);
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_is_read_again() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let whole = wrapped(OCTET_STRING, &content);
            let item = Item::only(&whole).unwrap();
            assert_eq!((item.whole, item.content), (&whole[..], &content[..]));
            assert!(item.has_tag(OCTET_STRING) && !item.has_tag(SEQUENCE));
        }
    }

    #[test]
    fn what_is_not_there_or_too_much_is_said() {
        let two = [wrapped(INTEGER, &[1]), wrapped(OCTET_STRING, &[2])].concat();
        assert!(Item::only(&two).unwrap_err().starts_with("it is no DER"));
        let mut items = Items::of(&two).unwrap();
        assert_eq!(items.optional(SEQUENCE), Ok(None));
        assert_eq!(items.next(INTEGER).unwrap().content, [1]);
        assert_eq!(items.clone().rest().unwrap().len(), 1);
        assert!(items.clone().end().is_err());
        assert!(items.next(INTEGER).unwrap_err().contains("0x04 where 0x02"));
        assert!(Item::only(&[0x30, 0x81, 1, 0]).is_err(), "a length that could be shorter is no DER");
        assert!(Item::only(&[0x30, 0x80, 0, 0]).is_err(), "nor is one without an end");
        assert!(Item::only(&[]).is_err());
    }
}
