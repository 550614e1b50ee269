#!/usr/bin/env bash
# Installs Podman and runc for the test of tests/podman; no service of Podman's is left enabled.
set -euo pipefail
if ((EUID != 0)); then
  echo "Podman: left out, since its test needs root"
  exit 0
fi
"$(dirname "$0")/debian.sh" conmon docker-registry podman runc skopeo
