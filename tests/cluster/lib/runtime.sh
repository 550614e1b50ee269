# shellcheck shell=bash
# containerd with a socket and folders of its own, pod networking, and an image registry.

start_registry() {
  local address
  # Two listeners on one store: this machine and containerd use loopback, pods the node's address.
  for address in "$registry" "$registry_from_pods"; do
    cat >"$STELLA_RIG/registry-${address%:*}.yaml" <<YAML
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $STELLA_RIG/registry}
  delete: {enabled: true}
http:
  addr: $address
YAML
    start "registry-${address%:*}" docker-registry serve "$STELLA_RIG/registry-${address%:*}.yaml"
  done
}

start_containerd() {
  make_network_configuration
  make_registry_configuration
  make_containerd_configuration >"$STELLA_RIG/containerd.toml"
  start containerd "$STELLA_RIG/bin/containerd" --config "$STELLA_RIG/containerd.toml"
}

make_containerd_configuration() {
  local discard=false
  [[ "$STELLA_RIG_DISCARD_LAYERS" != 1 ]] || discard=true
  cat <<TOML
version = 2
root = "$STELLA_RIG/containerd/root"
state = "$STELLA_RIG/containerd/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "$containerd_socket"

[plugins."io.containerd.internal.v1.opt"]
path = "$STELLA_RIG/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "$pause_image"
stream_server_address = "127.0.0.1"
netns_mounts_under_state_dir = true
disable_apparmor = true
# Without the right to lower a process's score, runc would refuse to start it.
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
discard_unpacked_layers = $discard

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "$STELLA_RIG/containerd/runc"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$STELLA_RIG/cni"

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "$STELLA_RIG/registries"
TOML
}

# A routed pair of interfaces for each pod: goes away with the pod, and needs no bridge
# and no kernel module for one.
make_network_configuration() {
  mkdir -p "$STELLA_RIG/cni"
  cat >"$STELLA_RIG/cni/10-stella-rig.conflist" <<JSON
{
  "cniVersion": "0.4.0",
  "name": "stella-rig",
  "plugins": [{
    "type": "ptp",
    "ipam": {
      "type": "host-local",
      "dataDir": "$STELLA_RIG/cni-addresses",
      "ranges": [[{"subnet": "$pod_range_of_node"}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
JSON
}

make_registry_configuration() {
  local address
  for address in "$registry" "$registry_from_pods"; do
    mkdir -p "$STELLA_RIG/registries/$address"
    cat >"$STELLA_RIG/registries/$address/hosts.toml" <<TOML
server = "http://$address"
[host."http://$address"]
capabilities = ["pull", "resolve"]
TOML
  done
}

ctr_of_node() { ctr --address "$containerd_socket" --namespace k8s.io "$@"; }
