#!/usr/bin/env bash
# Brings the test cluster up, or says where it is when it runs already.
set -euo pipefail
source "$(dirname "$0")/lib/settings.sh"
source "$rig_source/lib/lifecycle.sh"

lock
if running; then
  say "already up"
else
  take_down
  began=$SECONDS
  bring_up
  say "up after $((SECONDS - began)) s"
fi
cat <<TEXT
KUBECONFIG=$kubeconfig
To use it:  . $STELLA_RIG/env   (sets KUBECONFIG, PATH and STELLA_RIG_*)
TEXT
