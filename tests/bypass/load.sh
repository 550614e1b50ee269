# shellcheck shell=bash
# Reviews without a break, of a pod that passes in the namespace `steady`, whose failure policy is Fail: so what goes wrong shows. To
# be sourced after checks.sh; $work is a folder of the script's own, $good an image that passes, and $bad one that is refused.

loads=()

# Reviews while something happens: begin_load, what happens, end_load WHAT.
begin_load() {
  rm -f "$work/stop" "$work/failures" "$work"/count-*
  for n in 1 2; do load "$n" & loads+=("$!"); done
}
end_load() {
  local pid total
  touch "$work/stop"
  for pid in "${loads[@]}"; do wait "$pid" || true; done
  loads=()
  total=$(($(cat "$work/count-1") + $(cat "$work/count-2")))
  check "$1: none of $total reviews failed" none_failed
  check "enough of them to tell" test "$total" -gt 200
}
# A webhook that does not answer refuses as well, in other words.
refused() {
  local said
  ! said="$(kubectl -n steady run steady --image="$bad" --dry-run=server 2>&1)" || return 1
  grep "denied the request" <<<"$said"
}
none_failed() { [[ ! -s "$work/failures" ]] || { wc -l <"$work/failures"; head -n 5 "$work/failures"; return 1; }; }

load() { # NUMBER: reviews without a break; what fails is written down, as a refused pod is where the policy is Fail
  local count=0 token url code body
  token="$(kubectl config view --raw -o jsonpath='{.users[0].user.token}')"
  url="$(kubectl config view --raw -o jsonpath='{.clusters[0].cluster.server}')/api/v1/namespaces/steady/pods?dryRun=All"
  body="$(jq -nc --arg image "$good" '{apiVersion: "v1", kind: "Pod", metadata: {generateName: "l-"}, spec: {containers: [{name: "a", image: $image}]}}')"
  while [[ ! -e "$work/stop" ]]; do
    code="$(curl -sk -m 20 -o "$work/load-$1" -w '%{http_code}' -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -d "$body" "$url")" || code="curl $?"
    [[ "$code" == 201 ]] || { echo "$(date -u +%T) $code $(head -c 300 "$work/load-$1")" >>"$work/failures"; }
    count=$((count + 1))
    echo "$count" >"$work/count-$1"
  done
}
