#!/usr/bin/env bash
# Makes what is generated below charts/: the copies of the custom resource definitions, the tables of values in the
# README files, the plain manifests and Argo CD's settings. tests/charts/test.sh fails when that would change anything.
set -euo pipefail
charts="$(cd "$(dirname "$0")" && pwd)"
PATH="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}/bin:$PATH"

# The interpreter that has yaml: the first in PATH, else Debian's.
python3() { if command python3 -c 'import yaml' 2>/dev/null; then command python3 "$@"; else /usr/bin/python3 "$@"; fi; }

copy_definitions() {
  rm -rf "$charts/stella-crds/files"
  mkdir -p "$charts/stella-crds/files"
  cp "$charts"/../crds/manifests/*.yaml "$charts/stella-crds/files/"
}

write_tables() {
  local chart
  for chart in stella-crds stella; do
    python3 "$charts/values_table.py" "$charts/$chart/values.yaml" "$charts/$chart/README.md"
  done
}

# What only concerns Helm is left out.
render() {
  helm template stella "$@" --namespace stella-system 2>"$errors" || { cat "$errors" >&2; return 1; }
}
plainly() {
  echo "# Generated from charts/ by charts/generate.sh. Do not edit."
  sed -e '/^ *app.kubernetes.io\/managed-by: Helm$/d' -e '/^ *helm.sh\/chart: /d' -e '/^# Source: /d' \
    -e '/^# Generated from the Rust types/d' -e '/^$/{N;/^\n---$/s/^\n//}'
}

render_plain() {
  mkdir -p "$charts/plain"
  render "$charts/stella-crds" --set keep=false | plainly >"$charts/plain/crds.yaml"
  render "$charts/stella" --set crds.enabled=false | plainly >"$charts/plain/stella.yaml"
}

# Argo CD wants the same script once a kind.
write_argo() {
  local kind
  {
    echo "# Generated from health.lua by charts/generate.sh. Do not edit."
    echo "data:"
    for kind in ScanJob Policy ExportProfile; do
      echo "  resource.customizations.health.stella-ops.org_$kind: |"
      sed -e 's/^/    /' "$charts/gitops/health.lua"
    done
    cat <<'TEXT'
  resource.customizations.ignoreDifferences.admissionregistration.k8s.io_ValidatingWebhookConfiguration: |
    jqPathExpressions:
      - .webhooks[]?.clientConfig.caBundle
  resource.customizations.ignoreDifferences.coordination.k8s.io_Lease: |
    jsonPointers:
      - /spec
TEXT
  } >"$charts/gitops/argocd-cm.yaml"
}

errors="$(mktemp)"
trap 'rm -f "$errors"' EXIT
copy_definitions
write_tables
render_plain
write_argo
