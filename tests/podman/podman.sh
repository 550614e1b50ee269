# shellcheck shell=bash
# An image, and Podman with storage, state and settings below "$work". To be sourced after scripts/images/oci.sh.

reference=localhost/demo/podman:1.0
storage_root="$work/storage"
unowned=/opt/plugins/libplugin.so
# As in the configuration of the image that it stands on.
run_config='{"Entrypoint": ["/usr/bin/python3", "/app/serve.py"], "User": "65534:65534", "WorkingDir": "/app",
  "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}'

# make_image LAYOUT TAR: the workload with one more layer, in which a library lies that no package owns.
make_image() {
  local workload manifest layer layers=()
  workload="$("$repository/scripts/images/workload.sh")"
  manifest="$workload/blobs/$(manifest_digest "$workload" | tr : /)"
  while read -r layer; do
    gzip -dc <"$workload/blobs/${layer/://}" >"$work/layer-${#layers[@]}.tar"
    layers+=("$work/layer-${#layers[@]}.tar")
  done < <(jq -r '.layers[].digest' "$manifest")
  mkdir -p "$work/plugin${unowned%/*}"
  # The image's own libz under another path.
  tar --extract --to-stdout --file "${layers[0]}" --wildcards './*lib/x86_64-linux-gnu/libz.so.1.*' >"$work/plugin$unowned"
  pack_layer "$work/plugin" "$work/plugin.tar"
  plugin_layer="sha256:$(digest_of "$work/plugin.tar")"
  write_image "$1" "$reference" plain "$run_config" "${layers[@]}" "$work/plugin.tar"
  tar --create --file "$2" --directory "$1" .
  rm "${layers[@]}" "$work/plugin.tar"
}

# Limits of processes are set, since Podman raises them otherwise, which root may not everywhere. Names of runtimes are tried by
# Podman itself, but crun, its first choice, refuses both versions of cgroups together.
configure_podman() {
  local driver=cgroupfs
  [[ ! -d /run/systemd/system ]] || driver=systemd
  cat >"$work/containers.conf" <<TOML
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
log_driver = "k8s-file"
netns = "none"
[engine]
cgroup_manager = "${STELLA_CGROUP_MANAGER:-$driver}"
events_logger = "none"
runtime = "runc"
TOML
  cat >"$work/storage.conf" <<TOML
[storage]
driver = "overlay"
graphroot = "$storage_root"
runroot = "$work/run"
TOML
  export CONTAINERS_CONF="$work/containers.conf" CONTAINERS_STORAGE_CONF="$work/storage.conf"
  echo "podman $(podman --version | sed 's/.* //'), runc, cgroups by ${STELLA_CGROUP_MANAGER:-$driver}"
}

pod_man() { podman --tmpdir "$work/libpod" "$@"; }

remove_containers() {
  [[ -n "${CONTAINERS_CONF:-}" ]] || return 0
  pod_man rm --all --force --time 0 >/dev/null 2>&1 || true
  pod_man pod rm --all --force >/dev/null 2>&1 || true
  umount "$storage_root/overlay" 2>/dev/null || true
  # Made for groups of Podman's; those that are in use stay.
  local group
  for group in /sys/fs/cgroup/libpod_parent /sys/fs/cgroup/*/libpod_parent; do
    [[ ! -d "$group" ]] || find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done
}
