use super::*;

/// A small database with rows of the given lengths, as sqlite itself would write them onto pages of 512 bytes.
fn fixture() -> &'static [u8] {
    include_bytes!("testdata/packages.sqlite")
}

fn rows(bytes: &[u8]) -> (Vec<Result<Blob<'_>, DatabaseError>>, Result<(), DatabaseError>) {
    let mut rows = Vec::new();
    let read = read(bytes, &mut |row| rows.push(row));
    (rows, read)
}

/// The blob of row N has N bytes.
#[test]
fn rows_of_every_length_come_out_whole_and_in_order() {
    let (rows, read) = rows(fixture());
    read.unwrap();
    let expected = [1, 100, 400, 440, 470, 476, 477, 478, 500, 508, 520, 1000, 1500, 2001, 3000];
    let lengths: Vec<usize> = rows.iter().map(|row| row.as_ref().unwrap().bytes.len()).collect();
    assert_eq!(lengths, expected);
    for row in rows {
        let bytes = row.unwrap().bytes;
        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
    }
}

#[test]
fn what_is_no_database_is_said_to_be_none() {
    for (bytes, word) in [
        (&b""[..], "does not begin"),
        (b"SQLite format 3\0", "ends within its header"),
        (&fixture()[..99], "ends within its header"),
        (&fixture()[..512], "the file ends before it"),
    ] {
        let error = rows(bytes).1.unwrap_err().to_string();
        assert!(error.starts_with("sqlite database, page ") && error.contains(word), "{error}");
    }
    let mut other = fixture().to_vec();
    let at = other.windows(8).position(|window| window == b"Packages").unwrap();
    for at in [at, at + 8] {
        other[at] = b'B';
    }
    assert!(rows(&other).1.unwrap_err().to_string().contains("no table Packages"));
    let mut odd = fixture().to_vec();
    odd[16] = 3;
    assert!(rows(&odd).1.unwrap_err().to_string().contains("size of its pages"));
}

#[test]
fn a_loop_of_pages_ends() {
    let mut looping = fixture().to_vec();
    // The rightmost child of the table's root becomes the root itself.
    let root = looping.chunks(512).skip(1).position(|page| page[0] == 5).unwrap() + 1;
    let right = root * 512 + 8;
    looping[right..right + 4].copy_from_slice(&u32::try_from(root + 1).unwrap().to_be_bytes());
    let error = rows(&looping).0.into_iter().find_map(Result::err).unwrap();
    assert_eq!(error.place, Place::Page(u32::try_from(root + 1).unwrap()));
    assert!(error.to_string().contains("has been visited"), "{error}");
}

#[test]
fn an_overflow_that_leads_back_spoils_its_row_alone() {
    let (sound, _) = rows(fixture());
    let mut damaged = fixture().to_vec();
    // Overflow pages begin with the number of the next one and then hold the pattern.
    let overflow = damaged.chunks(512).position(|page| page[..3] == [0; 3] && page[3] != 0 && page[4] > 1).unwrap();
    let number = u32::try_from(overflow + 1).unwrap();
    damaged[overflow * 512..overflow * 512 + 4].copy_from_slice(&number.to_be_bytes());
    let (rows, read) = rows(&damaged);
    read.unwrap();
    assert_eq!(rows.len(), sound.len());
    assert_eq!(rows.iter().filter(|row| row.is_err()).count(), 1);
}

#[test]
fn an_absurd_length_of_a_row_allocates_nothing() {
    let mut damaged = fixture().to_vec();
    for leaf in damaged.chunks_mut(512).skip(1).filter(|page| page[0] == 13 && page[4] > 0) {
        let cell = usize::from(u16::from_be_bytes([leaf[8], leaf[9]]));
        leaf[cell..].iter_mut().take(9).for_each(|byte| *byte = 0xff);
    }
    let (rows, _) = rows(&damaged);
    let error = rows[0].as_ref().unwrap_err().to_string();
    assert!(error.contains("more bytes than the file") || error.contains("absurd length"), "{error}");
}

#[test]
fn rows_that_lie_upon_each_other_do_not_multiply_them() {
    // Every pointer of a page of 64 KiB leads to the same row: once a long one, once an empty one.
    for row in [&[0x83, 0xff, 0x7f, 1][..], &[0, 1]] {
        let mut bytes = fixture().to_vec();
        let leaf = bytes.chunks(512).skip(1).position(|page| page[0] == 13 && page[4] > 0).unwrap() + 1;
        let page = &mut bytes[leaf * 512..][..512];
        let cells: u16 = 200;
        page[3..5].copy_from_slice(&cells.to_be_bytes());
        page[8..8 + 400].copy_from_slice(&[1, 0xf0].repeat(200));
        page[0x1f0..0x1f0 + row.len()].copy_from_slice(row);
        let (rows, _) = rows(&bytes);
        let total: usize = rows.iter().flatten().map(|blob| blob.bytes.len()).sum();
        assert!(total <= bytes.len() && rows.len() <= bytes.len() / 16);
    }
}

#[test]
fn a_page_full_of_empty_rows_ends_the_reading() {
    let page_size = 1 << 16;
    let mut bytes = vec![0; 3 * page_size];
    bytes[..16].copy_from_slice(b"SQLite format 3\0");
    bytes[16..18].copy_from_slice(&[0, 1]);
    // A schema with one row, and the table as a page where 30,000 pointers lead to one empty row.
    let schema = [&[6, 23, 29, 29, 1, 13][..], b"tablePackagesPackages", &[2]].concat();
    bytes[100..108].copy_from_slice(&[13, 0, 0, 0, 1, 0, 0, 0]);
    bytes[108..110].copy_from_slice(&1000u16.to_be_bytes());
    bytes[1000..1002].copy_from_slice(&[schema.len() as u8, 1]);
    bytes[1002..1002 + schema.len()].copy_from_slice(&schema);
    let table = &mut bytes[page_size..2 * page_size];
    table[..8].copy_from_slice(&[13, 0, 0, 0x75, 0x30, 0, 0, 0]);
    table[8..8 + 60_000].copy_from_slice(&[0xff, 0xf0].repeat(30_000));
    let (rows, read) = rows(&bytes);
    assert!(read.unwrap_err().to_string().contains("page 2: there are more rows than the file can have"));
    assert!(rows.len() <= bytes.len() / 16);
}
