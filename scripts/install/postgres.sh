#!/usr/bin/env bash
# Installs the PostgreSQL server that tests start for themselves; Debian's own service is not started.
set -euo pipefail
exec "$(dirname "$0")/debian.sh" postgresql postgresql-client
