"""The table of differences that have a reason."""

import collections
import dataclasses
import os
import re
import tomllib

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "explained.toml")


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why differences of one kind are there: in these images, on this side, of these names (patterns with `*`)."""

    compared: str
    only: str
    images: tuple
    what: tuple
    why: str

    def explains(self, difference):
        """The place in the table, (image, pattern), that explains a difference."""
        if (self.compared, self.only) != (difference.compared, difference.only) or difference.image not in self.images:
            return None
        return next(((difference.image, pattern) for pattern in self.what if matches(pattern, difference.what)), None)


def matches(pattern, text):
    """Only `*` is special: versions hold brackets and question marks."""
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), text) is not None


def table(path=TABLE):
    with open(path, "rb") as file:
        entries = tomllib.load(file).get("difference", [])
    wanted = {"compared", "only", "images", "what", "why"}
    for number, entry in enumerate(entries):
        if set(entry) != wanted or not entry["why"].strip():
            raise SystemExit(f"{os.path.basename(path)}: entry {number + 1} must have just: {', '.join(sorted(wanted))}")
    return [Reason(e["compared"], e["only"], tuple(e["images"]), tuple(e["what"]), " ".join(e["why"].split())) for e in entries]


def sort_out(reasons, differences, images):
    """Differences by reason, those without one, and the places of the table that explain nothing."""
    explained, open_ones, used = collections.defaultdict(list), [], set()
    for difference in differences:
        found = [(reason, place) for reason in reasons if (place := reason.explains(difference))]
        if not found:
            open_ones.append(difference)
            continue
        explained[found[0][0]].append(difference)
        used.update(found)
    stale = []
    for reason in reasons:
        for image in (image for image in reason.images if image in images):
            if not any(place[0] == image for entry, place in used if entry is reason):
                stale.append(f"{reason.compared}, only {reason.only}, {image}: nothing of {', '.join(reason.what)} differs")
        for pattern in reason.what if set(reason.images) <= set(images) else ():
            if not any(place[1] == pattern for entry, place in used if entry is reason):
                stale.append(f"{reason.compared}, only {reason.only}, {', '.join(reason.images)}: {pattern} explains nothing")
    return explained, open_ones, stale
