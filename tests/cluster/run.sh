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
if ! running; then
  trap '"$rig_source/down.sh"' EXIT
  "$rig_source/up.sh"
fi
# shellcheck source=/dev/null
source "$STELLA_RIG/env"
"$@"
