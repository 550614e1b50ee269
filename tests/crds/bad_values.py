"""For each bound in the schema of `spec`, an object that goes beyond it: one JSON line {what, message, object}.

Reads {"crds": [...], "samples": [...]} from standard input. An object is a sample with one value changed. A field that
no sample has gives a line without object: the samples are to be complete.
"""
import copy
import json
import sys

OWN_TYPE = "elector"  # Label selectors: the API's own type, with bounds that are not ours.


def beyond(schema, value):
    """Pairs of a value that the schema refuses, and what the API server says of it."""
    kind = schema.get("type")
    if "enum" in schema:
        yield "Nonesuch", "Unsupported value"
    if kind == "string" and "enum" not in schema:
        if schema.get("format") == "date-time":
            yield "tomorrow", "must be of type date-time"
        if "maxLength" in schema:
            yield "x" * (schema["maxLength"] + 1), "Too long"
        if schema.get("minLength"):
            yield "", "should be at least"
        if "pattern" in schema:
            yield "x" * schema.get("minLength", 1), "should match"
    if kind in ("integer", "number"):
        if "minimum" in schema:
            yield schema["minimum"] - 1, "should be greater than or equal to"
        if "maximum" in schema:
            yield schema["maximum"] + 1, "should be less than or equal to"
    if kind == "array" and value:
        if "maxItems" in schema:
            yield value * (schema["maxItems"] + 1), "Too many"
        if schema.get("minItems"):
            yield [], "should have at least"
        if schema.get("x-kubernetes-list-type") in ("set", "map"):
            yield [value[0], value[0]], "Duplicate value"
    if kind == "object" and "maxProperties" in schema:
        one = next(iter(value.values()))
        yield {f"key{i}": one for i in range(schema["maxProperties"] + 1)}, "Too many"
    yield ({} if kind != "object" else "text"), "must be of type"


def changed(sample, path, value):
    changed_sample = copy.deepcopy(sample)
    place = changed_sample
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed_sample


def walk(sample, name, schema, value, path, seen):
    first = name not in seen
    seen.add(name)
    if first:
        for bad, message in beyond(schema, value):
            yield {"what": f"{name}: {message}", "message": message, "object": changed(sample, path, bad)}
        for field in schema.get("required", []):
            yield {
                "what": f"{name}.{field}: Required value",
                "message": "Required value",
                "object": changed(sample, [*path, field], None),
            }
    if name.endswith(OWN_TYPE):
        return
    if schema.get("type") == "array":
        for index, item in enumerate(value):
            yield from walk(sample, name + "[]", schema["items"], item, [*path, index], seen)
    for field, inner in schema.get("properties", {}).items():
        if field in value:
            yield from walk(sample, f"{name}.{field}", inner, value[field], [*path, field], seen)


def fields(name, schema):
    yield name
    if name.endswith(OWN_TYPE):
        return
    if schema.get("type") == "array":
        yield from fields(name + "[]", schema["items"])
    for field, inner in schema.get("properties", {}).items():
        yield from fields(f"{name}.{field}", inner)


given = json.load(sys.stdin)
for crd in given["crds"]:
    kind = crd["spec"]["names"]["kind"]
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    seen = set()
    for sample in given["samples"]:
        if sample["kind"] == kind:
            for case in walk(sample, f"{kind}.spec", schema, sample["spec"], ["spec"], seen):
                print(json.dumps(case))
    for name in fields(f"{kind}.spec", schema):
        if name not in seen:
            print(json.dumps({"what": f"{name}: in a sample"}))
