# shellcheck shell=bash
# Bringing the cluster up, and taking it away whatever state it is in.

components=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)

source "$rig_source/lib/processes.sh"
source "$rig_source/lib/host.sh"
source "$rig_source/lib/certificates.sh"
source "$rig_source/lib/runtime.sh"
source "$rig_source/lib/control-plane.sh"
source "$rig_source/lib/node.sh"
source "$rig_source/lib/addons.sh"

require_root() { ((EUID == 0)) || fail "MISSING: root: run this as root"; }

# One at a time on a machine: held by file descriptor 9 until the script ends.
lock() {
  require_root
  exec 9>/run/lock/stella-rig.lock
  flock -n 9 || {
    say "waiting for another script of the cluster to end"
    flock 9
  }
}

# Whether a whole cluster runs, with the settings that are asked for now.
running() {
  grep -qsx "export STELLA_RIG_DISCARD_LAYERS=$STELLA_RIG_DISCARD_LAYERS" "$STELLA_RIG/env" &&
    all_alive && api_ready >/dev/null 2>&1
}

install_tools() {
  "$repository/scripts/install/debian.sh" >&2
  "$repository/scripts/install/kube-tools.sh" >&2
}

bring_up() {
  local built binaries name
  install_tools
  built="$("$rig_source/build.sh")"
  mapfile -t binaries <<<"$built"
  "$repository/scripts/images/pause.sh" >/dev/null
  check_host

  mkdir -p "$STELLA_RIG"/{bin,log,run}
  prepare_host
  for name in "${components[@]}"; do ln -s "${binaries[0]}" "$STELLA_RIG/bin/$name"; done
  ln -s "${binaries[1]}" "$STELLA_RIG/bin/coredns"
  ln -s "$(command -v containerd)" "$STELLA_RIG/bin/containerd"
  make_groups

  start_etcd
  start_containerd
  start_registry
  make_certificates
  start_api_server
  wait_for 30 "containerd" containerd_ready
  import_pause_image
  wait_for 60 "API server" api_ready
  start_controller_manager
  start_scheduler
  start_kubelet
  start_kube_proxy
  apply_addons
  start_coredns
  start_provisioner
  wait_for 60 "node Ready" node_ready
  wait_for 30 "cluster DNS" dns_ready
  wait_for 30 "default service account" service_account_ready
  "$rig_source/images.sh" --push-built >&2
  write_env
}

write_env() {
  cat >"$STELLA_RIG/env" <<SH
export KUBECONFIG=$kubeconfig
export PATH=$STELLA_CACHE/bin:\$PATH
export STELLA_RIG=$STELLA_RIG
export STELLA_RIG_NODE=$node_name
export STELLA_RIG_NODE_IP=$node_ip
export STELLA_RIG_REGISTRY=$registry
export STELLA_RIG_REGISTRY_FROM_PODS=$registry_from_pods
export STELLA_RIG_CONTAINERD=$containerd_socket
export STELLA_RIG_DISCARD_LAYERS=$STELLA_RIG_DISCARD_LAYERS
SH
}

take_down() {
  save_logs
  kill_all
  remove_mounts
  restore_host
  remove_groups
  rm -rf --one-file-system "$STELLA_RIG"
}

save_logs() {
  [[ -n "$STELLA_RIG_LOGS" && -d "$STELLA_RIG/log" ]] || return 0
  mkdir -p "$STELLA_RIG_LOGS"
  cp -r "$STELLA_RIG/log/." "$STELLA_RIG_LOGS/"
}
