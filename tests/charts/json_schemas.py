"""Makes strict JSON schemas, as kubeconform wants them, of the API that Kubernetes declares: json_schemas.py SWAGGER DIR."""

import json
import pathlib
import sys

PREFIX = "#/definitions/"
LOOSE = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
}


def strict(schema):
    """Nothing but what is declared."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and "additionalProperties" not in made:
        made["additionalProperties"] = False
    return made


def references(schema):
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(PREFIX)
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def closure(name, definitions):
    seen, waiting = {}, [name]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen[name] = definitions[name]
            waiting.extend(references(definitions[name]))
    return seen


def main(swagger, folder):
    declared = json.loads(pathlib.Path(swagger).read_text())["definitions"]
    definitions = {name: strict(schema) for name, schema in declared.items()} | LOOSE
    for name, schema in declared.items():
        kinds = schema.get("x-kubernetes-group-version-kind", [])
        if len(kinds) != 1 or kinds[0]["kind"].endswith("List"):
            continue
        group, version, kind = (kinds[0][key] for key in ("group", "version", "kind"))
        file = "-".join(filter(None, [kind, group.split(".")[0], version])).lower() + ".json"
        made = {"$ref": PREFIX + name, "definitions": closure(name, definitions)}
        pathlib.Path(folder, file).write_text(json.dumps(made))


main(*sys.argv[1:])
