# shellcheck shell=bash
# What every step uses: checks that count, waiting, and the API.

passed=0
failed=0

pass() { passed=$((passed + 1)); echo "  ok    $1"; }
fail() { failed=$((failed + 1)); echo "  FAIL  $1"; [[ -z "${2:-}" ]] || sed 's/^/        /' <<<"$2" | tail -n 12; }

# check WHAT COMMAND...: passes when the command does.
check() {
  local what="$1" output
  shift
  if output="$("$@" 2>&1)"; then pass "$what"; else fail "$what" "$output"; fi
}

# eventually SECONDS WHAT COMMAND...: passes when the command does within the time.
eventually() {
  local end=$((SECONDS + $1)) what="$2" output begin=$SECONDS
  shift 2
  until output="$("$@" 2>&1)"; do
    if ((SECONDS >= end)); then
      fail "$what" "$output"
      return 0
    fi
    sleep 0.5
  done
  pass "$what ($((SECONDS - begin)) s)"
}

# refused PATTERN COMMAND...: passes when the command fails and says PATTERN.
refused() {
  local pattern="$1" output
  shift
  if output="$("$@" 2>&1)"; then echo "was not refused: $output"; return 1; fi
  grep -qE "$pattern" <<<"$output" || { echo "refused without '$pattern': $output"; return 1; }
}

# said PATTERN COMMAND...: passes when the command succeeds and says PATTERN.
said() {
  local pattern="$1" output
  shift
  output="$("$@" 2>&1)" || { echo "$output"; return 1; }
  grep -qE "$pattern" <<<"$output" || { echo "nothing says '$pattern': $output"; return 1; }
}

# api PATH [CURL OPTIONS...]: asks the operator through its Service, as one of its own service accounts.
api() {
  local path="$1"
  shift
  curl -sS --fail-with-body -m 20 -H "Authorization: Bearer $api_token" -H "X-Stella-Tenant: tenant-default" "$@" "$api_url$path"
}

# The Service's address is reached from the node itself, so that no tunnel can break in the middle.
find_api() {
  api_url="http://$(kubectl -n stella-system get service stella-operator -o jsonpath='{.spec.clusterIP}'):8080"
  api_token="$(kubectl -n stella-system create token stella-operator --audience stella-ops --duration 1h)"
}

# relabelled LAYOUT TARGET: a copy of an image that differs in a label only, so that it has another digest; says where it is.
relabelled() {
  local manifest config
  cp -r "$1" "$2"
  manifest="$(manifest_digest "$2")"
  config="$(jq -r .config.digest "$2/blobs/sha256/${manifest#sha256:}")"
  jq -c '.config.Labels.revision = "next"' "$2/blobs/sha256/${config#sha256:}" >"$2/blob"
  config="$(store_blob "$2" application/vnd.oci.image.config.v1+json)"
  jq -c --argjson config "$config" '.config = $config' "$2/blobs/sha256/${manifest#sha256:}" >"$2/blob"
  store_blob "$2" application/vnd.oci.image.manifest.v1+json >"$2/descriptor"
  jq -c --slurpfile to "$2/descriptor" '.manifests[0] += $to[0]' "$2/index.json" >"$2/index.new"
  mv "$2/index.new" "$2/index.json"
  rm "$2/descriptor"
  echo "$2"
}

# finding PACKAGE: the findings of a package of the workload's image, worst first.
finding() {
  api "/console/vuln/findings?pageSize=200&image=$workload_digest" | jq -c --arg package "$1" '[.items[] | select(.coordinates.component == $package)]'
}

# level PACKAGE: how close it is to running.
level() { finding "$1" | jq -r '.[0].reachability.level'; }

has_level() { [[ "$(level "$1")" == "$2" ]] || { echo "$1 is $(level "$1"): $(finding "$1" | jq -r '.[0].reachability.reason')"; return 1; }; }

jq_holds() { # FILTER COMMAND...
  local filter="$1" output
  shift
  output="$("$@")" || return 1
  jq -e "$filter" >/dev/null <<<"$output" || { echo "does not hold: $filter"; jq -c . <<<"$output" | cut -c1-1500; return 1; }
}
