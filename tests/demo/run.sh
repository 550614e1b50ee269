#!/usr/bin/env bash
# The story on one machine, without a cluster: run.sh [--save FILE]
#   --save FILE             also keep what is printed, without this machine's paths
#   STELLA_DEMO_BIN=DIR     programs that are built already
#   STELLA_DEMO_KEEP=1      keep the folder with everything that was written
# As root with runc and eBPF; otherwise with an ordinary process and /proc.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
repository="$(cd "$here/../.." && pwd)"
save=""
case "${1:-}" in
  --save) save="${2:?a file}" ;;
  "") ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

as_root=$((EUID == 0))
work="$(mktemp -d "${TMPDIR:-/tmp}/stella-demo.XXXXXX")"
chmod 755 "$work"

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
shown() { printf '$ %s\n' "$*"; }
stop() { echo "demo: $*" >&2; exit 1; }

source "$here/lib/process.sh"
source "$here/lib/prepare.sh"
if ((as_root)); then source "$here/lib/container.sh"; else source "$here/lib/plain.sh"; fi

clean_up() {
  local status=$? name
  trap - EXIT
  if ((status)); then
    for name in operator agent web; do
      [[ ! -s "$work/$name.log" ]] || { echo "-- the end of $name.log"; tail -n 8 "$work/$name.log"; } >&2
    done
  fi
  stop_container
  for name in "${!running[@]}"; do end "$name"; done
  if [[ -n "${STELLA_DEMO_KEEP:-}" ]]; then echo "demo: everything is in $work"; else rm -rf "$work"; fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

source "$here/lib/story.sh"

say "Stella on one machine, without a cluster: $(how)"
say "Preparing: Debian packages, programs (the first build takes some minutes), image"
install_packages >"$work/packages.log" || { cat "$work/packages.log" >&2; exit 1; }
bin="${STELLA_DEMO_BIN:-$(build_programs)}"
layout="$(make_image)"

if [[ -z "$save" ]]; then
  tell_story
else
  tell_story > >(tee "$work/output.txt")
  sed -e "s|$work|/tmp/stella-demo|g" -e "s|$repository/||g" -e "s|127.0.0.1:$port|127.0.0.1:8080|g" "$work/output.txt" >"$save"
fi
