#!/usr/bin/env bash
# Installs the Debian packages that builds and tests need; services of theirs are not started.
# Names given as arguments are installed in place of the whole list.
set -euo pipefail

packages=(
  # building: a C compiler for the host and for eBPF
  ca-certificates clang gcc libc6-dev lld make pkg-config
  # tests: another clock for one program
  faketime
  # the test cluster
  containerd containernetworking-plugins docker-registry iproute2 nftables procps runc util-linux
  # test images
  busybox-static debootstrap python3 python3-jsonschema python3-pip python3-venv python3-yaml skopeo umoci
  # an engine whose images the command line reads
  docker.io
  # scripts
  curl jq openssl shellcheck unzip
)
if (($#)); then packages=("$@"); fi

installed() { [[ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" == "install ok installed" ]]; }

missing=()
for package in "${packages[@]}"; do
  installed "$package" || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  echo "Debian packages: all ${#packages[@]} are installed"
  exit 0
fi
if ((EUID != 0)); then
  echo "Debian packages: root is needed to install: ${missing[*]}" >&2
  exit 1
fi
echo "Debian packages: installing ${missing[*]}"

# Several of these packages start a daemon when installed; dpkg asks this file first.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi

log="$(mktemp)"
export DEBIAN_FRONTEND=noninteractive
# A foreign package source that is away must not stop us: installing is what counts.
apt-get update >"$log" 2>&1 || true
apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >>"$log" 2>&1 || {
  tail -n 40 "$log" >&2
  exit 1
}
rm -f "$log"

# They would start at the next boot too.
if [[ -d /run/systemd/system ]]; then
  for service in containerd docker docker-registry nftables; do
    if [[ " ${missing[*]} " =~ " $service"(".io")?" " ]]; then
      systemctl disable --quiet "$service.service"
    fi
  done
  if [[ " ${missing[*]} " == *" podman "* ]]; then
    systemctl disable --quiet podman.service podman.socket podman-auto-update.timer podman-restart.service || true
  fi
fi
