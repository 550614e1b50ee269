#!/usr/bin/env bash
# The same clients against a running operator, and the commands of stellopsctl: operator.sh BIN CLIENTS WORK
#
# BIN holds the programs, CLIENTS what scripts/install/oauth-clients.sh made, WORK the scripts beside their modules.
set -euo pipefail
cd "$(dirname "$0")/../../.."
bin=$1 clients=$2 work=$3/operator
mkdir -p "$work"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port
printf 'externalUrl: %s\n' "$url" > "$work/authority.yaml"

"$bin/stella-operator" serve --listen "127.0.0.1:$port" --data "$work/data" --authority "$work/authority.yaml" \
  --instance one > "$work/log" 2>&1 &
operator=$!
trap 'kill "$operator" 2>/dev/null || true' EXIT
for _ in $(seq 300); do
  curl -sf "$url/healthz" > /dev/null && break
  sleep 0.1
done
read -r secret < "$work/data/authority/admin-secret"
read -r key < "$work/data/authority/bootstrap-key"
python3 - "$url" "$secret" "$key" > "$work/server.json" <<'PY'
import json, sys
url, secret, key = sys.argv[1:]
print(json.dumps({"url": url, "client": "stella-admin", "secret": secret, "bootstrapKey": key}))
PY
"$clients/venv/bin/python" tests/conformance/oauth/client.py "$work/server.json"
node "$3/client.mjs" "$work/server.json"

STELLA_TOKEN=$(curl -sf -u "stella-admin:$secret" -d grant_type=client_credentials "$url/connect/token" | jq -r .access_token)
export STELLA_TOKEN STELLA_SERVER=$url
ctl() { "$bin/stellopsctl" --server "$url" "$@"; }
wants() { # TEXT COMMAND...
  local text=$1 said
  shift
  said=$("$@" 2>&1) || { echo "operator.sh: '$*' failed: $said" >&2; exit 1; }
  [[ "$said" == *"$text"* ]] || { echo "operator.sh: '$*' said no '$text': $said" >&2; exit 1; }
}
refused() { # COMMAND...
  ! "$@" > "$work/said" 2>&1 || { echo "operator.sh: '$*' was let through" >&2; exit 1; }
}
password=$work/password
echo 'Correct-horse8' > "$password"
wants eve ctl user add eve --role viewer --password-file "$password" --for acme
wants eve ctl user list
wants acme ctl tenant list
wants yes ctl user disable eve
made=$(ctl client add ci --scope scanner.scans.read --for acme)
wants ci ctl client list
rotated=$(ctl client rotate ci)
[[ -n "$made" && "$made" != "$rotated" ]]
token=$(curl -sf -u "ci:$rotated" -d grant_type=client_credentials "$url/connect/token" | jq -r .access_token)
wants ci ctl client disable ci
sleep 2.1
[[ $(curl -so /dev/null -w '%{http_code}' -H "authorization: Bearer $token" "$url/api/v1/scans/x") == 401 ]]
offline=$(ctl token offline --days 2 --max-scans-per-day 3)
[[ $(curl -so /dev/null -w '%{http_code}' -H "authorization: Bearer $offline" "$url/policy/export") == 200 ]]
STELLA_TOKEN=$offline refused ctl client list
ctl doctor > "$work/said" || [[ $? == 1 ]] # Not well yet: there are no feeds.

kill "$operator" && wait "$operator" 2>/dev/null || true
log=$work/data/authority/audit/one
wants verified ctl audit verify "$log"
for change in '5s/"outcome":"[a-z]*"/"outcome":"odd"/' '5d' '5p'; do
  mkdir -p "$work/changed" && cp "$log"/* "$work/changed" && sed -i "$change" "$work/changed/audit.jsonl"
  refused ctl audit verify "$work/changed"
done
for hidden in "$secret" "$key" "$made" "$rotated" "$offline" Correct-horse8; do
  if grep -qF -- "$hidden" "$work/log" "$log/audit.jsonl"; then
    echo "operator.sh: a secret was logged" >&2
    exit 1
  fi
done
echo "operator: tokens for the same clients, users, clients, offline tokens, audit log by stellopsctl"
