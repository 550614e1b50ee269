"""The differences between two accounts of one image."""

import dataclasses


# Behind a finding when the peer does not list the package at all: then it is not the matching that differs.
UNLISTED = " (package not listed)"


@dataclasses.dataclass(frozen=True, order=True)
class Difference:
    """Something that only one program says."""

    compared: str  # packages or findings
    image: str
    only: str  # stella, or the peer
    what: str


@dataclasses.dataclass
class Counts:
    ours: int
    theirs: int
    common: int


def packages(image, ours, theirs):
    gone = [Difference("packages", image, "stella", key) for key in sorted(ours - theirs)]
    missing = [Difference("packages", image, "syft", key) for key in sorted(theirs - ours)]
    return Counts(len(ours), len(theirs), len(ours & theirs)), gone + missing


def findings(image, ours, theirs):
    """Ours agrees when it shows an id that they show for the package; each record of theirs has to be in one of ours."""
    differences, common = [], 0
    for key in sorted(ours.keys() | theirs.keys()):
        mine, others = ours.get(key, set()), theirs.get(key, set())
        shown, records = frozenset().union(*mine), frozenset().union(*others)
        for group in sorted(mine, key=sorted):
            if group & records:
                common += 1
            else:
                unknown = "" if key in theirs else UNLISTED
                differences.append(Difference("findings", image, "stella", f"{key} {shown_ids(group)}{unknown}"))
        for group in sorted(others, key=sorted):
            for record in sorted(group - shown):
                differences.append(Difference("findings", image, "osv-scanner", f"{key} {record}"))
    return Counts(size(ours), size(theirs), common), differences


def shown_ids(group):
    """The ids of records; a bulletin of a distribution names many CVEs besides."""
    return " ".join(sorted(id_ for id_ in group if not id_.startswith("CVE-")) or sorted(group))


def size(found):
    return sum(len(groups) for groups in found.values())
