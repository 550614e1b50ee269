#!/usr/bin/env bash
# Opens our reports in Chromium, on a telephone, at a desk and on paper, light and dark, without a network: the sample, the
# page of a scan, and reports with the names, lengths and numbers that break pages. See page.mjs for what is looked at.
#
#   BIN    folder with the product's programs (default: target/debug)
#   SHOTS  folder where screenshots and PDFs stay (default: they do not)
set -euo pipefail
cd "$(dirname "$0")/../../.."
BIN="${BIN:-${CARGO_TARGET_DIR:-target}/debug}"
folder=$(scripts/install/browser.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
shots="${SHOTS:-$work/shots}"
mkdir -p "$work/pages" "$shots"

cp samples/api/reports/report-sample.html "$work/pages/sample.html"
node tests/conformance/browser/reports.mjs "$work"
for name in hostile supplied empty; do
  "$BIN/stellopsctl" report show "$work/$name.json" --format html --output "$work/pages/$name.html"
done
cat >"$work/bom.json" <<'JSON'
{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": [
  {"type": "library", "name": "aiohttp", "version": "3.8.5", "purl": "pkg:pypi/aiohttp@3.8.5"},
  {"type": "library", "name": "django", "version": "3.2.10", "purl": "pkg:pypi/django@3.2.10"}]}
JSON
"$BIN/stella" --local --feeds tests/fixtures/feeds --cache-dir "$work/index" --format html "$work/bom.json" \
  >"$work/pages/scan.html" 2>/dev/null || (($? == 1))

# Modules are found beside the installed packages only.
cp tests/conformance/browser/*.mjs "$work"
ln -s "$folder/node_modules" "$work/node_modules"
node "$work/page.mjs" "$shots" "$work"/pages/*.html
