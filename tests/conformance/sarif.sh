#!/usr/bin/env bash
# Checks what `stella --format sarif` writes against the schema of SARIF 2.1.0, which the crate serde-sarif carries.
#   BIN   folder with the product's programs (default: target/debug)
set -euo pipefail
repository="$(cd "$(dirname "$0")/../.." && pwd)"
: "${BIN:=$repository/target/debug}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/fetch/src"
touch "$work/fetch/src/lib.rs"
cat >"$work/fetch/Cargo.toml" <<'TOML'
[package]
name = "fetch"
version = "0.0.0"
edition = "2024"
[dependencies]
serde-sarif = "=0.8.0"
[workspace]
TOML
manifest="$(cargo metadata --quiet --format-version 1 --manifest-path "$work/fetch/Cargo.toml" |
  jq -r '.packages[] | select(.name == "serde-sarif").manifest_path')"

cat >"$work/bom.json" <<'JSON'
{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": [
  {"type": "library", "name": "aiohttp", "version": "3.8.5", "purl": "pkg:pypi/aiohttp@3.8.5"},
  {"type": "library", "name": "django", "version": "3.2.10", "purl": "pkg:pypi/django@3.2.10"},
  {"type": "library", "name": "ä b", "version": "1", "purl": "pkg:pypi/%C3%A4%20b@1"}]}
JSON
cat >"$work/none.json" <<'JSON'
{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []}
JSON

stella() { "$BIN/stella" --local --feeds "$repository/tests/fixtures/feeds" --cache-dir "$work/index" --format sarif "$@" 2>/dev/null; }
stella "$work/bom.json" >"$work/found.sarif" || (($? == 1))
stella --policy-file "$repository/tests/conformance/ignore-everything.yaml" "$work/bom.json" >"$work/quiet.sarif"
stella "$work/none.json" >"$work/none.sarif"
python3 - "$(dirname "$manifest")/src/schema.json" "$work"/{found,quiet,none}.sarif <<'PYTHON'
import json
import sys

import jsonschema

schema, *documents = sys.argv[1:]
with open(schema, encoding="utf-8") as file:
    declared = json.load(file)
validator = jsonschema.validators.validator_for(declared)(declared, format_checker=jsonschema.FormatChecker())
failed, results, suppressed = 0, 0, 0
for path in documents:
    with open(path, encoding="utf-8") as file:
        log = json.load(file)
    results += len(log["runs"][0]["results"])
    suppressed += sum(1 for result in log["runs"][0]["results"] if result.get("suppressions"))
    for error in validator.iter_errors(log):
        failed += 1
        print(f"{path}: $.{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}")
print(f"sarif: {len(documents)} logs, {results} results ({suppressed} suppressed) against the schema: {failed} errors")
sys.exit(failed > 0 or results == 0 or suppressed == 0)
PYTHON
