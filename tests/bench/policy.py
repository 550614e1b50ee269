"""A policy changes: how long until every finding in store was judged anew and the verdicts of all images are published."""

import http.client
import json
import os
import sys
import time

import data
from lib import FEEDS, folder, line, operator, processor_seconds

FINDINGS = int(os.environ.get("BENCH_FINDINGS", "1000000"))


class Api:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    def post(self, path, body, kind="application/json"):
        headers = {"Content-Type": kind, "X-Stella-Tenant": "tenant-default"}
        self.connection.request("POST", path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 201):
            sys.exit(f"{path} was refused: {text[:300]!r}")
        return json.loads(text)

    def ask(self, image):
        """The revision of the policies that all verdicts come from, and the verdict of the image."""
        told = self.post("/api/v1/scanner/policy/runtime", json.dumps({"namespace": "shop", "images": [image]}))
        return told["policyRevision"], told["results"][image]["policyVerdict"]


def load(work, api):
    """Scans as many images of the same packages as give the findings; tells how many there are, and the last image."""
    known = data.sbom(f"{work}/bom.json", FEEDS, 500, 250)
    with open(f"{work}/bom.json", encoding="utf-8") as file:
        document = json.load(file)
    findings = images = 0
    while findings < FINDINGS:
        version = f"{known}.0.{images}"
        document["components"][-1].update({"version": version, "purl": f"pkg:npm/sample@{version}"})
        scanned = api.post("/scan", json.dumps(document))
        found = sum(scanned["summary"].values())
        if not found:
            sys.exit("the feeds know none of the packages")
        findings, images = findings + found, images + 1
    return findings, images, scanned["digest"]


def most_memory(child):
    """MiB that the process had at most since it was asked to forget."""
    with open(f"/proc/{child.pid}/status", encoding="ascii") as status:
        (peak,) = [text for text in status if text.startswith("VmHWM")]
    return int(peak.split()[1]) / 1024


def forget_memory(child):
    with open(f"/proc/{child.pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def waits(api, image, holds):
    """Seconds until what is told of the image is what was waited for."""
    started = time.perf_counter()
    while not holds(*api.ask(image)):
        if time.perf_counter() - started > 900:
            sys.exit(f"it stays {api.ask(image)}")
        time.sleep(0.05)
    return time.perf_counter() - started


def judged_anew(child, api, image, policy, wanted):
    """Seconds, processor seconds and MiB from the import of a policy until the verdicts of all images are those of it."""
    forget_memory(child)
    (before, _), spent, started = api.ask(image), processor_seconds(child.pid), time.perf_counter()
    api.post("/policy/import", policy, "application/yaml")
    waits(api, image, lambda revision, _: revision != before)
    seconds, spent = time.perf_counter() - started, processor_seconds(child.pid) - spent
    if (got := api.ask(image)[1]) != wanted:
        sys.exit(f"the verdict is {got}, not {wanted}")
    return seconds, spent, most_memory(child)


def rules(last, first=""):
    """200 rules of which the last one decides, and one before them if it is given."""
    others = [f"- {{name: r{number}, match: {{packages: ['other-{number}*']}}, action: ignore}}" for number in range(199)]
    return "\n".join(["version: '1.0'", "rules:", *filter(None, [first]), *others, f"- {{name: last, action: {last}}}"])


# A rule that decides nothing: all is judged, and nothing is written.
NOTHING = "- {name: new, match: {packages: [nothing]}, action: warn}"
CHANGES = [
    ("each is judged and written", rules("block"), "fail"),
    ("each is judged, none differs", rules("block", NOTHING), "fail"),
    ("each is judged and written back", rules("ignore"), "pass"),
]


def main():
    with folder() as work, operator(work) as (child, port):
        api = Api(port)
        findings, images, last = load(work, api)
        waits(api, last, lambda _, verdict: verdict == "pass")
        for name, policy, wanted in CHANGES:
            seconds, spent, memory = judged_anew(child, api, last, policy, wanted)
            line(
                "policy", f"{findings:,} findings, {name}", f"{seconds:.1f} s, {memory:.0f} MiB at most",
                f"{spent:.0f} s of processor; {images:,} images, 200 rules", "1,000,000 in 20 s",
            )


main()
