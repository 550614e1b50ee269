"""Vectors with the scores that the Python package cvss gives them, a line each: vectors.py FILE [COUNT [SEED]]

All vectors of base metrics of CVSS 2.0, 3.0 and 3.1, and COUNT drawn ones of 4.0 (default 50,000): of three, one has base
metrics alone, one a threat metric besides, and one threat and environmental metrics. The same seed gives the same file.
`engine/advisory/tests/cvss_vectors.rs` reads it.
"""

import itertools
import random
import sys

from cvss import CVSS2, CVSS3, CVSS4

IMPACT_2 = "NPC"
IMPACT_3 = "NLH"
BASE_2 = {"AV": "LAN", "AC": "HML", "Au": "MSN", "C": IMPACT_2, "I": IMPACT_2, "A": IMPACT_2}
BASE_3 = {
    "AV": "NALP", "AC": "LH", "PR": "NLH", "UI": "NR", "S": "UC", "C": IMPACT_3, "I": IMPACT_3, "A": IMPACT_3,
}
BASE_4 = {
    "AV": "NALP", "AC": "LH", "AT": "NP", "PR": "NLH", "UI": "NPA",
    "VC": "HLN", "VI": "HLN", "VA": "HLN", "SC": "HLN", "SI": "HLN", "SA": "HLN",
}
THREAT_4 = {"E": "XAPU"}
ENVIRONMENT_4 = {
    "CR": "XHML", "IR": "XHML", "AR": "XHML",
    "MAV": "XNALP", "MAC": "XLH", "MAT": "XNP", "MPR": "XNLH", "MUI": "XNPA",
    "MVC": "XHLN", "MVI": "XHLN", "MVA": "XHLN", "MSC": "XHLN", "MSI": "XSHLN", "MSA": "XSHLN",
}


def written(prefix, metrics):
    return prefix + "/".join(f"{metric}:{value}" for metric, value in metrics)


def every(prefix, base):
    """Each vector of all base metrics."""
    for values in itertools.product(*base.values()):
        yield written(prefix, zip(base, values))


def drawn(count, seed):
    """`count` vectors of CVSS 4.0."""
    draw = random.Random(seed)
    kinds = [BASE_4, {**BASE_4, **THREAT_4}, {**BASE_4, **THREAT_4, **ENVIRONMENT_4}]
    for number in range(count):
        metrics = kinds[number % len(kinds)]
        yield written("CVSS:4.0/", ((metric, draw.choice(values)) for metric, values in metrics.items()))


def main():
    path, count, seed = (*sys.argv[1:], *("50000", "1")[len(sys.argv) - 2:])
    count, seed = int(count), int(seed)
    scored = itertools.chain(
        ((CVSS2(vector).base_score, vector) for vector in every("", BASE_2)),
        ((CVSS3(vector).base_score, vector) for vector in every("CVSS:3.0/", BASE_3)),
        ((CVSS3(vector).base_score, vector) for vector in every("CVSS:3.1/", BASE_3)),
        ((CVSS4(vector).base_score, vector) for vector in drawn(count, seed)),
    )
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"# Score and vector; scored by the Python package cvss; {count} of CVSS 4.0 drawn with the seed {seed}.\n")
        file.writelines(f"{score:.1f} {vector}\n" for score, vector in scored)


main()
