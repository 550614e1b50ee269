#!/usr/bin/env bash
# The life of the webhook on a real API server, while reviews come in of which none may fail: an authority replaced by its
# successor, two replicas rolled, a clock that is set, an API server that is started again, the operator away. Further: a serving
# certificate that has expired, a Secret that was emptied, namespaces that cannot be looked up. $BIN has the programs.
# shellcheck disable=SC2317,SC2329 # functions that `check` calls
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
: "${BIN:=$here/../../target/debug}"
# shellcheck source=product.sh
source "$here/product.sh"
work="$(mktemp -d)"
end() {
  local code=$?
  ((code == 0)) || tail -n 6 "$work"/webhook.log 2>/dev/null | cut -c1-400 || true
  touch "$work/stop"
  for pid in "${loads[@]}"; do wait "$pid" 2>/dev/null || true; done
  stop_product
  rm -rf "$work"
  exit "$code"
}
trap end EXIT
# shellcheck source=../checks.sh
source "$here/../checks.sh"
# shellcheck source=load.sh
source "$here/load.sh"
at() { date -u -d "@$1" +%Y%m%d%H%M%SZ; }

# authority NAME NOT-BEFORE NOT-AFTER, and serving NAME AUTHORITY NOT-BEFORE NOT-AFTER: certificates of another time.
signed() { # NAME NOT-BEFORE NOT-AFTER EXTENSIONS OPTION...
  local folder="$work/pki/$1"
  mkdir -p "$folder/new"
  : >"$folder/index"
  openssl rand -hex 8 >"$folder/serial"
  printf '[ca]\ndefault_ca=c\n[c]\ndatabase=%s/index\nserial=%s/serial\nnew_certs_dir=%s/new\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n[e]\n%b\n' \
    "$folder" "$folder" "$folder" "$4" >"$folder/config"
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$1.key" 2>/dev/null
  openssl req -new -key "$work/$1.key" -subj "/CN=$1" -out "$folder/request" 2>/dev/null
  openssl ca -batch -notext -config "$folder/config" -extensions e -in "$folder/request" -out "$work/$1.crt" \
    -startdate "$(at "$2")" -enddate "$(at "$3")" "${@:5}" 2>"$folder/log" || { cat "$folder/log"; return 1; }
}
authority() {
  signed "$1" "$2" "$3" 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash' \
    -selfsign -keyfile "$work/$1.key"
}
serving() {
  signed "$1" "$3" "$4" 'basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth' \
    -cert "$work/$2.crt" -keyfile "$work/$2.key"
}
secret() { # FIELD=FILE...: puts these files into the Secret
  local field patch='{"data": {}}'
  for field in "$@"; do
    patch="$(jq -c --arg name "${field%%=*}" --arg value "$(base64 -w0 "${field#*=}")" '.data[$name] = $value' <<<"$patch")"
  done
  kubectl -n stella-system patch secret stella-webhook-tls --type=merge --patch "$patch" >/dev/null
}
bundle() { kubectl get validatingwebhookconfiguration "$1" -o jsonpath='{.webhooks[0].clientConfig.caBundle}' | base64 -d; }
trusts() { # AUTHORITY...: exactly these, in both registrations
  local name
  for name in stella-webhook stella-webhook-fail; do
    [[ "$(bundle "$name" | grep -c BEGIN)" == "$#" ]] || { echo "$name trusts $(bundle "$name" | grep -c BEGIN)"; return 1; }
  done
}
served_by() { # AUTHORITY
  openssl s_client -connect "localhost:$webhook_port" -servername localhost -CAfile "$work/$1.crt" -verify_return_error </dev/null
}
review() { kubectl -n steady run steady --image="$good" --dry-run=server; }

start_product "$work"
good="$(jq -r .passing "$work/target.json")" bad="$(jq -r .refused "$work/target.json")"
kubectl create namespace steady >/dev/null
kubectl label namespace steady stella-ops.org/failure-policy=Fail >/dev/null
check "reviews are answered" within 10 review

echo "# an authority near its end, and its successor"
now="$(date +%s)" day=86400
authority first "$((now - 300 * day))" "$((now + 30 * day))"
serving first-leaf first "$((now - day))" "$((now + 29 * day))"
# Certificates begin an hour before they are made: this one was made a day ago but for 45 s, as far as it tells, so that the overlap of a day ends 45 s from now.
authority second "$((now - day - 3600 + 45))" "$((now + 300 * day))"
secret ca.crt="$work/first.crt" ca.key="$work/first.key" tls.crt="$work/first-leaf.crt" tls.key="$work/first-leaf.key"
check "what is put into the Secret is served" within 20 served_by first
check "a successor is announced: two authorities are trusted" within 20 trusts first next
begin_load
secret next-ca.crt="$work/second.crt" next-ca.key="$work/second.key"
check "after the overlap the successor serves" within 90 served_by second
check "the old one is trusted still" trusts second first
sleep 20
end_load "an authority replaced"

echo "# a certificate that has expired"
serving late second "$((now - 50 * day))" "$((now - day))"
secret tls.crt="$work/late.crt" tls.key="$work/late.key"
check "it is renewed under its authority" within 20 served_by second
check "reviews are answered" within 20 review
check "and refused where they are to be" refused

echo "# a Secret that was emptied, and one that is gone"
kubectl -n stella-system patch secret stella-webhook-tls --type=json --patch '[{"op": "remove", "path": "/data/ca.crt"}]' >/dev/null
check "all is made anew" within 40 bash -c "! openssl s_client -connect localhost:$webhook_port -servername localhost -CAfile '$work/second.crt' -verify_return_error </dev/null 2>/dev/null"
check "reviews are answered" within 20 review
kubectl -n stella-system delete secret stella-webhook-tls >/dev/null
sleep 17
check "a Secret that is gone is made again" kubectl -n stella-system get secret stella-webhook-tls
check "reviews are answered" within 20 review

