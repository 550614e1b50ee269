#!/usr/bin/env bash
# Runs a PostgreSQL server of its own, in a temporary folder and on a socket there, until standard input ends.
# The first line printed is its URL. A line of standard input makes the server end at once, as in a crash: after `stop` it
# stays away until the next line, which "stopped" is printed for; after any other it starts again, and its URL is printed.
set -euo pipefail

programs="$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)"
if [[ -z "$programs" ]]; then
  echo "serve.sh: there is no PostgreSQL; scripts/install/postgres.sh installs it" >&2
  exit 1
fi

folder="$(mktemp -d "${TMPDIR:-/tmp}/stella-postgres.XXXXXX")"
server=
end() {
  if [[ -n "$server" ]]; then
    kill -QUIT "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$folder"
}
trap end EXIT
trap 'exit 1' INT TERM HUP

# The server refuses to run as root.
as=()
if ((EUID == 0)); then
  chown postgres: "$folder"
  as=(setpriv --reuid postgres --regid postgres --clear-groups)
fi
cd "$folder"
"${as[@]}" "$programs/initdb" --pgdata "$folder/data" --username postgres --auth trust --encoding UTF8 --no-locale \
  >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; exit 1; }
start() {
  "${as[@]}" "$programs/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c max_connections=400 \
    -c shared_buffers=64MB </dev/null >>"$folder/server.log" 2>&1 &
  server=$!
  for _ in $(seq 300); do
    if "$programs/pg_isready" --quiet --host "$folder" --username postgres; then break; fi
    if ! kill -0 "$server" 2>/dev/null; then break; fi
    sleep 0.1
  done
  "$programs/pg_isready" --quiet --host "$folder" --username postgres || { cat "$folder/server.log" >&2; exit 1; }
  echo "postgres:///postgres?host=$folder&user=postgres"
}

start
while read -r word; do
  if [[ -n "$server" ]]; then
    kill -QUIT "$server"
    wait "$server" || true
    server=
  fi
  if [[ "$word" == stop ]]; then
    echo stopped
  else
    start
  fi
done
