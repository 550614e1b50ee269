#!/usr/bin/env python3
"""Finds every field that can hold an image in the OpenAPI documents of an API server (/openapi/v3), and asks the webhook.

  images.py --target target.json      on the cluster of $KUBECONFIG; the target needs `webhook`, see README.md

A field is looked at when its name, or that of its type, has `image` in it and it is a text. Each has to be known here: as one
that names an image to run (RUNS), or with the reason why not (NOT). A field that a new version of Kubernetes brings is in
neither and fails the test. Wherever a field of RUNS can be reached in an object that can be created, an object with the refused
image there is put to the webhook, which must refuse it or warn; or the kind is listed with the reason why it need not be asked.
"""

import argparse
import json
import sys

from target import Target

RUNS = {
    "io.k8s.api.core.v1.Container.image": "a container",
    "io.k8s.api.core.v1.EphemeralContainer.image": "an ephemeral container",
    "io.k8s.api.core.v1.ImageVolumeSource.reference": "a volume of type image",
}
NOT = {
    "io.k8s.api.core.v1.Container.imagePullPolicy": "when to pull",
    "io.k8s.api.core.v1.EphemeralContainer.imagePullPolicy": "when to pull",
    "io.k8s.api.core.v1.ImageVolumeSource.pullPolicy": "when to pull",
    "io.k8s.api.core.v1.ContainerStatus.image": "status: what runs",
    "io.k8s.api.core.v1.ContainerStatus.imageID": "status: what runs",
    "io.k8s.api.core.v1.NodeSystemInfo.osImage": "status: the node's own system",
    "io.k8s.api.core.v1.ImageVolumeStatus.imageRef": "status: what is mounted",
    "io.k8s.api.core.v1.ContainerImage.names": "status: what a node has",
    "io.k8s.api.core.v1.RBDVolumeSource.image": "the name of a block device in Ceph, which no runtime runs",
    "io.k8s.api.core.v1.RBDPersistentVolumeSource.image": "the name of a block device in Ceph, which no runtime runs",
}
# Kinds that carry such a field and are not asked about.
UNASKED = {
    "PodTemplate": "nothing in Kubernetes makes pods from it; what does is seen at the Pod",
}
# Groups that are not Kubernetes' own: their objects are custom resources, whose pods are seen at the Pod.
FOREIGN = ("stella-ops.org", "bypass.example")
DEPTH = 24


class Schemas:
    """The types of one group's document."""

    def __init__(self, document):
        self.all = document.get("components", {}).get("schemas", {})

    def resolve(self, schema):
        """The name and body behind references."""
        name = None
        for _ in range(8):
            parts = schema.get("allOf") or []
            if "$ref" in schema:
                name = schema["$ref"].rsplit("/", 1)[1]
                schema = self.all.get(name, {})
            elif len(parts) == 1:
                schema = parts[0]
            else:
                break
        return name, schema

    def fields(self, schema):
        """(key, shape, schema) of what is under a schema; shape is `.`, `[]` or `{}`."""
        for key, inner in (schema.get("properties") or {}).items():
            name, body = self.resolve(inner)
            if body.get("type") == "array":
                yield key, "[]", body.get("items", {})
            elif isinstance(body.get("additionalProperties"), dict):
                yield key, "{}", body["additionalProperties"]
            else:
                yield key, ".", inner


def is_text(schemas, schema):
    return schemas.resolve(schema)[1].get("type") == "string"


def suspicious(schemas, type_name, key, schema):
    short = type_name.rsplit(".", 1)[-1].lower()
    return is_text(schemas, schema) and ("image" in key.lower() or "image" in short)


def listed(schemas):
    """Every suspicious field of a document, as TYPE.FIELD."""
    for type_name, body in schemas.all.items():
        if not type_name.startswith("io.k8s.") or ".apimachinery." in type_name:
            continue
        for key, _, inner in schemas.fields(body):
            if suspicious(schemas, type_name, key, inner):
                yield f"{type_name}.{key}"


def paths_to_images(schemas, type_name, wanted):
    """The ways from a type to the fields of `wanted`: lists of (key, shape)."""
    found = []

    def walk(name, way, seen):
        if len(way) > DEPTH or name in seen:
            return
        for key, shape, inner in schemas.fields(schemas.all.get(name, {})):
            step = way + [(key, shape)]
            if f"{name}.{key}" in wanted:
                found.append(step)
            inner_name = schemas.resolve(inner)[0]
            if inner_name and key != "status":
                walk(inner_name, step, seen | {name})

    walk(type_name, [], frozenset())
    return found


