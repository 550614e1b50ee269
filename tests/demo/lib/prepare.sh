# shellcheck shell=bash
# What has to be there before the story starts: Debian packages, programs, the image, advisories.

install_packages() {
  local packages=(ca-certificates jq openssl python3 python3-pip)
  [[ -n "${STELLA_DEMO_BIN:-}" ]] || packages+=(clang gcc libc6-dev lld make pkg-config)
  ((!contained)) || packages+=(debootstrap runc skopeo)
  if command -v dpkg-query >/dev/null; then
    "$repository/scripts/install/debian.sh" "${packages[@]}" ||
      stop "run once as root: scripts/install/debian.sh ${packages[*]}"
  fi
}

# Prints the folder with the programs.
build_programs() {
  local target="${CARGO_TARGET_DIR:-$repository/target}" quiet=(--quiet)
  [[ ! -t 2 ]] || quiet=()
  command -v cargo >/dev/null || stop "cargo is missing: install a Rust toolchain (rustup.rs)"
  (cd "$repository" && cargo build "${quiet[@]}" --workspace --bins) >&2 || stop "the programs do not build"
  (cd "$repository" && cd "$target/debug" && pwd)
}

# The large collection where it is, else the few records that come with the repository.
feeds_folder() {
  local large="${STELLA_TEST_DATA:-$repository/../shared/data}/feeds"
  if [[ -d "$large" ]]; then echo "$large"; else echo "$repository/tests/fixtures/feeds"; fi
}
