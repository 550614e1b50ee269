# shellcheck shell=bash
# The story itself, from the operator's start to the table.

settle=15

tell_story() {
  local started=$SECONDS
  start_operator
  scan_image
  watch_container
  ask_admission
  prove
  show_table
  say
  say "Done in $((SECONDS - started)) s."
  look_next
}

start_operator() {
  step "The operator works on a folder of manifests, as it would on a cluster"
  feeds="$(feeds_folder)"
  port="$(free_port)"
  server="http://127.0.0.1:$port"
  mkdir "$work/manifests"
  cp "$here"/manifests/*.yaml "$work/manifests/"
  (umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$work/token")
  shown "stella-operator serve --manifests $work/manifests --data $work/data --feeds $feeds"
  start operator "$bin/stella-operator" serve --manifests "$work/manifests" --data "$work/data" \
    --feeds "$feeds" --listen "127.0.0.1:$port" --settle-seconds "$settle" --static-token-file "$work/token"
  wait_for 120 "the operator" ready
  say "API at $server; advisories: $(ctl feed status --json | jq -r '[.[].advisories] | add') in $(ctl feed status --json | jq length) feeds"
  wait_for 30 "the policy" status_has policy.stella-system.in-use '^active: true'
  say "Policy stella-system/in-use: block what is severe AND in use"
}

ready() { answers "$port" && ctl doctor >/dev/null 2>&1; }
ctl() { "$bin/stellopsctl" --server "$server" --token-file "$work/token" "$@"; }
status_of() { cat "$work/manifests/$1.status.yaml" 2>/dev/null; }
status_has() { status_of "$1" | grep -- "$2" >/dev/null; }

scan_image() {
  step "An image is scanned"
  shown "stella --server $server --threshold high IMAGE"
  STELLA_TOKEN="$(cat "$work/token")" "$bin/stella" --server "$server" --output-json "$work/scan.json" "$layout" \
    >"$work/scan.txt" 2>&1 || (($? == 1)) || stop "the scan failed: $(cat "$work/scan.txt")"
  digest="$(jq -r .digest "$work/scan.json")"
  jq -r '.summary | to_entries | map("\(.value) \(.key)") | "Found: " + join(", ")' "$work/scan.json"
  say "A list like this is where most scanners end. Which of it is in use?"
  step "May it run? Admission is asked before anything was observed"
  review "$reference" "$digest"
}

# review REFERENCE DIGEST: what admission says to a pod with this image in the namespace shop.
review() {
  local name answer
  name="$(basename "${1%%:*}")"
  jq -n --arg name "$name-2" --arg image "$1@$2" '{
    apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview",
    request: {
      uid: "00000000-0000-0000-0000-000000000001", operation: "CREATE", namespace: "shop", name: $name,
      kind: {group: "", version: "v1", kind: "Pod"}, resource: {group: "", version: "v1", resource: "pods"},
      requestKind: {group: "", version: "v1", kind: "Pod"}, requestResource: {group: "", version: "v1", resource: "pods"},
      userInfo: {username: "developer"}, dryRun: false,
      object: {
        apiVersion: "v1", kind: "Pod", metadata: {name: $name, namespace: "shop"},
        spec: {containers: [{name: "main", image: $image}]}
      }
    }
  }' >"$work/review.json"
  shown "stella-webhook review pod-$name.json --server $server"
  answer="$("$bin/stella-webhook" review "$work/review.json" --server "$server" --token-file "$work/token")"
  allowed="$(jq -r .response.allowed <<<"$answer")"
  if [[ "$allowed" == true ]]; then
    say "ADMITTED: $1"
  else
    # A digest in full says no more to people.
    jq -r '"REFUSED: " + .response.status.message' <<<"$answer" |
      sed 's/@sha256:\([0-9a-f]\{12\}\)[0-9a-f]*/@sha256:\1.../' | fold -s -w 110 | sed 's/ *$//'
  fi
}

