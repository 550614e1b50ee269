#!/usr/bin/env bash
# Real containers of Podman beside the real agent and operator: whose a started program or a loaded library is, also of what ends at
# once, of `podman exec` and in a pod; an image in containers-storage and the same as a tar; drift of a real image, with a library
# that no package owns. $BIN has the programs. Needs root, and scripts/install/podman.sh. Nothing of Podman's lies outside a folder of
# the test's own.
# shellcheck disable=SC2317,SC2329 # functions that `check` calls
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
repository="$(cd "$here/../.." && pwd)"
: "${BIN:=$repository/target/debug}"
if ((EUID != 0)); then
  echo "test-podman: NOT TESTED without root: containers of Podman"
  exit 0
fi
# Short, since sockets of Podman's lie in it.
work="$(mktemp -d "${TMPDIR:-/tmp}/podman.XXXXXX")"
# In memory (half a gigabyte): taking thousands of files of an image away again takes some disks longer than all the rest.
mount -t tmpfs -o size=2g stella-podman "$work"
# shellcheck source=../bypass/product.sh
source "$repository/tests/bypass/product.sh"
product_work="$work"
# shellcheck source=../checks.sh
source "$here/../checks.sh"
# shellcheck source=podman.sh
source "$here/podman.sh"
mounted=
begun=$SECONDS

end() {
  local code=$?
  ((code == 0)) || tail -n 8 "$work"/{agent,operator}.log 2>/dev/null | cut -c1-400 || true
  if [[ -n "${KEEP_LOGS:-}" ]]; then
    mkdir -p "$KEEP_LOGS"
    cp "$work"/{agent.log,operator.log,events,containers.json} "$KEEP_LOGS/" 2>/dev/null || true
  fi
  remove_containers
  stop_product
  [[ -z "$mounted" ]] || umount /sys/kernel/tracing 2>/dev/null || true
  umount --lazy "$work" && rmdir "$work"
  exit "$code"
}
trap end EXIT

# told ID FILTER: whether the filter holds for the agent's events of that container of Podman, in their order.
told() {
  jq -s --arg id "podman://$1" 'map(.event | select(.runtime.engine == "podman" and .workload.containerId == $id))' "$work/events" |
    jq -e "$2"
}
loaded() { # ID PATH...: as a regular expression
  local path
  for path in "${@:2}"; do told "$1" "any(.[].loadedLibs[]?; .path | test(\"^$path\$\"))"; done
}
ended() { told "$1" 'any(.kind == "ContainerStop")'; }
from_start() { told "$1" 'map(select(.kind == "ContainerStart")) | length == 1 and .[0].annotations["stella.observedFromStart"] == "true"'; }
drifts() { curl -fsS "$operator/api/v1/runtime/events?kind=Drift&pageSize=200"; }
# drift ID REASON PATH: whether the API lists it.
drift() {
  drifts |
    jq -e --arg id "podman://$1" --arg reason "$2" --arg path "$3" '[.items[]
      | select(.workload.containerId == $id and (.evidence | any(.signal == "drift" and .value == $reason)
          and any(.signal == "drift.path" and .value == $path)))] | length == 1'
}

echo "# an image in containers-storage"
configure_podman
make_image "$work/image" "$work/image.tar"
pod_man load --quiet --input "$work/image.tar" >/dev/null
stored="containers-storage:[overlay@$storage_root]$reference"
inventory() { # IMAGE FILE
  "$BIN/stella" --local --no-cache --cache-dir "$work/cache" --feeds "$feeds" --format spdx "$1" >"$2" 2>"$work/stella.log" || (($? == 1))
}
feeds="$repository/tests/fixtures/feeds"
inventory "$work/image.tar" "$work/of-tar.json"
inventory "$stored" "$work/of-storage.json"
check "there is something in it" test "$(jq '.packages | length' "$work/of-tar.json")" -gt 100
check "its inventory is that of the image's tar, byte for byte" cmp "$work/of-tar.json" "$work/of-storage.json"
missing() { "$BIN/stella" --local --feeds "$feeds" "${stored%:*}:2" >"$work/stella.log" 2>&1 || (($? == 2)) && grep "image ${reference%:*}:2" "$work/stella.log"; }
check "an image that is not there is named" missing

echo "# the operator, and the agent"
port="$(product_port)" operator="http://127.0.0.1:$port"
product_registry
product_run operator "$BIN/stella-operator" serve --data "$work/data" --feeds "$feeds" --allow-anonymous --listen "127.0.0.1:$port" \
  --insecure-registry "$registry"
within 30 curl -fs "$operator/readyz"
# From a registry, since only images that the server's side read are looked at for libraries without an owner.
push_image "$work/image" "$reference" "$registry/demo/podman:1.0"
digest="$(manifest_digest "$work/image")"
product_scan "$registry/demo/podman:1.0"
check "its storage names it by the same digest" test "$(pod_man image inspect --format '{{.Digest}}' "$reference")" = "$digest"

# Podman speaks no CRI: a file tells whose its containers are, so they are made before the agent starts.
made() { pod_man create --name "$1" --entrypoint "$2" "$reference" "${@:3}"; }
web="$(made web /bin/sh -c 'while :; do sleep 0.5; done')"
short="$(made short /bin/true)"
pod_man pod create --infra=false --name pod >/dev/null
in_pod="$(pod_man create --pod pod --name in-pod --entrypoint /bin/sh "$reference" -c 'sleep 0.1')"
jq -n --arg reference "$reference" --arg digest "$digest" '$ARGS.positional | map({key: ., value: {imageRef: $reference,
  digest: $digest, namespace: "shop", pod: .[:12], container: .[:12]}}) | from_entries' --args "$web" "$short" "$in_pod" >"$work/containers.json"
