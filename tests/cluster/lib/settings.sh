# shellcheck shell=bash
# Names, folders and addresses of the test cluster.
# Those in capitals may be set in the environment.

rig_source="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
repository="$(cd "$rig_source/../.." && pwd)"

: "${STELLA_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
# All state of a running cluster; removed when it goes down.
: "${STELLA_RIG:=/var/lib/stella-rig}"
# 1: containerd drops the compressed layers of an image once they are unpacked.
: "${STELLA_RIG_DISCARD_LAYERS:=0}"
# When set: the folder that gets the logs before the cluster is removed.
: "${STELLA_RIG_LOGS:=}"
# On an interface made for it; pods and this machine reach the node there.
: "${STELLA_RIG_NODE_IP:=10.243.0.1}"
: "${STELLA_RIG_REGISTRY_PORT:=5001}"
export STELLA_CACHE STELLA_RIG STELLA_RIG_DISCARD_LAYERS STELLA_RIG_LOGS
export STELLA_RIG_NODE_IP STELLA_RIG_REGISTRY_PORT

node_name=node-1
node_ip="$STELLA_RIG_NODE_IP"
interface=stella-rig0
pod_range=10.244.0.0/16
pod_range_of_node=10.244.0.0/24
service_range=10.96.0.0/16
api_service_ip=10.96.0.1
dns_service_ip=10.96.0.10
cluster_domain=cluster.local
api_url="https://$node_ip:6443"
etcd_port=12379
etcd_peer_port=12380

pki="$STELLA_RIG/pki"
kubeconfig="$STELLA_RIG/kubeconfig"
containerd_socket="$STELLA_RIG/containerd.sock"
registry="127.0.0.1:$STELLA_RIG_REGISTRY_PORT"
registry_from_pods="$node_ip:$STELLA_RIG_REGISTRY_PORT"
pause_image=localhost/stella/pause:1

PATH="$STELLA_CACHE/bin:$PATH:/usr/sbin:/sbin"

# Used by the scripts that source this one.
export rig_source repository node_name node_ip interface pod_range pod_range_of_node
export service_range api_service_ip dns_service_ip cluster_domain api_url etcd_port etcd_peer_port
export pki kubeconfig containerd_socket registry registry_from_pods pause_image PATH

say() { echo "cluster: $*" >&2; }

fail() {
  echo "cluster: $*" >&2
  exit 1
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  local deadline=$((SECONDS + $1)) what="$2"
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "$what: not after the time allowed; logs are in $STELLA_RIG/log"
    sleep 0.2
  done
}
