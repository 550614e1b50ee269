"""Writes an rpm database in SQLite: a table of headers (rpm's docs/manual/format_header.md)."""

import os
import sqlite3
import struct

INT32, STRING, STRING_ARRAY, I18N = 4, 6, 8, 9
NAME, VERSION, RELEASE, EPOCH, SUMMARY, SIZE, VENDOR, LICENSE, ARCH, SOURCERPM, MODULE = (
    1000, 1001, 1002, 1003, 1004, 1009, 1011, 1014, 1022, 1044, 5096,
)
ARCHITECTURE = "x86_64"


def header(name, epoch, version, release, number):
    """Index length, store length, index entries, store: numbers big-endian."""
    tags = {
        NAME: name, VERSION: version, RELEASE: release, SUMMARY: f"of {name}", SIZE: 4096, VENDOR: "AlmaLinux",
        LICENSE: "MIT", ARCH: ARCHITECTURE, SOURCERPM: f"{name}-{version}-{release}.src.rpm",
    }
    if epoch is not None:
        tags[EPOCH] = epoch
    if ".module" in release:
        tags[MODULE] = f"{name}:{version}:8060020220101000000:{number:08x}"
    index, store = b"", b""
    for tag, value in sorted(tags.items()):
        if isinstance(value, int):
            store += b"\0" * (-len(store) % 4)
            kind, data = INT32, struct.pack(">I", value)
        else:
            kind, data = (I18N if tag == SUMMARY else STRING), value.encode() + b"\0"
        index += struct.pack(">IIII", tag, kind, len(store), 1)
        store += data
    return struct.pack(">II", len(index) // 16, len(store)) + index + store


def write(path, headers):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    database = sqlite3.connect(path)
    with database:
        database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
        database.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for blob in headers])
    database.close()
