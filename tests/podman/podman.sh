# shellcheck shell=bash
# An image, and Podman with storage, state and settings below "$work". To be sourced after scripts/images/oci.sh.

reference=localhost/demo/podman:1.0
storage_root="$work/storage"
unowned=/opt/plugins/libplugin.so

# make_image LAYOUT TAR: the workload with one more layer, in which a library lies that no package owns.
make_image() {
  local workload manifest config base descriptor
  workload="$("$repository/scripts/images/workload.sh")"
  cp -r "$workload" "$1"
  manifest="$1/blobs/$(manifest_digest "$1" | tr : /)"
  config="$1/blobs/$(jq -r .config.digest "$manifest" | tr : /)"
  base="$1/blobs/$(jq -r '.layers[0].digest' "$manifest" | tr : /)"
  mkdir -p "$work/plugin${unowned%/*}"
  # The image's own libz under another path.
  tar --extract --gzip --to-stdout --file "$base" --wildcards './usr/lib/x86_64-linux-gnu/libz.so.1.*' >"$work/plugin$unowned"
  pack_layer "$work/plugin" "$1/blob"
  plugin_layer="sha256:$(digest_of "$1/blob")"
  descriptor="$(store_blob "$1" application/vnd.oci.image.layer.v1.tar)"
  jq -c --arg id "$plugin_layer" '.rootfs.diff_ids += [$id] | .history += [.history[0]]' "$config" >"$1/blob"
  config="$(store_blob "$1" application/vnd.oci.image.config.v1+json)"
  jq -c --argjson layer "$descriptor" --argjson config "$config" '.layers += [$layer] | .config = $config' "$manifest" >"$1/blob"
  descriptor="$(store_blob "$1" application/vnd.oci.image.manifest.v1+json)"
  jq -c -n --argjson manifest "$descriptor" --arg name "$reference" '{schemaVersion: 2,
    manifests: [$manifest + {annotations: {"org.opencontainers.image.ref.name": $name}}]}' >"$1/index.json"
  tar --create --file "$2" --directory "$1" .
}

# Limits of processes are set, since Podman raises them otherwise, which root may not everywhere. The runtime is named, since crun,
# Podman's first choice, refuses both versions of cgroups together.
configure_podman() {
  local driver=cgroupfs
  [[ ! -d /run/systemd/system ]] || driver=systemd
  cat >"$work/containers.conf" <<TOML
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
log_driver = "k8s-file"
netns = "none"
[engine]
cgroup_manager = "$driver"
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
  echo "podman $(podman --version | sed 's/.* //'), runc, cgroups by $driver"
}

pod_man() { podman --tmpdir "$work/libpod" "$@"; }

remove_containers() {
  [[ -n "${CONTAINERS_CONF:-}" ]] || return 0
  pod_man rm --all --force --time 0 >/dev/null 2>&1 || true
  pod_man pod rm --all --force >/dev/null 2>&1 || true
  umount "$storage_root/overlay" 2>/dev/null || true
  # Made for groups of Podman's; those that are in use stay, as do for a moment those whose last process is on its way out.
  local group n
  for ((n = 0; n < 10; n++)); do
    for group in /sys/fs/cgroup/libpod_parent /sys/fs/cgroup/*/libpod_parent; do
      [[ ! -d "$group" ]] || find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done
    compgen -G '/sys/fs/cgroup/*/libpod_parent' >/dev/null || break
    sleep 0.2
  done
}