if ! mountpoint -q /sys/kernel/tracing; then mount -t tracefs tracefs /sys/kernel/tracing && mounted=1; fi
metrics="127.0.0.1:$(product_port)"
"$BIN/stella-zastava" --observe ebpf --output json --server "$operator" --node here --containers "$work/containers.json" \
  --spool-dir "$work/spool" --metrics-listen "$metrics" >"$work/events" 2>"$work/agent.log" </dev/null &
product_pids+=("$!")
within 30 grep -q " watching " "$work/agent.log"

echo "# whose it is"
pod_man start web short in-pod >/dev/null
check "a container is seen from its start" within 10 from_start "$web"
check "with the image that the file names" told "$web" 'any(.[]; .workload.imageRef == "'"$reference"'" and .workload.namespace == "shop")'
check "what it runs, and the libraries of that" within 10 loaded "$web" /usr/bin/dash /usr/bin/sleep '.*/libc\\.so\\.6' '.*/ld-linux-x86-64\\.so\\.2'
check "one that ended at once" within 10 ended "$short"
check "was seen from its start" from_start "$short"
milliseconds() { # ID: from its start to its end, as the agent tells them
  told "$1" 'def at: (.[:19] + "Z" | fromdate) * 1000 + (.[20:23] | tonumber);
    (map(select(.kind == "ContainerStop"))[0].when | at) - (map(select(.kind == "ContainerStart"))[0].when | at)'
}
check "it lived under 50 ms" test "$(milliseconds "$short")" -lt 50
check "and loaded what is its own" loaded "$short" /usr/bin/true '.*/libc\\.so\\.6'
check "a container in a pod has its own id, not the pod's" within 10 loaded "$in_pod" /usr/bin/dash /usr/bin/sleep
pod_man exec web /usr/bin/id >/dev/null
check "a program of \`podman exec\` that ends at once is the container's" within 10 loaded "$web" /usr/bin/id
unlisted="$(pod_man run --cidfile "$work/cid" --entrypoint /usr/bin/env "$reference" true && cat "$work/cid")"
check "a container that no file names is told by its id" within 10 ended "$unlisted"
check "and what it loaded" within 10 loaded "$unlisted" /usr/bin/env /usr/bin/true
check "and without an image" told "$unlisted" 'all(.[]; .workload.imageRef == "")'
# Nothing of Podman's on the host runs in a container: podman, conmon, runc.
# Other containers may run on this machine, but none that bears the id of one of these or of their pod.
pod_id="$(pod_man pod inspect --format '{{.ID}}' pod)"
ids() { jq -rs --arg pod "$pod_id" 'map(.event.workload.containerId | select(startswith("podman://") or endswith($pod))) | unique | .[]' "$work/events"; }
only_ours() { diff <(printf 'podman://%s\n' "$web" "$short" "$in_pod" "$unlisted" | sort) <(ids | sort); }
check "no other container of Podman's was seen, and the pod is none" only_ours
check "nor do podman, conmon and runc count as loaded by one" told "$web" 'all(.[].loadedLibs[]?; .path | test("conmon|podman|runc") | not)'
# Of other processes nothing is asked here, so the losses of the whole machine have to be none.
none_lost() {
  curl -fsS "http://$metrics/metrics" |
    awk '/^zastava_events_lost_total/ {l++; sum += $2} /^zastava_unattributed_total/ {u++; sum += $2} END {exit sum > 0 || !l || !u}'
}
check "nothing was lost or left without a container" none_lost

echo "# drift"
pod_man exec web /usr/bin/python3 -c "import ctypes; ctypes.CDLL('libz.so.1'); ctypes.CDLL('$unowned')"
check "one that no package owns is drift" within 20 drift "$web" unowned "$unowned"
names_layer() {
  drifts | jq -e --arg layer "$plugin_layer" --arg path "$unowned" --arg digest "$digest" '.items[]
    | select(.delta.unknownLibs == [$path]) | .delta.baselineImageDigest == $digest and (.evidence | any(.signal == "drift.layer" and .value == $layer))'
}
check "with the image and the layer that it is from" names_layer
pod_man exec --user 0 web /bin/sh -c "cp /bin/true /usr/local/bin/fresh && /usr/local/bin/fresh; cp $unowned /opt/plugins/libfresh.so"
pod_man exec web /usr/bin/python3 -c "import ctypes; ctypes.CDLL('/opt/plugins/libfresh.so')"
check "a program that was written since is drift" within 10 drift "$web" upper-layer /usr/local/bin/fresh
check "so is the library copied to another path, of the upper layer alone" within 10 drift "$web" upper-layer /opt/plugins/libfresh.so
only_these() {
  drifts | jq -r '.items[].evidence | map({key: .signal, value}) | from_entries
    | "\(.drift) \(."drift.path")"' | sort | diff <(printf '%s\n' "unowned $unowned" "upper-layer /opt/plugins/libfresh.so" "upper-layer /usr/local/bin/fresh" | sort) -
}
check "nothing else is" only_these
echo "test-podman: $((SECONDS - begun)) s"
exit "$failed"
