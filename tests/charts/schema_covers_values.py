"""The schema of values declares just the values there are, and nothing loosely: schema_covers_values.py CHART..."""

import json
import sys

import yaml

# Anything goes there, since Kubernetes declares it.
FOREIGN = {"global", "valueFrom", "nodeAffinity", "podAffinity", "podAntiAffinity"}


def resolve(schema, root):
    while "$ref" in schema:
        target = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = target | {key: value for key, value in schema.items() if key != "$ref"}
    return schema


def loose(schema, path):
    """Objects that would take anything."""
    if isinstance(schema, list):
        for item in schema:
            yield from loose(item, path)
    elif isinstance(schema, dict):
        kinds = schema.get("type")
        if (kinds == "object" or isinstance(kinds, list) and "object" in kinds) and "additionalProperties" not in schema:
            if path.rsplit(".", 1)[-1] not in FOREIGN:
                yield f"{path}: takes anything"
        for key, value in schema.items():
            yield from loose(value, f"{path}.{key}")


def differing(schema, values, root, path):
    schema = resolve(schema, root)
    declared = set(schema.get("properties", {})) - {"global"}
    if not declared or not isinstance(values, dict) or not values:
        return
    if path.count(".") and "additionalProperties" in schema and schema["additionalProperties"] is not False:
        return
    for key in declared ^ set(values):
        if key not in OPTIONAL:
            yield f"{path}.{key}: only in one of schema and values"
    for key in declared & set(values):
        yield from differing(schema["properties"][key], values[key], root, f"{path}.{key}")


# Parts of lists and maps that have no default.
OPTIONAL = {"user", "role", "type", "level"}

wrong = []
for chart in sys.argv[1:]:
    with open(f"{chart}/values.schema.json", encoding="utf-8") as file:
        schema = json.load(file)
    with open(f"{chart}/values.yaml", encoding="utf-8") as file:
        values = yaml.safe_load(file)
    wrong += [*loose(schema, chart), *differing(schema, values, schema, chart)]
print("\n".join(wrong), end="\n" if wrong else "")
sys.exit(bool(wrong))
