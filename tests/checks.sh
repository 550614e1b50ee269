# shellcheck shell=bash
# Checks that are counted, one line each. To be sourced; $work is a folder of the script's own.
#
#   check "what holds" COMMAND...
#   check "what comes to hold" within SECONDS COMMAND...
#   exit "$failed"
#
# What sets the stage is no check: it is called as it is, and `set -e` ends the script.
# A COMMAND that is a function holds when each of its commands does, not only the last. It runs in a shell of its own, so that what
# it sets is gone afterwards.

failed=0
check() { # WHAT COMMAND...
  local what="$1" code
  shift
  # Not as a condition: bash looks away from `set -e` within those.
  set +e
  (
    set -e
    "$@"
  ) >"$work/out" 2>&1
  code=$?
  set -e
  if ((code == 0)); then echo "ok      $what"; else
    echo "FAILED  $what"
    head -c 4000 "$work/out" | sed 's/^/        /'
    failed=1
  fi
}

# Until COMMAND holds, as `check` has it; says what it said last when it does not within that time.
within() { # SECONDS COMMAND...
  local end=$((SECONDS + $1)) code
  shift
  while :; do
    set +e
    (
      set -e
      "$@"
    ) >"$work/within" 2>&1
    code=$?
    set -e
    ((code != 0)) || return 0
    ((SECONDS < end)) || { cat "$work/within"; return 1; }
    sleep 0.2
  done
}
