#!/usr/bin/env bash
# Installs Podman and runc for the test of tests/podman; no service of Podman's is left enabled.
set -euo pipefail
"$(dirname "$0")/debian.sh" conmon podman runc
