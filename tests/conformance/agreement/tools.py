"""Runs the three programs on an image. What the peers said is kept until the image, their version or the feeds change."""

import collections
import functools
import hashlib
import json
import os
import subprocess
import sys
import zipfile

import artifacts

CACHE = os.path.join(os.environ["STELLA_CACHE"], "agreement")
FEEDS = os.path.join(os.environ["STELLA_TEST_DATA"], "feeds")
PEERS = os.path.join(os.environ["STELLA_CACHE"], "bin")
# Raised when the arguments below, or the form of the feeds for osv-scanner, change.
ARGUMENTS = 2


def archive(image):
    return os.path.join(CACHE, "images", image, "archive.tar")


def run(command, accepted, output=subprocess.PIPE):
    os.environ["SYFT_CHECK_FOR_APP_UPDATE"] = "false"
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, check=False)
    if done.returncode not in accepted:
        said = done.stderr.decode(errors="replace")[-2000:]
        sys.exit(f"agreement: {' '.join(command)} ended with {done.returncode}: {said}")
    return done.stdout


def stella(image, subject=None):
    """The inventory as CycloneDX, and the result as JSON; of an image, or of the file `subject`."""
    work = folder("results", image)
    found = os.path.join(work, "stella.json")
    command = [os.path.join(os.environ["BIN"], "stella"), "--local", "--feeds", feeds()]
    command += ["--cache-dir", folder("index"), "--format", "cyclonedx", "--output-json", found, subject or archive(image)]
    # 1: a finding over the threshold.
    inventory = json.loads(run(command, (0, 1)))
    return inventory, read(found)


@functools.lru_cache
def feeds():
    """The folder of feeds for stella: those of the test data, and the table of Java archives."""
    target = folder("feeds")
    for name in sorted(os.listdir(FEEDS)):
        link = os.path.join(target, name)
        if os.path.islink(link):
            os.remove(link)
        if name != "maven":
            os.symlink(os.path.join(os.path.abspath(FEEDS), name), link)
    layer = os.path.join(CACHE, "images", "java", "layers", "1.tar")
    key_file = os.path.join(target, "maven", "key")
    key = f"{ARGUMENTS} {read_text(os.path.join(CACHE, 'images', 'java', 'sources'))}"
    # Only images with jars need it, and they are made of the image `java`. A new table is a new index.
    if os.path.exists(layer) and read_text(key_file) != key:
        artifacts.write(os.path.join(target, "maven"), layer)
        with open(key_file, "w", encoding="utf-8") as file:
            file.write(key)
    return target


def syft(image):
    """With every cataloger it has, those of lock files included."""
    command = ["syft", "scan", "--quiet", "--override-default-catalogers", "all", "--output", "json"]
    return peer(image, "syft", [*command, f"docker-archive:{archive(image)}"], (0,))


def syft_formats(image, formats):
    """By format the path of the document that syft writes of an image, all of them of one look at it."""
    work = folder("results", image, "formats")
    paths = {name: os.path.join(work, name) for name in formats}
    program, key_file = os.path.join(PEERS, "syft"), os.path.join(work, "key")
    key = "\n".join([str(ARGUMENTS), read_text(os.path.join(CACHE, "images", image, "sources")), version(program), *formats])
    if read_text(key_file) != key:
        command = [program, "scan", "--quiet", "--override-default-catalogers", "all"]
        for name, path in paths.items():
            command += ["--output", f"{name}={path}"]
        run([*command, f"docker-archive:{archive(image)}"], (0,))
        with open(key_file, "w", encoding="utf-8") as file:
            file.write(key)
    return paths


def osv_scanner(image):
    """On the image itself, with its readers of lock files as well. 1: it found something, 128: it found no package."""
    command = ["osv-scanner", "scan", "image", "--archive", archive(image), "--local-db-path", folder("osv"), "--offline"]
    command += ["--all-packages", "--all-vulns", "--experimental-plugins", "artifact,lockfile", "--format", "json"]
    osv_feeds()
    # 127: one of its plugins had nothing to work with; 128: no package that it could ask about.
    return peer(image, "osv-scanner", command, (0, 1, 127, 128))


