#!/usr/bin/env bash
# Runs a command with a PostgreSQL server of its own, whose URL is in $STELLA_TEST_POSTGRES: with.sh COMMAND...
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"

coproc SERVER { exec "$here/serve.sh"; }
read -r STELLA_TEST_POSTGRES <&"${SERVER[0]}" || { echo "with.sh: the server did not start" >&2; exit 1; }
export STELLA_TEST_POSTGRES
server=$SERVER_PID
status=0
"$@" || status=$?
eval "exec ${SERVER[1]}>&-"
wait "$server" || true
exit "$status"
