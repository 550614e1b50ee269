# shellcheck shell=bash
# 4: what runs decides what matters
kubectl -n shop run web-1 --image="$workload" >/dev/null
kubectl -n shop create deployment drained --image="$workload" >/dev/null
check "a Deployment of it comes up" kubectl -n shop rollout status deployment/drained --timeout=90s
check "the workload starts" kubectl -n shop wait --for=condition=Ready pod/web-1 --timeout=60s
used_by_web() { has_level "$1" runtime && finding "$1" | jq -e '.[0].reachability.evidence | any(.pod == "web-1")' >/dev/null; }
eventually 10 "the loaded library's package is in use" used_by_web aiohttp
eventually 10 "so is the second one's" used_by_web cryptography
check "the evidence names container, library, package, time and what identifies the file" jq_holds \
  '.[0].reachability.evidence | map(select(.pod == "web-1" and (.opened | not))) | length > 0 and all(.namespace == "shop" and (.path | endswith(".so")) and (.package | startswith("pkg:pypi/aiohttp@")) and ((.buildId // .sha256 // "") | length > 10) and (.firstSeen | length > 20))' \
  finding aiohttp
not_settled() { [[ "$(level pillow)" != unreachable ]] && finding pillow | jq -r '.[0].reachability.reason' | grep settling >/dev/null; }
check "the unloaded library is unknown while it settles" not_settled
eventually 40 "and unreachable after the settling time" has_level pillow unreachable
eventually 10 "so is pure Python that was never opened" has_level django unreachable
eventually 10 "and pure Python that was opened is in use" used_by_web idna
check "stellopsctl findings --in-use lists it with its workload" said "aiohttp.*shop/web-1" \
  "$BIN/stellopsctl" --server "$api_url" --token "$api_token" findings --in-use
kubectl -n other run clean --image=localhost/demo/clean:1.0 --image-pull-policy=Never >/dev/null
known() { api "/api/v1/scanner/policy/runtime" -H 'content-type: application/json' -d "{\"namespace\":\"other\",\"images\":[\"localhost/demo/clean:1.0\"]}" | jq -e '.results[] | .metadata.imageDigest != null' >/dev/null; }
eventually 30 "an image that was only imported on the node is scanned by itself" known