echo "# two replicas, rolled"
# What stood at the port that the registrations name goes, and a Service stands there.
kill "${product_pid[webhook]}"
wait "${product_pid[webhook]}" 2>/dev/null || true
mkdir "$work/replicas"
replica() { # NAME PREFIX...: a webhook beside the others
  local name="$1" port metrics
  port="$(product_port)" metrics="$(product_port)"
  product_run "$name" "${@:2}" "$BIN/stella-webhook" serve --server "$operator" --listen "127.0.0.1:$port" \
    --metrics-listen "127.0.0.1:$metrics" --data "$work/$name-data" --namespace stella-system --instance "$name" \
    --tls-secret stella-webhook-tls --dns-name localhost --webhook-configuration stella-webhook,stella-webhook-fail
  echo "$port $metrics" >"$work/replicas/$name"
}
ready() { curl -fs "http://127.0.0.1:$(cut -d ' ' -f 2 "$work/replicas/$1")/readyz"; }
in_service() { # NAME: and the Service has seen it
  within 30 ready "$1"
  sleep 1.5
}
gone() { # NAME: the replica is told to end, as a pod that leaves its Service; leaves its exit code
  rm "$work/replicas/$1"
  kill -TERM "${product_pid[$1]}"
  code=0
  wait "${product_pid[$1]}" || code=$?
}
for name in one two; do replica "$name"; done
for name in one two; do in_service "$name"; done
product_run service python3 "$here/service.py" "$webhook_port" "$work/replicas"
check "reviews are answered by two" within 20 review
begin_load
previous=(one two)
for n in 3 4 5 6; do
  replica "r$n"
  in_service "r$n"
  gone "${previous[0]}"
  check "replica ${previous[0]} ends in order" test "$code" = 0
  previous=("${previous[1]}" "r$n")
done
end_load "each of two replicas replaced twice"
check "and refused where they are to be" refused

echo "# the operator, which leads, away"
kill -KILL "${product_pid[operator]}"
wait "${product_pid[operator]}" 2>/dev/null || true
begin_load
replica late
sleep 6
unready() { ! ready "$1"; }
check "a replica that starts meanwhile has no verdicts and is not ready" unready late
product_operator
check "it gets ready when the operator is back" within 70 ready late
sleep 3
end_load "the operator away"
gone late

echo "# a clock that is set"
clock="$work/clock"
echo "+0" >"$clock"
library="$(find /usr/lib -name libfaketimeMT.so.1 2>/dev/null | head -n 1)"
check "there is a library for false clocks (scripts/install/debian.sh)" test -n "$library"
replica set env LD_PRELOAD="$library" FAKETIME_TIMESTAMP_FILE="$clock" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
in_service set
for name in "${previous[@]}"; do gone "$name"; done
begin_load
# Forward by no more than a day, the grace of verdicts: farther, and they have ended until the operator is heard again.
for offset in -1h +0 +50m -20h +0; do
  echo "$offset" >"$clock"
  sleep 4
  check "set to $offset: refused where they are to be" refused
done
end_load "a clock set back and forth"
check "it says that it was set back" grep -q "the clock was set back" "$work/set.log"
replica last
in_service last
gone set

echo "# the API server started again"
begin=$SECONDS
restart_api_server
check "reviews are answered at once (after $((SECONDS - begin)) s)" within 20 review
check "and refused where they are to be" refused
kubectl create namespace after-restart >/dev/null
kubectl label namespace after-restart stella-ops.org/admission=audit >/dev/null
opened() { kubectl -n after-restart run open --image="$bad" --dry-run=server; }
check "watches are taken up again: a namespace that came since is known" within 30 opened

echo "# namespaces that cannot be looked up"
helm template stella "$product_repository/charts/stella" --namespace stella-system \
  --show-only templates/operator/rbac.yaml 2>/dev/null | kubectl apply -f - >/dev/null
kubectl config view --raw -o json | jq '.users[0].user.as = "system:serviceaccount:stella-system:stella-operator"' >"$work/operator.kubeconfig"
rights() { # FILTER: for each rule of the operator's ClusterRole
  kubectl get clusterrole stella-operator -o json | jq ".rules |= map($1)" | kubectl replace -f - >/dev/null
}
kill "${product_pid[operator]}"
wait "${product_pid[operator]}" 2>/dev/null || true
product_run operator "$BIN/stella-operator" serve --data "$work/data" --feeds "$product_repository/tests/fixtures/feeds" \
  --allow-anonymous --no-coverage --kubeconfig "$work/operator.kubeconfig" --namespace stella-system \
  --default-admission-mode audit --registries "$work/registries.yaml" --listen "127.0.0.1:$operator_port"
product_eventually curl -fs "$operator/readyz" || product_failed "the operator is not ready"
rights 'if .resources then .resources -= ["namespaces"] else . end'
restart_api_server # which ends the watch that stands
check "it is said" within 60 grep -q "namespaces cannot be watched" "$work/operator.log"
kubectl create namespace beyond >/dev/null
kubectl label namespace beyond stella-ops.org/admission=audit >/dev/null
sleep 3
closed() { ! kubectl -n beyond run closed --image="$bad" --dry-run=server; }
opens() { kubectl -n beyond run open --image="$bad" --dry-run=server; }
check "a namespace of which nothing is known is taken as strictly as any" closed
check "what passes, passes" kubectl -n beyond run open --image="$good" --dry-run=server
check "what was known stays" opened
rights 'if (.resources // []) | index("pods") then .resources += ["namespaces"] else . end'
check "and it is known when it may be looked up" within 60 opens
exit "$failed"
