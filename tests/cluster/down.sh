#!/usr/bin/env bash
# Takes the test cluster away, without a trace, in whatever state it is.
set -euo pipefail
source "$(dirname "$0")/lib/settings.sh"
source "$rig_source/lib/lifecycle.sh"

lock
take_down
say "down"
