# shellcheck shell=bash
# Checks that are counted, one line each. To be sourced; $work is a folder of the script's own.
#
#   check "what holds" COMMAND...
#   exit "$failed"

failed=0
check() { # WHAT COMMAND...
  local what="$1"
  shift
  if "$@" >"$work/out" 2>&1; then echo "ok      $what"; else
    echo "FAILED  $what"
    head -c 4000 "$work/out" | sed 's/^/        /'
    failed=1
  fi
}
