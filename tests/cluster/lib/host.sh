# shellcheck shell=bash
# What the cluster needs of the machine, and how the machine gets back what was changed.
# Every change is noted in a file before it is made, so that a crash loses nothing.

restore_notes="$STELLA_RIG/restore"

check_host() {
  local missing=() tool filesystem
  for tool in containerd runc ctr docker-registry skopeo nft ip findmnt setsid flock openssl jq gcc go kubectl; do
    command -v "$tool" >/dev/null || missing+=("program $tool: see scripts/install/")
  done
  [[ -x /usr/lib/cni/ptp ]] || missing+=("/usr/lib/cni/ptp: see scripts/install/debian.sh")
  for filesystem in overlay cgroup; do
    grep -q "\b$filesystem" /proc/filesystems || modprobe "$filesystem" 2>/dev/null ||
      missing+=("kernel: file system $filesystem")
  done
  if [[ ! -e /sys/fs/cgroup/cgroup.controllers && ! -d /sys/fs/cgroup/pids ]]; then
    missing+=("control groups: neither version 2 nor the pids group of version 1 is mounted in /sys/fs/cgroup")
  fi
  if command -v nft >/dev/null && ! nft list tables >/dev/null 2>&1; then
    missing+=("kernel: nftables")
  fi
  if ((${#missing[@]})); then
    printf 'cluster: MISSING: %s\n' "${missing[@]}" >&2
    exit 1
  fi
}

note() { echo "$*" >>"$restore_notes"; }

set_sysctl() {
  local old
  old="$(sysctl -n "$1")"
  [[ "$old" == "$2" ]] || sysctl -qw "$1=$2"
}

# Kernel settings that we, the kubelet or kube-proxy change.
sysctls=(
  net.ipv4.ip_forward vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops
  kernel.keys.root_maxkeys kernel.keys.root_maxbytes net.ipv4.conf.all.route_localnet
  net.netfilter.nf_conntrack_max net.netfilter.nf_conntrack_tcp_timeout_established
  net.netfilter.nf_conntrack_tcp_timeout_close_wait net.netfilter.nf_conntrack_tcp_be_liberal
)

# Folders outside the rig's that the kubelet or containerd make, whatever they are told.
foreign_folders=(
  /run/containerd /var/lib/kubelet /var/lib/cni /var/log/containers /var/log/pods
  /usr/libexec/kubernetes /opt/containerd /opt/cni
)

prepare_host() {
  local name folder
  for name in "${sysctls[@]}"; do
    [[ ! -e "/proc/sys/${name//.//}" ]] || note sysctl "$name" "$(sysctl -n "$name")"
  done
  for folder in "${foreign_folders[@]}"; do
    [[ -e "$folder" ]] || note folder "$folder"
  done
  set_sysctl net.ipv4.ip_forward 1
  mount_if_missing bpf /sys/fs/bpf
  mount_if_missing tracefs /sys/kernel/tracing
  mount_if_missing securityfs /sys/kernel/security

  for name in ip ip6; do
    if nft list table "$name" kube-proxy >/dev/null 2>&1; then
      fail "a kube-proxy table exists in nftables ($name): another cluster runs on this machine"
    fi
    note table "$name" kube-proxy
  done
  # A bridge without members: the kernel here may lack the dummy driver.
  ip link add "$interface" type bridge
  ip address add "$node_ip/32" dev "$interface"
  ip link set "$interface" up

  # Mounts that a pod shares with the node (mountPropagation) need a shared parent.
  mount --bind "$STELLA_RIG" "$STELLA_RIG"
  mount --make-rshared "$STELLA_RIG"
}

mount_if_missing() {
  if findmnt -rn -M "$2" -t "$1" >/dev/null; then return; fi
  if [[ ! -d "$2" ]]; then
    say "no $2: this kernel lacks $1; what needs it will not work"
    return
  fi
  note mount "$2"
  mount -t "$1" "$1" "$2"
}

remove_mounts() {
  local target
  while read -r target; do
    umount "$target" 2>/dev/null || umount -l "$target" || say "still mounted: $target"
  done < <(findmnt -rn -o TARGET | awk -v rig="$STELLA_RIG" '$1 == rig || index($1, rig "/") == 1' | tac)
}

restore_host() {
  local kind first second
  ip link delete "$interface" 2>/dev/null || true
  remove_shim_sockets
  rm -f /var/lib/cni/results/stella-rig-*
  find /var/log/containers -lname "$STELLA_RIG/*" -delete 2>/dev/null || true
  [[ -e "$restore_notes" ]] || return 0
  while read -r kind first second; do
    case "$kind" in
      sysctl) sysctl -qw "$first=$second" 2>/dev/null || true ;;
      mount) ! findmnt -rn -M "$first" >/dev/null || umount "$first" || umount -l "$first" || true ;;
      table) nft delete table "$first" "$second" 2>/dev/null || true ;;
      folder) rm -rf --one-file-system "$first" ;;
    esac
  done <"$restore_notes"
}

# containerd 1.6 keeps them in one folder for all of a machine's containerds.
remove_shim_sockets() {
  local file
  for file in "$STELLA_RIG"/containerd/state/io.containerd.runtime.v2.task/*/*/address; do
    [[ -e "$file" ]] && rm -f "$(sed 's#^unix://##' "$file")"
  done
  return 0
}
