#!/usr/bin/env bash
# Checks what we sign with the tools of others; scripts/install/attest-tools.sh brings them. Here nothing may be skipped.
#
#   - canonical JSON: the published vectors of RFC 8785
#   - DSSE: securesystemslib, for Python
#   - in-toto attestations: cosign, on a registry without the referrers API and on one with it
#   - the programs themselves, from a scan to a change of the key ($BIN)
#   - signatures and SBOMs that cosign made, demanded by policies, and what cosign says of the same images
set -euo pipefail
cd "$(dirname "$0")/../../.."

log="$(mktemp)"
trap 'rm -f "$log"' EXIT
cargo test --workspace --test other_tools --test generated -- --nocapture 2>&1 | tee "$log"
cargo test --workspace --test pulling referrers -- --nocapture 2>&1 | tee -a "$log"
if grep -q "SKIPPED: " "$log"; then
  echo "test-attest: something was skipped" >&2
  exit 1
fi
tests/conformance/attest/server.sh
tests/conformance/attest/signatures.sh
