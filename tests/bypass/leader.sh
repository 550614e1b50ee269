#!/usr/bin/env bash
# Two operators on one database, of which the one that leads stops in the midst of its work, comes back, and dies: the other one leads,
# what is written to the cluster goes on, and no review fails meanwhile. $BIN has the programs, and
# $STELLA_TEST_POSTGRES the database: tests/postgres/with.sh tests/bypass/leader.sh
# shellcheck disable=SC2317,SC2329 # functions that `check` calls
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
: "${BIN:=$here/../../target/debug}"
: "${STELLA_TEST_POSTGRES:?tests/postgres/with.sh gives it}"
# shellcheck source=product.sh
source "$here/product.sh"
work="$(mktemp -d)"
end() {
  local code=$? name
  ((code == 0)) || tail -n 6 "$work"/{one,two,webhook}.log 2>/dev/null | cut -c1-400 || true
  touch "$work/stop"
  for pid in "${loads[@]}"; do wait "$pid" 2>/dev/null || true; done
  # One that is stopped does not end.
  for name in one two; do kill -CONT "${product_pid[$name]:-$$}" 2>/dev/null || true; done
  stop_product
  rm -rf "$work"
  exit "$code"
}
trap end EXIT
# shellcheck source=../checks.sh
source "$here/../checks.sh"
# shellcheck source=load.sh
source "$here/load.sh"

# Both stand behind a Service, as the webhook knows them.
mkdir "$work/operators"
replica() { # NAME
  local port
  port="$(product_port)"
  product_run "$1" "$BIN/stella-operator" serve --data "$work/data" --database-url "$STELLA_TEST_POSTGRES" --instance "$1" \
    --feeds "$product_repository/tests/fixtures/feeds" --allow-anonymous --no-coverage --kubeconfig "$KUBECONFIG" \
    --namespace stella-system --default-admission-mode audit --registries "$work/registries.yaml" --listen "127.0.0.1:$port"
  echo "$port $port" >"$work/operators/$1"
  product_eventually curl -fs "http://127.0.0.1:$port/readyz" || product_failed "operator $1 is not ready"
}
product_operator() {
  replica one
  product_run operators python3 "$here/service.py" "$operator_port" "$work/operators"
  product_eventually curl -fs "$operator/readyz" || product_failed "the operators cannot be reached"
}
leads() { [[ "$(kubectl -n stella-system get lease stella-operator -o jsonpath='{.spec.holderIdentity}')" == "$1" ]]; }
policy() { # NAME: a policy whose status somebody has to write
  kubectl apply -f - >/dev/null <<YAML
apiVersion: stella-ops.org/v1alpha1
kind: Policy
metadata: {name: $1, namespace: steady}
spec: {rules: [], priority: 100, admission: {mode: audit}}
YAML
}
written() { kubectl -n steady get policy "$1" -o json | jq -e '.status.observedGeneration == .metadata.generation'; }

start_product "$work"
good="$(jq -r .passing "$work/target.json")" bad="$(jq -r .refused "$work/target.json")"
kubectl create namespace steady >/dev/null
kubectl label namespace steady stella-ops.org/failure-policy=Fail stella-ops.org/admission=enforce >/dev/null
check "one leads" within 10 leads one
replica two
policy before
check "what is to be written to the cluster is" within 10 written before
check "refused where it is to be" within 10 refused

echo "# the one that leads stops in the midst of its work"
begin_load
kill -STOP "${product_pid[one]}"
check "the other leads when the lease has ended" within 30 leads two
policy meanwhile
check "and writes to the cluster" within 20 written meanwhile
check "refused where it is to be" refused
end_load "the leader stopped"

echo "# it comes back"
begin_load
kill -CONT "${product_pid[one]}"
sleep 12
check "the other still leads" leads two
policy after
check "and writes" within 20 written after
check "the first says that it leads no more" grep -q "the lease was taken over by two" "$work/one.log"
# It may have been about to write: it ends, and whoever keeps it running starts it anew, as a kubelet does.
ended() { ! kill -0 "${product_pid[one]}" 2>/dev/null; }
check "it ends" within 40 ended
kill -KILL "${product_pid[one]}" 2>/dev/null || true
code=0
wait "${product_pid[one]}" || code=$?
check "with an error" test "$code" = 2
replica one
check "anew it leads nothing" leads two
end_load "the old leader back"

echo "# the one that leads now dies"
begin_load
kill -KILL "${product_pid[two]}"
wait "${product_pid[two]}" 2>/dev/null || true
check "the first leads again" within 30 leads one
policy at-last
check "and writes" within 20 written at-last
check "refused where it is to be" refused
end_load "the leader killed"
exit "$failed"
