"""One image as syft writes it in each of its formats: read by `stella`, all of them have to say the same.

The documents are real ones, of another tool; what a reader of ours drops or makes up of one format shows beside the others.
"""

import differences
import normal
import tools

# It has packages of a distribution and of five languages.
IMAGE = "mixed"
REFERENCE = "cyclonedx-json"
FORMATS = [REFERENCE, "cyclonedx-xml", "spdx-json@2.2", "spdx-json@2.3", "spdx-tag-value", "syft-json"]
PREFIX = "formats-"
NAMES = [PREFIX + name for name in FORMATS if name != REFERENCE]


def look_at(name):
    """Counts of packages and findings of one format, of the reference, and every difference."""
    read = name.removeprefix(PREFIX)
    mine, others = said(read), said(REFERENCE)
    counts, found = [], []
    for compared, ours, theirs in zip(("packages", "findings"), mine, others):
        counts.append(differences.Counts(len(ours), len(theirs), len(ours & theirs)))
        found += [differences.Difference(compared, name, read, what) for what in sorted(ours - theirs)]
        found += [differences.Difference(compared, name, REFERENCE, what) for what in sorted(theirs - ours)]
    return tuple(counts), found


def said(read):
    """The packages and the findings, in words, that `stella` has of the document in one format."""
    path = tools.syft_formats(IMAGE, FORMATS)[read]
    inventory, result = tools.stella(PREFIX + read, path)
    found = normal.stella_findings(result)
    findings = {f"{package} {differences.shown_ids(ids)}" for package, groups in found.items() for ids in groups}
    return normal.stella_packages(inventory), findings