watch_container() {
  local agent_port
  step "The image runs, and the agent sees what it loads"
  describe_container "$digest"
  agent_port="$(free_port)"
  shown "stella-zastava --server $server ${agent_flags[*]}"
  start agent "$bin/stella-zastava" --server "$server" --token-file "$work/token" --node this-machine \
    --spool-dir "$work/spool" --metrics-listen "127.0.0.1:$agent_port" "${agent_flags[@]}"
  wait_for 60 "the agent" answers "$agent_port"
  watched="$(python3 -c "$read_status" "$agent_port")"
  start_container "$layout"
  wait_for 60 "what the container loads" in_use
  if [[ "$watched" != ebpf ]]; then
    say "NO EBPF: /proc is polled. Use is seen; what is not loaded stays unknown, because a poll can miss it"
  else
    say "What is not loaded within $settle s of its start counts as not used (24 h by default) ..."
    wait_for $((settle + 60)) "the rest to settle" settled
  fi
  say "In use: $(findings | jq -r '[.[] | select(.reachability.status == "reachable") | .coordinates.component] | unique | join(", ")')"
}

read_status='
import json, sys, urllib.request
status = json.load(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/status", timeout=5))
print("ebpf" if status["ebpf"] else "proc")'

findings() { ctl findings --image "$digest" --json; }
in_use() { findings | jq -e 'any(.[]; .reachability.status == "reachable" and .policyBadge == "fail")' >/dev/null; }
settled() {
  findings | jq -e 'any(.[]; .reachability.status == "unreachable")
    and all(.[]; .reachability.reason // "" | startswith("settling") | not)' >/dev/null
}

ask_admission() {
  step "Admission is asked again"
  review "$reference" "$digest"
  [[ "$allowed" == false ]] || stop "an image with severe findings in use was admitted"
  review registry.example/shop/other:1.0 "sha256:$(printf other | sha256sum | cut -d ' ' -f 1)"
  [[ "$allowed" == true ]] || stop "another image was refused"
  say "(never scanned; this policy lets such images in)"
}

prove() {
  local run
  step "The same as a ScanJob, its status beside its manifest"
  sed "s/DIGEST/$digest/" "$here/scan-job.yaml" >"$work/manifests/scan-job.yaml"
  wait_for 30 "the scan job" status_has scanjob.shop.web 'phase: Succeeded'
  shown "grep -E '^(phase|verdict)' $work/manifests/scanjob.shop.web.status.yaml"
  status_of scanjob.shop.web | grep -E '^(phase|verdict)'
  step "A signed report, and an export that checks itself"
  ctl report get "$(jq -r .digest "$work/scan.json")" -o "$work/report.json"
  verify_report
  cp "$here/export.yaml" "$work/manifests/"
  wait_for 30 "the export" status_has exportprofile.shop.findings 'status: succeeded'
  run="$(dirname "$(find "$work/data/exports" -name SHA256SUMS | head -n 1)")"
  shown "cd $run && sha256sum -c SHA256SUMS"
  (cd "$run" && sha256sum -c SHA256SUMS)
}

# With openssl alone: the envelope signs its type and its content (DSSE, "PAE").
verify_report() {
  local type key="$work/data/keys/report-signing.pub.pem"
  type="$(jq -r .dsse.payloadType "$work/report.json")"
  jq -r .dsse.payload "$work/report.json" | base64 -d >"$work/payload"
  jq -r '.dsse.signatures[0].sig' "$work/report.json" | base64 -d >"$work/signature"
  {
    printf 'DSSEv1 %d %s %d ' "${#type}" "$type" "$(stat -c %s "$work/payload")"
    cat "$work/payload"
  } >"$work/signed"
  shown "openssl pkeyutl -verify -pubin -inkey report-signing.pub.pem -rawin -in signed -sigfile signature"
  openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$work/signed" -sigfile "$work/signature"
  jq -r '"\(.reportId): verdict \(.verdict), \(.summary.blocked) of \(.summary.total) findings blocked"' "$work/payload"
}

show_table() {
  step "What was found, and what of it is in use"
  findings | jq -r -f "$here/lib/table.jq" | awk -f "$here/lib/grid.awk"
}

look_next() {
  cat <<END
Where to look next:
  docs/                         what it does, and how
  charts/stella                 the same on a cluster
  STELLA_DEMO_WAIT=1 make demo  leaves all of it running until you press Enter
  STELLA_DEMO_KEEP=1 make demo  keeps manifests and statuses, the database, the report, the export
END
  [[ -n "${STELLA_DEMO_WAIT:-}" ]] || return 0
  cat <<END
The API answers at $server (/openapi/v1.json tells what):
  stellopsctl --server $server --token-file $work/token findings --in-use
Everything is in $work
END
  read -r -p "Press Enter to take it all away " || true
}
