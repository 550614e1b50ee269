#!/usr/bin/env bash
# The story on one machine, without a cluster: run.sh [--save FILE]
#   --save FILE           also keep what is printed, without what differs from one run to the next
#   STELLA_DEMO_BIN=DIR   use programs that are built already
#   STELLA_DEMO_WAIT=1    leave everything running until Enter is pressed
#   STELLA_DEMO_KEEP=1    keep the folder with everything that was written
# As root with runc and eBPF; otherwise with an ordinary process and /proc.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
repository="$(cd "$here/../.." && pwd)"
case "${1:-}" in
  "") ;;
  --save)
    file="${2:?a file}"
    "$0" | tee "$file.partial"
    sed -E -e 's|[^ ]*/stella-demo\.[A-Za-z0-9]+|/tmp/stella-demo|g' -e 's|127\.0\.0\.1:[0-9]+|127.0.0.1:8080|g' \
      -e "s|$repository/||g" -e 's/web=[0-9]+,/web=4711,/' "$file.partial" >"$file"
    rm "$file.partial"
    exit 0
    ;;
  *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

work="$(mktemp -d "${TMPDIR:-/tmp}/stella-demo.XXXXXX")"

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
shown() { printf '$ %s\n' "$*"; }
stop() { echo "demo: $*" >&2; exit 1; }

clean_up() {
  local status=$? name
  trap - EXIT
  if ((status == 1)); then
    for name in operator agent web request; do
      [[ ! -s "$work/$name.log" ]] || { echo "-- the end of $name.log"; tail -n 8 "$work/$name.log"; } >&2
    done
  fi
  stop_container
  end agent
  end operator
  if [[ -n "${STELLA_DEMO_KEEP:-}" ]]; then echo "demo: everything is in $work"; else rm -rf "$work"; fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

source "$here/lib/process.sh"
source "$here/lib/prepare.sh"
source "$here/lib/container.sh"
contained=1
if ((EUID != 0)) || ! can_contain; then
  contained=0
  source "$here/lib/plain.sh"
fi
source "$here/lib/story.sh"

say "Stella on one machine, without a cluster: $(how)"
say "Preparing: Debian packages, programs (the first build takes some minutes), image"
install_packages >"$work/packages.log" || { cat "$work/packages.log" >&2; exit 1; }
bin="${STELLA_DEMO_BIN:-$(build_programs)}"
layout="$(make_image)"
((!contained)) || mount_traces || say "No tracefs: what is loaded is found by passes over /proc."
tell_story
