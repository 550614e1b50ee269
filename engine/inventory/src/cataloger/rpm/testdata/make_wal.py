#!/usr/bin/env python3
"""Makes wal/*.gz of rpmdb.sqlite.gz: a database with changes in its write-ahead log, as SQLite itself writes them.

waiting   demo-npm was deleted and demo-new added, in two commits; a third change, of all packages, was not committed.
fresh     nothing but an empty first page in the file, everything in the log.
stale     all of `waiting` that was committed, written into the file; the log has been begun anew by a commit that deletes
          demo-new, and behind it lie frames of before.
small     the packages on pages of 512 bytes, with no log.
"""

import gzip
import pathlib
import shutil
import sqlite3
import tempfile

HERE = pathlib.Path(__file__).parent
WAL = HERE / "wal"


def connect(path):
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    return database


def record(name, path):
    WAL.mkdir(exist_ok=True)
    for ending, part in [("sqlite", path), ("wal", path.with_name(path.name + "-wal"))]:
        (WAL / f"{name}.{ending}.gz").write_bytes(gzip.compress(part.read_bytes(), mtime=0))


with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "rpmdb.sqlite"
    path.write_bytes(gzip.decompress((HERE / "rpmdb.sqlite.gz").read_bytes()))
    database = connect(path)
    rows = database.execute("SELECT hnum, blob FROM Packages").fetchall()
    [(number, header)] = [row for row in rows if b"\0demo-npm\0" in row[1]]
    database.execute("DELETE FROM Packages WHERE hnum = ?", (number,))
    # Long enough that it lies on overflow pages, too.
    database.execute("INSERT INTO Packages (blob) VALUES (?)", (header.replace(b"\0demo-npm\0", b"\0demo-new\0"),))
    database.execute("PRAGMA cache_size = 1")
    database.execute("BEGIN")
    database.execute("UPDATE Packages SET blob = zeroblob(9000)")
    database.execute("INSERT INTO Packages (blob) VALUES (zeroblob(50000))")
    record("waiting", path)
    database.execute("ROLLBACK")
    database.execute("PRAGMA wal_checkpoint(RESTART)")
    database.execute("DELETE FROM Packages WHERE instr(blob, CAST('demo-new' AS BLOB)) > 0")
    record("stale", path)
    database.close()

    path = pathlib.Path(folder) / "fresh.sqlite"
    database = connect(path)
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    database.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for _, blob in rows])
    record("fresh", path)
    database.close()

    path = pathlib.Path(folder) / "small.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA page_size = 512")
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    database.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for _, blob in rows])
    database.commit()
    database.close()
    (WAL / "small.sqlite.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
