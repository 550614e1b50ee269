#!/usr/bin/env bash
# Makes the images that are compared and prints the folder that holds them: make.sh [NAME...]
# Each NAME.sh here is sourced and gives: `inputs`, the files it depends on besides itself, and `build`, which fills
# the folders $work/1, $work/2 ... that become layers, lowest first (or puts tar files $work/1.tar ... there).
# An image is made again when its sources changed. $STELLA_TEST_DATA/feeds names what some are made of.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
source "$here/../../../../scripts/images/oci.sh"
images="$STELLA_CACHE/agreement/images"
: "${STELLA_TEST_DATA:?the folder of the public test data}"

# made_of NAME: the state of everything an image is made from.
made_of() {
  local inputs=()
  # shellcheck source=/dev/null
  source "$here/$1.sh"
  sources_of "$here/$1.sh" "${inputs[@]}"
}

make_image() {
  local name="$1" image="$images/$1" sources work layer status
  sources="$(made_of "$name")"
  if current "$image" "$sources"; then return; fi
  echo "image $name: making" >&2
  # debootstrap mounts /proc; a run that was killed leaves it.
  awk -v under="$image/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r -n 1 umount
  rm -rf "$image"
  work="$image/work"
  mkdir -p "$work"
  # Not behind `||`, where a failed command inside would not end it.
  set +e
  (
    set -e
    # shellcheck source=/dev/null
    source "$here/$name.sh"
    build
  ) >"$image/log" 2>&1
  status=$?
  set -e
  if ((status != 0)); then
    tail -n 30 "$image/log" >&2
    echo "image $name: not made; its log is $image/log" >&2
    return 1
  fi
  mkdir "$image/layers"
  for ((layer = 1; ; layer++)); do
    if [[ -d "$work/$layer" ]]; then
      pack_layer "$work/$layer" "$image/layers/$layer.tar"
    elif [[ -f "$work/$layer.tar" ]]; then
      mv "$work/$layer.tar" "$image/layers/$layer.tar"
    else
      break
    fi
  done
  write_image "$image/layout" 1 plain '{}' "$image"/layers/*.tar
  write_archive "$image/layout" 1 "localhost/agreement/$name:1" "$image/archive.tar"
  rm -rf "$image/layout" "$work"
  echo "$sources" >"$image/sources"
}

# root TARGET ID VERSION NAME: a folder with nothing but the release of a distribution.
root() {
  mkdir -p "$1/etc"
  printf 'ID=%s\nVERSION_ID="%s"\nPRETTY_NAME="%s"\n' "$2" "$3" "$4" >"$1/etc/os-release"
}

# Two runs at once would take each other's work away.
mkdir -p "$images"
exec 9>"$images/lock"
flock 9

# need COMMAND PACKAGE: installs a Debian package where a command is not there.
need() { command -v "$1" >/dev/null || "$here/../../../../scripts/install/debian.sh" "$2" >&2; }
need debootstrap debootstrap
need jq jq
need mvn maven
need npm npm
need objcopy binutils
need openssl openssl
need skopeo skopeo

names=("$@")
if ((${#names[@]} == 0)); then
  # In this order: `mixed` takes layers of others.
  names=(debian-12 debian-9 alpine-3.11 distroless alma-9 rpm-sqlite rpm-bdb rpm-ndb python node go rust java locks installed replaced mixed)
fi
for name in "${names[@]}"; do make_image "$name"; done
echo "$images"
