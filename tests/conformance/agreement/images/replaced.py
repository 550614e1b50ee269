"""Fills the layers of the image `replaced` over a Debian database that is there: replaced.py WORK"""

import json
import os
import sys


def write(root, path, text=""):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def python(root, name, version):
    folder = f"usr/local/lib/python3.11/dist-packages/{name}-{version}.dist-info"
    write(root, f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    write(root, f"{folder}/RECORD", f"{name}.py,,\n")
    return folder


def node(root, folder, name, version):
    write(root, f"{folder}/{name}/package.json", json.dumps({"name": name, "version": version}))


def whiteout(root, path):
    folder, name = os.path.split(path)
    write(root, f"{folder}/.wh.{name}")


def upgraded(status):
    """Every fifth package removed, every seventh in another version."""
    for number, stanza in enumerate(status.split("\n\n")):
        if number % 5 == 4:
            continue
        yield stanza.replace("\nVersion: ", "\nVersion: 9:") if number % 7 == 6 else stanza


def main():
    work = sys.argv[1]
    first, second, third = (os.path.join(work, name) for name in "123")
    with open(os.path.join(first, "var/lib/dpkg/status"), encoding="utf-8") as file:
        status = file.read()

    django = python(first, "django", "2.2.0")
    python(first, "requests", "2.19.1")
    jinja = python(first, "jinja2", "2.10")
    for name, version in {"lodash": "4.17.4", "marked": "0.3.5", "ws": "1.0.0"}.items():
        node(first, "srv/app/node_modules", name, version)
    node(first, "srv/other/node_modules", "growl", "1.9.2")
    write(first, "srv/thing", "a file that becomes a folder\n")
    node(first, "srv/folder/node_modules", "moment", "2.15.0")

    # A replaced database; a package taken away file by file, one as a folder; a folder emptied and filled anew.
    write(second, "var/lib/dpkg/status", "\n\n".join(upgraded(status)))
    whiteout(second, f"{django}/METADATA")
    whiteout(second, f"{django}/RECORD")
    whiteout(second, jinja)
    write(second, "srv/app/node_modules/.wh..wh..opq")
    node(second, "srv/app/node_modules", "marked", "0.3.9")
    write(second, "srv/other/node_modules/growl/package.json", json.dumps({"name": "growl", "version": "1.10.5"}))

    # What was deleted comes back in another version; a file becomes a folder, a folder a file.
    python(third, "django", "2.2.28")
    node(third, "srv/thing/node_modules", "hoek", "2.16.3")
    write(third, "srv/folder", "a folder that became a file\n")


main()
