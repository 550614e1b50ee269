use super::*;

const PAGE: usize = 512;

/// A page with its header; `more` is the next page, `free` the offset of the items or the length of the content.
fn page(number: u32, more: u32, items: u16, free: u16, kind: u8, swap: bool) -> Vec<u8> {
    let (n16, n32) = (
        move |value: u16| if swap { value.to_be_bytes() } else { value.to_le_bytes() },
        move |value: u32| if swap { value.to_be_bytes() } else { value.to_le_bytes() },
    );
    let mut page = vec![0; 8];
    page.extend([number, 0, more].map(n32).concat());
    page.extend([items, free].map(n16).concat());
    page.extend([0, kind]);
    page
}

/// The page of metadata, then one page with these items.
fn table(items: &[Vec<u8>], swap: bool) -> Vec<u8> {
    let n32 = move |value: u32| if swap { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut meta = vec![0; 8];
    meta.extend([0, HASH_MAGIC, 9, PAGE as u32].map(n32).concat());
    meta.extend([0, 8, 0, 0, 0, 0, 0, 0]);
    meta.extend(n32(1));
    meta.resize(PAGE, 0);
    let mut end = PAGE;
    let mut hash = page(1, 0, items.len() as u16, 0, HASH, swap);
    for item in items {
        end -= item.len();
        hash.extend(if swap { (end as u16).to_be_bytes() } else { (end as u16).to_le_bytes() });
    }
    hash.resize(end, 0);
    items.iter().rev().for_each(|item| hash.extend(item));
    [meta, hash].concat()
}

fn key(number: u32) -> Vec<u8> {
    [&[KEY_DATA][..], &number.to_le_bytes()].concat()
}

/// A value on pages from `first` on, and those pages.
fn long_value(first: u32, content: &[u8], swap: bool) -> (Vec<u8>, Vec<u8>) {
    let n32 = move |value: u32| if swap { value.to_be_bytes() } else { value.to_le_bytes() };
    let pieces = content.chunks(PAGE - PAGE_HEADER);
    let last = first + pieces.len() as u32 - 1;
    let pages = pieces.zip(first..).flat_map(|(piece, number)| {
        let next = if number == last { 0 } else { number + 1 };
        let mut bytes = page(number, next, 1, piece.len() as u16, OVERFLOW, swap);
        bytes.extend(piece);
        bytes.resize(PAGE, 0);
        bytes
    });
    let item = [&[OFF_PAGE, 0, 0, 0][..], &n32(first), &n32(content.len() as u32)].concat();
    (item, pages.collect())
}

/// The counter, a short value, and a long one of 700 bytes on two pages.
fn database(swap: bool) -> Vec<u8> {
    let content: Vec<u8> = (0..700).map(|at| at as u8).collect();
    let (long, pages) = long_value(2, &content, swap);
    let short = [&[KEY_DATA][..], b"short"].concat();
    let table = table(&[key(0), key(9), key(1), short, key(2), long], swap);
    [table, pages].concat()
}

/// A table as rpm writes it: each value is a long one.
pub(in super::super) fn with_long_values(values: &[&[u8]]) -> Vec<u8> {
    let mut items = vec![key(0), key(values.len() as u32)];
    let mut pages = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let (item, more) = long_value(2 + (pages.len() / PAGE) as u32, value, false);
        items.extend([key(index as u32 + 1), item]);
        pages.extend(more);
    }
    [table(&items, false), pages].concat()
}

type Outcome<T> = Result<T, String>;

fn values(bytes: &[u8]) -> (Vec<Outcome<Vec<u8>>>, Outcome<()>) {
    let mut found = Vec::new();
    let read = read(bytes, &mut |blob| {
        found.push(blob.map(|blob| blob.bytes.into_owned()).map_err(|error| error.to_string()));
    });
    (found, read.map_err(|error| error.to_string()))
}

#[test]
fn short_and_long_values_in_either_byte_order() {
    for swap in [false, true] {
        let (found, read) = values(&database(swap));
        read.unwrap();
        let long: Vec<u8> = (0..700).map(|at| at as u8).collect();
        assert_eq!(found, [Ok(b"short".to_vec()), Ok(long)]);
    }
}

#[test]
fn damage_is_named_by_page() {
    let sound = database(false);
    let with = |at: usize, bytes: &[u8]| {
        let mut damaged = sound.clone();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        values(&damaged)
    };
    for (at, bytes, reason) in [
        (12, &[0; 4][..], "page 0: it is no BerkeleyDB"),
        (12, &[0x62, 0x31, 5, 0], "page 0: it is a tree"),
        (20, &[0, 0, 0, 1], "page 0: the size of its pages"),
        (20, &[7, 2, 0, 0], "page 0: the size of its pages"),
        (24, &[1], "page 0: it is encrypted"),
    ] {
        let error = with(at, bytes).1.unwrap_err();
        assert!(error.starts_with("BerkeleyDB database, ") && error.contains(reason), "{error}");
    }
    for at in [PAGE + 20, PAGE + 28] {
        let error = with(at, &[0xff, 0xff]).0.into_iter().find_map(Result::err).unwrap();
        assert!(error.contains("page 1: an item lies outside"), "{error}");
    }
    let long = sound.windows(12).position(|item| item[0] == OFF_PAGE && item[8..] == 700u32.to_le_bytes()).unwrap();
    for (at, bytes, reason) in [
        (long, &[9][..], "page 1: a value is of a kind"),
        (long + 8, &[0xff; 4], "page 1: its values have more bytes"),
        (long + 4, &[0xff; 4], "page 1: its value leads to a page that does not exist"),
        (2 * PAGE + 16, &[2], "page 2: its value leads to a page that does not exist or has been visited"),
        (2 * PAGE + 22, &[0xff, 0xff], "page 2: it should go on"),
        (3 * PAGE + 22, &[1, 0], "page 3: its value leads to"),
        (3 * PAGE + 25, &[5], "page 3: it should go on"),
    ] {
        let (found, read) = with(at, bytes);
        read.unwrap();
        assert_eq!(found[0], Ok(b"short".to_vec()), "the other one is read");
        let error = found[1].as_ref().unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    assert!(values(&sound[..20]).1.is_err() && values(&sound[..PAGE - 1]).1.is_err() && values(b"").1.is_err());
    assert!(values(&sound[..3 * PAGE]).0[1].is_err());
    let cut = values(&sound[..PAGE]);
    assert!(cut.0[0].as_ref().unwrap_err().contains("page 0: the file ends before the last page"), "{cut:?}");
}
