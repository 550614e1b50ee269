#!/usr/bin/env bash
# Runs a command with a test cluster: run.sh COMMAND [ARGUMENT...]
# A cluster that is up already is used and stays up; otherwise one is made and taken away.
set -euo pipefail
source "$(dirname "$0")/lib/settings.sh"
source "$rig_source/lib/lifecycle.sh"

if (($# == 0)); then
  echo "usage: run.sh COMMAND [ARGUMENT...]" >&2
  exit 2
fi
require_root
# Within another run the cluster is there.
if [[ -n "${STELLA_RIG_RUN:-}" ]]; then exec "$@"; fi
export STELLA_RIG_RUN=1

# Runs take turns, lest one takes away the cluster that the next has just found.
exec 8>/run/lock/stella-rig-run.lock
flock 8
if ! running; then
  trap '"$rig_source/down.sh" 8>&-' EXIT
  "$rig_source/up.sh" 8>&-
fi
# shellcheck source=/dev/null
source "$STELLA_RIG/env"
"$@" 8>&-
