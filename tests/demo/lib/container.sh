# shellcheck shell=bash
# As root: a Debian image with Python, run as a real container by runc.

reference=registry.example/shop/web:1.0
pod=web-1
# As container runtimes name a container's control group: by this the agent knows one.
container_id="$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')"

# Whether root may do here what runtimes do: in an unprivileged container it may not.
can_contain() {
  local group
  unshare --mount --pid --fork --mount-proc true 2>/dev/null || return 1
  for group in /sys/fs/cgroup/pids /sys/fs/cgroup; do
    [[ -d "$group" ]] && mkdir "$group/stella-demo-$$" 2>/dev/null && rmdir "$group/stella-demo-$$" && return 0
  done
  return 1
}

# The kernel's events are attached to through tracefs. Distributions mount it; where nothing did, it is mounted until the end.
traces=/sys/kernel/tracing
mounted_traces=
mount_traces() {
  mountpoint -q "$traces" && return
  mount -t tracefs tracefs "$traces" && mounted_traces=1
}

how() { echo "a real container under runc, watched by eBPF"; }

# Prints the OCI layout.
make_image() { "$repository/scripts/images/workload.sh"; }

describe_container() { # DIGEST: identities, which a cluster's agent gets from the container runtime
  jq -n --arg id "$container_id" --arg reference "$reference" --arg digest "$1" --arg pod "$pod" \
    '{($id): {imageRef: $reference, digest: $digest, namespace: "shop", pod: $pod, container: "web"}}' >"$work/containers.json"
  agent_flags=(--observe auto --containers "$work/containers.json")
}

unpack() { # LAYOUT FOLDER
  local layout="$1" folder="$2" manifest layer
  mkdir -p "$folder"
  manifest="$layout/blobs/$(jq -r '.manifests[0].digest' "$layout/index.json" | tr : /)"
  while read -r layer; do
    tar --extract --gzip --file "$layout/blobs/${layer/://}" --directory "$folder"
  done < <(jq -r '.layers[].digest' "$manifest")
  jq '.config' "$layout/blobs/$(jq -r '.config.digest' "$manifest" | tr : /)" >"$work/image-config.json"
}

start_container() { # LAYOUT
  local bundle="$work/bundle"
  unpack "$1" "$bundle/rootfs"
  runc spec --bundle "$bundle"
  jq --slurpfile image "$work/image-config.json" --arg group "/stella-demo/$container_id" '
    .process.terminal = false
    | .process.args = $image[0].Entrypoint | .process.env = $image[0].Env | .process.cwd = $image[0].WorkingDir
    | .process.user = ($image[0].User | split(":") | map(tonumber) | {uid: .[0], gid: .[1]})
    | .hostname = "web-1" | .linux.cgroupsPath = $group' "$bundle/config.json" >"$bundle/config.new"
  mv "$bundle/config.new" "$bundle/config.json"
  start web runc --root "$work/runc" run --bundle "$bundle" "$container_id"
  wait_for 60 "the container" use_container
}

# One request, so that the program does what it is there for; from the host's Python in the container's
# network, because a program of the container would count as part of what it loads.
use_container() {
  local pid
  pid="$(runc --root "$work/runc" state "$container_id" 2>>"$work/request.log" | jq .pid)"
  [[ -n "$pid" ]] && nsenter --target "$pid" --net python3 -c \
    'import urllib.request; urllib.request.urlopen("http://127.0.0.1:8080/order", timeout=5).read()' >"$work/request.log" 2>&1
}

stop_container() {
  local group
  runc --root "$work/runc" delete --force "$container_id" 2>/dev/null || true
  end web
  [[ -z "$mounted_traces" ]] || umount "$traces" 2>/dev/null || true
  # runc removes the group named by the id; the one above it was made for it.
  for group in /sys/fs/cgroup/stella-demo /sys/fs/cgroup/*/stella-demo; do
    rmdir "$group" 2>/dev/null || true
  done
}
