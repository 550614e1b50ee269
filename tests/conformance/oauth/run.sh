#!/usr/bin/env bash
# OAuth and JOSE libraries of other languages against our authority:
#
#   - Authlib (Python): tokens by Basic and by form, password, refresh; jwcrypto: tokens and the list of revocations
#   - oauth4webapi (JavaScript): discovery, a token bound to a key, a protected resource by DPoP; jose: the same list
#   - oidc-provider (JavaScript): another issuer whose tokens are accepted, also while it is down
#
# and the same clients, with stellopsctl, against a running operator (operator.sh).
#
# $BIN is the folder with the programs; the example `authority_server` is built.
set -euo pipefail
cd "$(dirname "$0")/../../.."

BIN="${BIN:-${CARGO_TARGET_DIR:-target}/debug}"
cargo build -q --workspace --example authority_server
folder=$(scripts/install/oauth-clients.sh)
work=$(mktemp -d)
issuer="" server=""
cleanup() {
  for pid in $issuer $server; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
# Modules are found beside the installed packages only.
cp tests/conformance/oauth/*.mjs "$work"
ln -s "$folder/node_modules" "$work/node_modules"

wait_for() { # FILE
  for _ in $(seq 100); do
    [[ -s "$1" ]] && return
    sleep 0.1
  done
  echo "run.sh: nothing in $1" >&2
  exit 1
}

node "$work/issuer.mjs" > "$work/issuer.json" 2> "$work/issuer.log" &
issuer=$!
wait_for "$work/issuer.json"
export STELLA_ISSUER STELLA_ISSUER_CACHE=2
STELLA_ISSUER=$(python3 -c 'import json,sys; print(json.loads(open(sys.argv[1]).readline())["issuer"])' "$work/issuer.json")

"$BIN/examples/authority_server" "$work/data" > "$work/server.json" 2> "$work/server.log" &
server=$!
wait_for "$work/server.json"

"$folder/venv/bin/python" tests/conformance/oauth/client.py "$work/server.json"
node "$work/client.mjs" "$work/server.json"
node "$work/other-issuer.mjs" "$work/server.json" "$work/issuer.json" up "$work/token"
kill "$issuer" && wait "$issuer" 2>/dev/null || true
issuer=""
# Beyond the lifetime of its keys, within the tolerance.
sleep 3
node "$work/other-issuer.mjs" "$work/server.json" "$work/issuer.json" down "$work/token"
if grep -qF "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["secret"])' "$work/server.json")" "$work/server.log" "$work/data/audit/audit.jsonl"; then
  echo "run.sh: a secret was logged" >&2
  exit 1
fi
tests/conformance/oauth/operator.sh "$BIN" "$folder" "$work"
echo "oauth: every client got what it should, and nothing else"