def bom_path(image):
    """Where the SBOM of an image lies, under a name that says what it is."""
    return os.path.join(folder("results", image), "bom.cdx.json")


def write_bom(image, document):
    """The file of an SBOM."""
    path = bom_path(image)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    return path


def osv_scanner_of(image, bom):
    """On an SBOM."""
    osv_feeds()
    command = ["osv-scanner", "scan", "source", "--sbom", bom, "--local-db-path", folder("osv"), "--offline"]
    command += ["--all-packages", "--all-vulns", "--format", "json"]
    return peer(image, "osv-scanner", command, (0, 1, 127, 128), hashlib.sha256(read_text(bom).encode()).hexdigest())


def peer(image, name, command, accepted, subject=""):
    """Runs it unless it was run on the same before; `subject` names what is looked at in place of the archive."""
    work = folder("results", image)
    stem = os.path.join(work, f"{name}-inventory" if subject else name)
    output, key_file = f"{stem}.json", f"{stem}.key"
    program = os.path.join(PEERS, name)
    looked_at = subject or read_text(os.path.join(CACHE, "images", image, "sources"))
    key = "\n".join([str(ARGUMENTS), looked_at, version(program), feeds_key()])
    if read_text(key_file) != key:
        with open(output, "wb") as file:
            run([program, *command[1:]], accepted, file)
        with open(key_file, "w", encoding="utf-8") as file:
            file.write(key)
    return read(output)


@functools.lru_cache
def version(program):
    return subprocess.run(["go", "version", "-m", program], capture_output=True, text=True, check=True).stdout


@functools.lru_cache
def feeds_key():
    """Names the state of the feeds."""
    digest = hashlib.sha256()
    for path in feed_files():
        with open(path, "rb") as file:
            digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()


def feed_files():
    osv = os.path.join(FEEDS, "osv")
    return [os.path.join(osv, name, "all.zip") for name in sorted(os.listdir(osv))] + [os.path.join(FEEDS, "ghsa", "all.zip")]


@functools.lru_cache
def osv_feeds():
    """The same records for osv-scanner, which wants one archive for each ecosystem; see `without_commits`."""
    target = os.path.join(folder("osv"), "osv-scalibr")
    key = f"{ARGUMENTS} {feeds_key()}"
    if read_text(os.path.join(target, "key")) == key:
        return
    records = collections.defaultdict(dict)
    for path in feed_files():
        with zipfile.ZipFile(path) as bundle:
            for name in sorted(bundle.namelist()):
                record = json.loads(bundle.read(name))
                for affected in record.get("affected", []):
                    ecosystem = affected.get("package", {}).get("ecosystem", "").partition(":")[0]
                    if ecosystem:
                        records[ecosystem][record["id"]] = without_commits(record)
    for ecosystem, contents in records.items():
        os.makedirs(os.path.join(target, ecosystem), exist_ok=True)
        with zipfile.ZipFile(os.path.join(target, ecosystem, "all.zip"), "w", zipfile.ZIP_DEFLATED) as bundle:
            for number, content in enumerate(contents.values()):
                bundle.writestr(f"{number}.json", content)
    with open(os.path.join(target, "key"), "w", encoding="utf-8") as file:
        file.write(key)


def without_commits(record):
    """A record without its ranges of Git commits: osv-scanner does not read on where one stands before a range of versions."""
    for affected in record.get("affected", []):
        if "ranges" in affected:
            affected["ranges"] = [span for span in affected["ranges"] if span.get("type") != "GIT"]
    return json.dumps(record)


def folder(*names):
    path = os.path.join(CACHE, *names)
    os.makedirs(path, exist_ok=True)
    return path


def read(path):
    text = read_text(path)
    return json.loads(text) if text.strip() else {}


def read_text(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
