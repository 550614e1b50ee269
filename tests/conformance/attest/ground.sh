# shellcheck shell=bash
# What server.sh and signatures.sh stand on: $work, a folder that goes at their end, as what they began does ($pids);
# and $plain, the address of a registry without the referrers API. Programs come from $BIN and the cache.
: "${BIN:?folder of the programs}"
cache="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
PATH="$BIN:$cache/bin:$PATH"

work="$(mktemp -d)"
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
fail() { echo "$(basename "$0"): $*" >&2; tail -n 6 "$work"/*.log >&2 || true; exit 1; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
eventually() { local n; for ((n = 0; n < 300; n++)); do "$@" >/dev/null 2>&1 && return 0; sleep 0.2; done; return 1; }

plain="127.0.0.1:$(free_port)"
cat >"$work/registry.yml" <<YAML
version: 0.1
log: {accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: '$plain', secret: x}
YAML
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
pids+=($!)
eventually curl -fs "http://$plain/v2/" || fail "the registry does not start"