def object_with(way, image):
    """An object that has nothing but the image, at the end of the way."""
    value = image
    for key, shape in reversed(way):
        if isinstance(value, dict):
            value = {"name": "x", **value}
        value = {key: [value] if shape == "[]" else {"x": value} if shape == "{}" else value}
    return value


def creatable(document):
    """(group, version, kind, plural, subresource) of everything that can be created or changed."""
    for path, verbs in document.get("paths", {}).items():
        parts = path.strip("/").split("/")
        for verb in ("post", "put", "patch"):
            kind = (verbs.get(verb) or {}).get("x-kubernetes-group-version-kind")
            if not kind or "watch" in parts or "namespaces" not in parts:
                continue
            after = parts[parts.index("namespaces") + 2:]
            if not after:
                continue
            sub = after[2] if len(after) > 2 else ""
            yield kind["group"], kind["version"], kind["kind"], after[0], sub


def review(target, number, what, thing):
    group, version, kind, plural, sub = what
    request = {
        "uid": f"u{number}", "operation": "UPDATE" if sub else "CREATE", "namespace": target.namespace, "dryRun": True,
        "kind": {"group": group, "version": version, "kind": kind},
        "resource": {"group": group, "version": version, "resource": plural}, "subResource": sub,
        "object": thing, "oldObject": {} if sub else None, "userInfo": {"username": "x"},
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def registered(target):
    """What the registrations of the cluster ask about, as (group, resource)."""
    found = set()
    lists = json.loads(target.must("get", "validatingwebhookconfigurations", "-o", "json"))
    for configuration in lists["items"]:
        for hook in configuration["webhooks"]:
            for rule in hook["rules"]:
                if {"CREATE", "UPDATE"} <= set(rule["operations"]) or "*" in rule["operations"]:
                    found |= {(group, name) for group in rule["apiGroups"] for name in rule["resources"]}
    return found


def type_of(schemas, group, version, kind):
    for name, body in schemas.all.items():
        for told in body.get("x-kubernetes-group-version-kind", []):
            if (told["group"], told["version"], told["kind"]) == (group, version, kind):
                return name
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", required=True)
    with open(parser.parse_args().target, encoding="utf-8") as file:
        target = Target(json.load(file))
    failures, asked, fields, kinds = [], 0, set(), set()
    target.begin()
    try:
        asks_about = registered(target)
        index = json.loads(target.must("get", "--raw", "/openapi/v3"))["paths"]
        for place in sorted(index):
            if place.startswith("apis/") and place.split("/")[1] in FOREIGN:
                continue
            document = json.loads(target.must("get", "--raw", f"/openapi/v3/{place}"))
            schemas = Schemas(document)
            fields |= set(listed(schemas))
            for what in sorted(set(creatable(document))):
                group, version, kind, plural, sub = what
                name = type_of(schemas, group, version, kind)
                if name is None or kind in UNASKED or sub in ("status", "scale", "resize", "binding", "eviction"):
                    continue
                for way in paths_to_images(schemas, name, RUNS):
                    kinds.add(f"{plural}/{sub}".rstrip("/"))
                    asked += 1
                    shown = f"{kind} {plural}/{sub} " + "".join(f".{key}{'' if shape == '.' else shape}" for key, shape in way)
                    if (group, f"{plural}/{sub}".rstrip("/")) not in asks_about:
                        failures.append(f"{shown}: no registration asks about it")
                        continue
                    status, body = target.post(json.dumps(review(target, asked, what, object_with(way, target.refused))))
                    answer = json.loads(body).get("response", {}) if status == 200 else {}
                    if status != 200 or (answer["allowed"] and not answer.get("warnings")):
                        failures.append(f"{shown}: {status} {body[:200]!r}")
    finally:
        target.end()
    for field in sorted(fields - set(RUNS) - set(NOT)):
        failures.append(f"{field}: can it hold an image? It is in neither list of tests/bypass/images.py")
    for field in sorted(set(RUNS) - fields):
        failures.append(f"{field}: no API of this server has it")
    print(f"{len(fields)} fields with `image` in them; {len(RUNS)} run one; {asked} ways to them in {', '.join(sorted(kinds))}")
    print("\n".join(failures) or "the webhook knows every one of them")
    return 1 if failures or not asked else 0


sys.exit(main())
