#!/usr/bin/env python3
"""Writes the first inputs of the corpora that are no text: rpm's databases and executables. Safe to run twice."""

import base64
import hashlib
import json
import pathlib
import sqlite3
import struct
import tempfile
import zlib

HERE = pathlib.Path(__file__).parent


def put(target, name, content):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(content)


def header(name):
    """A package header: name, version, release, folders, files and the folder of each file."""
    index, store = b"", bytes(4)
    for tag, text in [(1000, name), (1001, "1"), (1002, "2"), (1118, "/lib/"), (1117, "a.so")]:
        index += struct.pack(">IIII", tag, 8 if tag > 1100 else 6, len(store), 1)
        store += text.encode() + b"\0"
    index += struct.pack(">IIII", 1116, 4, 0, 1)
    return struct.pack(">II", 6, len(store)) + index + store


def ndb(headers):
    slots, blobs = b"RpmP" + struct.pack("<7I", 0, 1, 1, 9, 0, 0, 0), b""
    for number, content in enumerate(headers, 1):
        blocks = -(-(len(content) + 28) // 16)
        slots += b"Slot" + struct.pack("<3I", number, 256 + len(blobs) // 16, blocks)
        head = b"BlbS" + struct.pack("<3I", number, 1, len(content)) + content
        blobs += head + bytes(blocks * 16 - 12 - len(head)) + struct.pack("<2I", 0, len(content)) + b"BlbE"
    return (slots + (b"Slot" + bytes(12)) * 256)[:4096] + blobs


def filled(path, headers, *pragmas):
    """An open database of small pages that has the headers."""
    database = sqlite3.connect(path)
    for pragma in ("page_size = 512", *pragmas):
        database.execute(f"PRAGMA {pragma}")
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    database.executemany("INSERT INTO Packages (blob) VALUES (?)", [(content,) for content in headers])
    database.commit()
    return database


def sqlite(headers):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "rpmdb.sqlite"
        filled(path, headers).close()
        return path.read_bytes()


def sqlite_log(headers):
    """A database that is one page long, its length in such pages in front, and a log that has all rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "rpmdb.sqlite"
        database = filled(path, headers, "journal_mode = WAL")
        content = path.read_bytes()
        log = path.with_name("rpmdb.sqlite-wal").read_bytes()
        database.close()
        return struct.pack("<H", len(content) // 512) + content + log


def bdb(headers):
    """A hash of BerkeleyDB: the page of metadata, one page of items, one page for each header."""
    page = lambda number, more, items, free, kind: struct.pack("<8xIIIHHBB", number, 0, more, items, free, 0, kind)
    meta = struct.pack("<8xIIII8sI", 0, 0x061561, 9, 512, bytes([0, 8]), len(headers) + 1).ljust(512, b"\0")
    items, pages = [b"\1" + struct.pack("<I", 0), b"\1" + struct.pack("<I", len(headers))], b""
    for number, content in enumerate(headers, 1):
        items += [b"\1" + struct.pack("<I", number), struct.pack("<BxxxII", 3, number + 1, len(content))]
        pages += (page(number + 1, 0, 1, len(content), 7) + content).ljust(512, b"\0")
    end, offsets, body = 512, b"", b""
    for item in items:
        end -= len(item)
        offsets += struct.pack("<H", end)
        body = item + body
    return meta + (page(1, 0, len(items), 0, 13) + offsets).ljust(end, b"\0") + body + pages


def elf(sections):
    """An executable with one writable segment, in which the sections lie one after another; their names stand behind it."""
    names, content, table = b"\0", b"", []
    # Programs begin with a page of headers; the magic of Go is looked for behind it, at multiples of 16.
    start = 4096
    for name, body in [*sections, (b".shstrtab", b"")]:
        table.append((len(names), start + len(content), body))
        names += name + b"\0"
        content += body.ljust(-(-len(body) // 16) * 16, b"\0")
    at, offset, _ = table[-1]
    table[-1] = (at, offset, names)
    loaded = len(content)
    content += names
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, start + len(content), 0, 64, 56, 1, 64, len(table), len(table) - 1)
    segment = struct.pack("<IIQQQQQQ", 1, 6, start, 0x400000 + start, 0, loaded, loaded, 16)
    entries = b"".join(struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, offset, len(body), 0, 0, 1, 0) for name, offset, body in table)
    return (head + segment).ljust(start, b"\0") + content + entries


def pyinstaller(entries):
    """The archive that PyInstaller puts behind an executable: contents, a table of them, and a record that ends it."""
    content, table = b"", b""
    for kind, name, body in entries:
        packed, length = zlib.compress(body), -(-(18 + len(name) + 1) // 16) * 16
        table += (struct.pack(">IIIIB", length, len(content), len(packed), len(body), 1) + kind + name).ljust(length, b"\0")
        content += packed
    length = len(content) + len(table) + 88
    record = struct.pack(">8sIIII64s", b"MEI\x0c\x0b\x0a\x0b\x0e", length, len(content), len(table), 311, b"libpython3.11.so.1.0")
    return content + table + record


def storage():
    """An image of one layer with one file, as Podman keeps it; the file is the one that src/storage.rs puts there."""
    content = b"ID=debian\nVERSION_ID=12\n"
    head = bytearray(512)
    for at, text in [(0, b"etc/os-release"), (100, b"0000644\0"), (124, b"%011o\0" % len(content)), (136, b"0" * 11 + b"\0"), (148, b" " * 8), (156, b"0")]:
        head[at:at + len(text)] = text
    head[148:156] = b"%06o\0 " % sum(head)
    rest = bytes(512 - len(content)) + bytes(1024)
    layer = hashlib.sha256(head + content + rest).hexdigest()
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]}}
    segment = lambda part: {"type": 2, "payload": base64.b64encode(part).decode()}
    lines = [segment(head), {"type": 1, "name": "etc/os-release", "size": len(content), "payload": ""}, segment(rest)]
    images = [{"id": "IMAGE", "names": ["localhost/app:1"], "layer": "1" * 64}]
    layers = [{"id": "1" * 64, "diff-digest": f"sha256:{layer}", "compression": 0}]
    parts = [json.dumps(part).encode() for part in (images, layers, config)]
    return b"\0".join([*parts, "".join(json.dumps(line) + "\n" for line in lines).encode()])


HEADERS = [header("a"), header("b")]
put("rpm_ndb", "two", ndb(HEADERS))
put("rpm_sqlite", "two", sqlite(HEADERS))
put("rpm_bdb", "two", bdb(HEADERS))
# SQLite salts each log anew.
if not (HERE / "corpus/rpm_sqlite_log/seed-two").exists():
    put("rpm_sqlite_log", "two", sqlite_log(HEADERS))
for version in ["0.6", "1.1"]:
    recorded = HERE.parent / "engine/inventory/tests/recorded" / f"bun-{version}" / "bun.lockb"
    put("bun_lock", version, recorded.read_bytes())

MODULES = b"0123456789abcdef" + b"path\tx.example/c\nmod\tx.example/a\t(devel)\t\ndep\tx.example/b\tv0.7.0\th1:x=\n=>\ty.example/b\tv1.0.0\th1:y=\n" + b"fedcba9876543210"
GO = b"\xff Go buildinf:" + bytes([8, 2]) + bytes(16) + b"\x08go1.20.1" + bytes([len(MODULES) & 0x7F | 0x80, len(MODULES) >> 7]) + MODULES
RUST = zlib.compress(b'{"packages":[{"name":"a","version":"1.0.0","source":"crates.io","dependencies":[1]},{"name":"b","version":"2.0.0","source":"local"}]}')
METADATA = (b"x", b"click-8.1.7.dist-info/METADATA", b"Metadata-Version: 2.1\nName: click\nVersion: 8.1.7\n")
put("executable", "python", elf([(b".data", bytes(16))]) + pyinstaller([METADATA]))
put("executable", "go", elf([(b".go.buildinfo", GO)]))
put("executable", "rust", elf([(b".dep-v0", RUST)]))
put("executable", "node", elf([(b".rodata", b"node.js/v18.1.0\0Node.js v18.1.0\0")]))
put("storage", "image", storage())
