#!/usr/bin/env bash
# Runs the examples of the documents against an operator: of each DOCUMENT (default: docs/api.md, docs/policies.md) the blocks
# marked ```sh run, in their order, in one shell. Whatever does not answer 2xx fails, unless the line says which status it gets.
set -euo pipefail
cd "$(dirname "$0")/../../.."
bin="$(realpath "${BIN:-${CARGO_TARGET_DIR:-target}/debug}")"
here=$PWD/tests/conformance/examples
work=$(mktemp -d)
operator=""
cleanup() {
  [[ -z $operator ]] || { kill "$operator" && wait "$operator"; } 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export STELLA_SERVER=http://127.0.0.1:$port
"$bin/stella-operator" serve --listen "127.0.0.1:$port" --data "$work/data" --feeds tests/fixtures/feeds > "$work/log" 2>&1 &
operator=$!
for _ in $(seq 300); do
  curl -sf "$STELLA_SERVER/readyz" > /dev/null && break
  sleep 0.1
done
ADMIN_SECRET=$(< "$work/data/authority/admin-secret")
STELLA_TOKEN=$(curl -sf -u "stella-admin:$ADMIN_SECRET" -d grant_type=client_credentials "$STELLA_SERVER/connect/token" | jq -r .access_token)
export ADMIN_SECRET STELLA_TOKEN
mkdir "$work/files"
python3 "$here/files.py" "$work/files"

[[ $# -gt 0 ]] || set -- docs/api.md docs/policies.md
for document in "$@"; do
  python3 "$here/extract.py" "$document" > "$work/script"
  if ! (cd "$work/files" && PATH="$bin:$PATH" bash -euo pipefail -c "source $here/shell.sh; source $work/script") > "$work/said" 2>&1; then
    tail -c 4000 "$work/said"
    echo "examples: $document is not what the operator does" >&2
    exit 1
  fi
  echo "examples: $document, $(grep -o 'curl: http' "$work/said" | wc -l) requests"
done
