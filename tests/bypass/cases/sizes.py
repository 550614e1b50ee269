"""Objects that are hard to read, by way of the API server."""

import json

from suite import ADMITTED, REFUSED, case, section

section("sizes", "Large and odd objects",
        "An object whose review the webhook cannot read would be left to the failure policy. So all that an API server can send is read.")
HOW = "a review may have 32 MiB, more than 3 MiB of request can grow to; of an object only what a decision needs is kept in memory"


def create(target, pod):
    # kubectl would write `<` and its like longer than they are.
    return target.raw(json.dumps(pod, separators=(",", ":"), ensure_ascii=False))


def beside(target, **fields):
    """A pod whose first container carries the weight, and whose second one has the image."""
    pod = target.pod()
    pod["spec"]["containers"][0].update(fields)
    pod["spec"]["containers"].append({"name": "small", "image": target.refused})
    return pod


@case("sizes", "escapes", "1.3 MB of `<` in a value: six times as long in the review's JSON", REFUSED, HOW)
def escapes(target):
    return create(target, beside(target, env=[{"name": "A", "value": "<" * 1_300_000}]))


@case("sizes", "control-characters", "400 kB of control characters in an argument", REFUSED, HOW)
def controls(target):
    return create(target, beside(target, args=["\u0001" * 400_000]))


@case("sizes", "many-variables", "60,000 environment variables", REFUSED, HOW)
def variables(target):
    return create(target, beside(target, env=[{"name": f"A{n}"} for n in range(60_000)]))


@case("sizes", "many-containers", "5,000 containers, the last one with the image", REFUSED, HOW)
def containers(target):
    pod = target.pod()
    pod["spec"]["containers"] = [{"name": f"c{n}", "image": target.passing} for n in range(5000)]
    pod["spec"]["containers"].append({"name": "last", "image": target.refused})
    return create(target, pod)


@case("sizes", "long-image", "an image name of 100 kB beside the refused one", REFUSED, HOW)
def long_image(target):
    pod = beside(target)
    pod["spec"]["containers"][0]["image"] = "a" * 100_000
    return create(target, pod)


@case("sizes", "odd-unicode", "names, labels and values with NUL, unpaired surrogates, right-to-left marks, 4-byte letters", REFUSED,
      "what the API server takes is read; what it does not take goes nowhere")
def unicode(target):
    return create(target, beside(target, args=["\u0000\u202e\ufffd\U0001F600\u2028"], workingDir="/\u200b"))


@case("sizes", "large-update", "an update of a large object: old and new in one review", REFUSED, HOW)
def update(target):
    pod = target.pod()
    pod["spec"]["containers"][0]["env"] = [{"name": "A", "value": "<" * 700_000}]
    first = create(target, pod)
    if first.kind != ADMITTED:
        return first
    name = pod["metadata"]["name"]
    return target.patch(f"pod/{name}", {"spec": {"containers": [{"name": "app", "image": target.refused}]}})


@case("sizes", "after-all-of-them", "the refused image in a plain pod, after all that", REFUSED, "the webhook is still there")
def after(target):
    return target.create(target.pod(target.refused))
