# shellcheck shell=bash
# A small control plane for tests, to be sourced: an etcd and an API server of the caller's own, on free ports, without
# nodes and controllers. It takes some seconds and no root; any number of them run beside each other.
#
#   source tests/control-plane.sh
#   trap 'stop_control_plane; rm -rf "$work"' EXIT
#   start_control_plane "$work"          # an empty folder, for all that it keeps; not in a subshell
#   kubectl ...                          # KUBECONFIG is set: an administrator, in namespace `default`
#
# Set for the caller: KUBECONFIG, PATH (kubectl of the cache first), and control_plane_etcd, the URL of etcd (/metrics).
# What no controller does here: no garbage collection of owned objects, no service accounts, no emptying of namespaces.
# The programs are those of the test cluster (tests/cluster/build.sh); CONTROL_PLANE_PROGRAM may name that of Kubernetes.

control_plane_repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PATH="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}/bin:$PATH"
control_plane_pids=()

stop_control_plane() {
  # Nothing of theirs is kept, and an API server without its etcd takes minutes to end by itself.
  ((${#control_plane_pids[@]} == 0)) || kill -KILL "${control_plane_pids[@]}" 2>/dev/null || true
  ((${#control_plane_pids[@]} == 0)) || wait "${control_plane_pids[@]}" 2>/dev/null || true
  control_plane_pids=()
}

# Three ports at once: one that is asked for alone could be given out twice.
control_plane_free_ports() {
  python3 -c '
import socket
sockets = [socket.socket() for _ in range(3)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in sockets])'
}

control_plane_run() { # FOLDER NAME OPTION...: the one program is all of Kubernetes, by the name it is called.
  ln -sf "$CONTROL_PLANE_PROGRAM" "$1/$2"
  "$1/$2" "${@:3}" >"$1/$2.log" 2>&1 &
  control_plane_pids+=("$!")
  [[ "$2" != kube-apiserver ]] || { control_plane_api=("$1/$2" "${@:3}"); control_plane_api_pid=$!; }
}

# Ends the API server and starts it again, on the same etcd and port.
restart_api_server() {
  kill -KILL "$control_plane_api_pid"
  wait "$control_plane_api_pid" 2>/dev/null || true
  "${control_plane_api[@]}" >>"${control_plane_api[0]}.log" 2>&1 &
  control_plane_api_pid=$!
  control_plane_pids+=("$control_plane_api_pid")
  control_plane_ready
}

control_plane_ready() {
  for _ in $(seq 150); do
    ! kubectl get --raw /readyz >/dev/null 2>&1 || return 0
    sleep 0.4
  done
  tail -n 20 "${control_plane_api[0]}.log"
  return 1
}

start_control_plane() { # FOLDER
  local folder="$1" etcd peer api token
  [[ -n "${CONTROL_PLANE_PROGRAM:-}" ]] || CONTROL_PLANE_PROGRAM="$("$control_plane_repository/tests/cluster/build.sh")"
  CONTROL_PLANE_PROGRAM="${CONTROL_PLANE_PROGRAM%%$'\n'*}" # the first line; the second is CoreDNS
  read -r etcd peer api < <(control_plane_free_ports)
  control_plane_etcd="http://127.0.0.1:$etcd"
  export KUBECONFIG="$folder/kubeconfig" control_plane_etcd
  token="$(openssl rand -hex 16)"
  openssl ecparam -name prime256v1 -genkey -noout -out "$folder/account.key"
  (umask 077 && echo "$token,admin,admin,system:masters" >"$folder/tokens")
  control_plane_run "$folder" etcd --name test --data-dir "$folder/etcd-data" --log-level warn --unsafe-no-fsync \
    --listen-client-urls "$control_plane_etcd" --advertise-client-urls "$control_plane_etcd" \
    --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
    --initial-cluster "test=http://127.0.0.1:$peer"
  control_plane_run "$folder" kube-apiserver --etcd-servers "$control_plane_etcd" --cert-dir "$folder/certificates" \
    --bind-address 127.0.0.1 --secure-port "$api" --endpoint-reconciler-type none \
    --service-cluster-ip-range 10.96.0.0/16 --authorization-mode RBAC --token-auth-file "$folder/tokens" \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$folder/account.key" \
    --service-account-signing-key-file "$folder/account.key" \
    --disable-admission-plugins ServiceAccount,StorageObjectInUseProtection --allow-privileged=true
  kubectl config set-cluster test --server "https://127.0.0.1:$api" --insecure-skip-tls-verify=true >/dev/null
  kubectl config set-credentials admin --token "$token" >/dev/null
  kubectl config set-context test --cluster test --user admin >/dev/null
  kubectl config use-context test >/dev/null
  control_plane_ready
}
