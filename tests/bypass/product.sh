# shellcheck shell=bash
# The product on a control plane of its own: API server, registry, operator and webhook, the last two as programs of
# $BIN. To be sourced; no root, no nodes.
#
#   source tests/bypass/product.sh
#   trap 'stop_product; rm -rf "$work"' EXIT
#   start_product "$work"        # an empty folder; leaves KUBECONFIG and "$work/target.json"

product_repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
# shellcheck source=../control-plane.sh
source "$product_repository/tests/control-plane.sh"
# shellcheck source=../../scripts/images/oci.sh
source "$product_repository/scripts/images/oci.sh"
product_pids=()
declare -A product_pid=()

stop_product() {
  local pid
  for pid in "${product_pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${product_pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  product_pids=()
  stop_control_plane
}
product_failed() { echo "product.sh: $*" >&2; tail -n 5 "$product_work"/*.log >&2 || true; return 1; }
product_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
product_eventually() { local n; for ((n = 0; n < 300; n++)); do "$@" >/dev/null 2>&1 && return 0; sleep 0.2; done; return 1; }
product_run() { # NAME COMMAND...
  "${@:2}" >>"$product_work/$1.log" 2>&1 </dev/null &
  product_pid[$1]=$!
  product_pids+=("$!")
}

# product_image NAME: the layout of an image with or without a package that the feeds know something about.
product_image() {
  local root="$product_work/roots/$1"
  mkdir -p "$root/usr/lib/python3/dist-packages" "$root/etc"
  echo "$1" >"$root/etc/name"
  if [[ "$1" == bad* ]]; then
    mkdir -p "$root/usr/lib/python3/dist-packages/Django-3.2.10.dist-info"
    printf 'Metadata-Version: 2.1\nName: Django\nVersion: 3.2.10\n' \
      >"$root/usr/lib/python3/dist-packages/Django-3.2.10.dist-info/METADATA"
  fi
  pack_layer "$root" "$product_work/$1.tar"
  write_image "$product_work/$1" 1 gzip '{"Cmd":["/bin/true"]}' "$product_work/$1.tar"
}
product_push() { # LAYOUT NAME
  skopeo --insecure-policy copy --quiet --preserve-digests --dest-tls-verify=false "oci:$product_work/$1:1" "docker://$registry/$2"
}
# An index over two platforms whose manifests are in the registry already, pushed as NAME.
product_index() { # NAME BAD-LAYOUT OTHER-LAYOUT [FILE]
  local index="$product_work/${4:-index}.json" layout
  for layout in "$2" "$3"; do
    jq -c '.manifests[0] | del(.annotations)' "$product_work/$layout/index.json"
  done | jq -cs '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [
    .[0] + {platform: {os: "linux", architecture: "amd64"}}, .[1] + {platform: {os: "linux", architecture: "s390x"}}]}' >"$index"
  curl -fsS -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' --data-binary "@$index" \
    "http://$registry/v2/${1%:*}/manifests/${1##*:}"
}

product_scan() { # REFERENCE: and waits for its end
  local scan body
  body="$(jq -nc --arg reference "$1" '{image: {reference: $reference}}')"
  scan="$(curl -fsS -H 'Content-Type: application/json' -d "$body" "$operator/api/v1/scans" | jq -r .scanId)"
  product_eventually product_scanned "$scan" || product_failed "the scan of $1 does not end"
}
product_scanned() { [[ "$(curl -fs "$operator/api/v1/scans/$1" | jq -r .status)" == Succeeded ]]; }

product_registry() {
  registry="127.0.0.1:$(product_port)"
  cat >"$product_work/registry.yml" <<YAML
version: 0.1
log: {accesslog: {disabled: true}, level: error}
storage: {filesystem: {rootdirectory: $product_work/registry}}
http: {addr: '$registry', secret: x}
YAML
  product_run registry docker-registry serve "$product_work/registry.yml"
  product_eventually curl -fs "http://$registry/v2/" || product_failed "the registry does not start"
}

# Images that pass, each with something of its own attached by one key or another.
product_signatures() {
  local name digest key="$product_work/signer.pem" other="$product_work/other-signer.pem" bom="$product_work/bom.json"
  local signature=https://sigstore.dev/cosign/sign/v1 cyclonedx=https://cyclonedx.org/bom
  for name in signer other-signer; do openssl ecparam -name prime256v1 -genkey -noout -out "$product_work/$name.pem"; done
  openssl pkey -in "$key" -pubout -out "$product_work/signer.pub.pem"
  echo '{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"components":[{"type":"library","name":"a","version":"1","purl":"pkg:generic/a@1"}]}' >"$bom"
  for name in all unsigned otherKey wrongType otherSubject signature sbom emptySbom bareSbom; do
    product_image "good-$name"
    product_push "good-$name" "signed/${name,,}:1"
    digest="$(manifest_digest "$product_work/good-$name")"
    attach() { python3 "$product_repository/tests/bypass/attach.py" "$registry" "signed/${name,,}" "$digest" "$@"; }
    case "$name" in
      all) attach --key "$key" --type "$signature"; attach --key "$key" --type "$cyclonedx" --predicate "$(cat "$bom")" ;;
      otherKey) attach --key "$other" --type "$signature" ;;
      wrongType) attach --key "$key" --type https://slsa.dev/provenance/v1 ;;
      otherSubject) attach --key "$key" --type "$signature" --subject "$(manifest_digest "$product_work/good")" ;;
      signature) attach --key "$key" --type "$signature" ;;
      sbom) attach --key "$key" --type "$cyclonedx" --predicate "$(cat "$bom")" ;;
      emptySbom) attach --key "$key" --type "$cyclonedx" ;;
      bareSbom) attach --bare application/vnd.cyclonedx+json "$bom" ;;
    esac
    product_scan "$registry/signed/${name,,}:1"
  done
  # An index that nobody signed, of a manifest that the key signed and of another one.
  product_image good-unsignedIndex
  product_push good-unsignedIndex signed/unsignedindex:amd64
  product_push good-s390x signed/unsignedindex:s390x
  python3 "$product_repository/tests/bypass/attach.py" "$registry" signed/unsignedindex \
    "$(manifest_digest "$product_work/good-unsignedIndex")" --key "$key" --type "$signature"
  product_index signed/unsignedindex:1 good-unsignedIndex good-s390x unsigned-index
  product_scan "$registry/signed/unsignedindex:1"
}

product_operator() {
  product_run operator "$BIN/stella-operator" serve --data "$product_work/data" --feeds "$product_repository/tests/fixtures/feeds" \
    --allow-anonymous --no-coverage --kubeconfig "$KUBECONFIG" --namespace stella-system --default-admission-mode audit \
    --registries "$product_work/registries.yaml" --listen "127.0.0.1:$operator_port"
  product_eventually curl -fs "$operator/readyz" || product_failed "the operator is not ready"
}

product_webhook() { # FLAGS...
  product_run webhook "$BIN/stella-webhook" serve --server "$operator" --listen "127.0.0.1:$webhook_port" \
    --metrics-listen "127.0.0.1:$metrics_port" --data "$product_work/webhook-data" --namespace stella-system --instance test \
    --tls-secret stella-webhook-tls --dns-name localhost --webhook-configuration stella-webhook,stella-webhook-fail "$@"
  product_eventually curl -fs "http://127.0.0.1:$metrics_port/readyz" || product_failed "the webhook is not ready"
}

# The registrations as the chart has them; only where they point differs, as there are no Services here.
product_registrations() {
  helm template stella "$product_repository/charts/stella" --namespace stella-system \
    --show-only templates/webhook/configurations.yaml 2>/dev/null |
    kubectl create --dry-run=client -o json -f - | jq -c --arg url "https://localhost:$webhook_port/validate" \
    '(.items // [.])[] | .webhooks |= map(.clientConfig = {url: $url})' | kubectl apply -f - >/dev/null
}

start_product() { # FOLDER
  local pid slow endless redirecting name
  product_work="$1"
  : "${BIN:?folder of stella-operator and stella-webhook}"
  export HELM_CACHE_HOME="$1/helm" HELM_CONFIG_HOME="$1/helm" HELM_DATA_HOME="$1/helm"
  mkdir -p "$1/cluster"
  start_control_plane "$1/cluster"
  product_registry
  product_run registries python3 "$product_repository/tests/bypass/registries.py"
  product_eventually test -s "$1/registries.log" || product_failed "the hostile registries do not start"
  read -r slow endless redirecting <"$1/registries.log"

  operator_port="$(product_port)" webhook_port="$(product_port)" metrics_port="$(product_port)"
  operator="http://127.0.0.1:$operator_port"
  {
    printf 'registries:\n- host: docker.io\n  mirrors: ["%s"]\n' "$registry"
    for name in "$registry" "localhost:${registry##*:}" "$slow" "$endless" "$redirecting"; do printf -- '- host: "%s"\n  insecure: true\n' "$name"; done
  } >"$1/registries.yaml"

  for name in bad good bad-amd64 good-s390x; do product_image "$name"; done
  for name in library/bypass-bad:1 library/bypass-bad:latest team/bad:1 team/retagged:1; do product_push bad "$name"; done
  for name in library/bypass-good:1 team/good:1 team/moved:1; do product_push good "$name"; done
  product_push bad-amd64 team/multi:amd64
  product_push good-s390x team/multi:s390x
  product_index team/multi:1 bad-amd64 good-s390x

  kubectl create namespace stella-system >/dev/null
  kubectl apply --server-side -f "$product_repository/crds/manifests" >/dev/null
  kubectl wait --for=condition=Established --timeout=20s crd/policies.stella-ops.org crd/scanjobs.stella-ops.org \
    crd/exportprofiles.stella-ops.org >/dev/null
  product_operator
  for name in bypass-bad:1 bypass-bad:latest "$registry/team/bad:1" "localhost:${registry##*:}/team/bad:1" bypass-good:1 "$registry/team/good:1" "$registry/team/moved:1" \
    "$registry/team/multi:1"; do
    product_scan "$name"
  done
  product_push bad team/moved:1
  product_signatures
  product_registrations
  product_webhook
  product_policies
  product_target "$slow" "$endless" "$redirecting" >"$1/target.json"
}

product_policies() {
  kubectl create namespace bypass-strict >/dev/null
  kubectl label namespace bypass-strict stella-ops.org/admission=enforce >/dev/null
  kubectl apply -f - >/dev/null <<YAML
apiVersion: stella-ops.org/v1alpha1
kind: Policy
metadata: {name: base, namespace: stella-system}
spec:
  rules:
  - {name: no findings, severity: [Critical, High, Medium, Low, Unknown], action: {type: block}}
  admission: {mode: enforce, gracePeriodSeconds: 0}
---
apiVersion: stella-ops.org/v1alpha1
kind: Policy
metadata: {name: strict, namespace: bypass-strict}
spec:
  rules: []
  admission: {mode: enforce, gracePeriodSeconds: 0, unscanned: deny}
YAML
}

product_target() { # SLOW ENDLESS REDIRECTING
  local findings
  findings="$(curl -fsS -H 'X-Stella-Tenant: tenant-default' "$operator/console/vuln/findings?pageSize=200&image=$(manifest_digest "$product_work/bad")")"
  jq -n --rawfile key "$product_work/signer.pub.pem" --arg registry "$registry" --arg bad "$(manifest_digest "$product_work/bad")" --arg good "$(manifest_digest "$product_work/good")" \
    --arg config "sha256:$(jq -r .config.digest "$product_work/bad/blobs/sha256/$(manifest_digest "$product_work/bad" | cut -c8-)" | cut -c8-)" \
    --arg index "sha256:$(digest_of "$product_work/index.json")" --arg platform "$(manifest_digest "$product_work/bad-amd64")" \
    --arg other "$(manifest_digest "$product_work/good-s390x")" --arg webhook "https://localhost:$webhook_port/validate" \
    --arg api "$operator" --arg listed "$(manifest_digest "$product_work/good-unsignedIndex")" --arg slow "$1" --arg endless "$2" --arg redirecting "$3" \
    --argjson cves "$(jq -c '[.items[].coordinates.advisoryId] | unique' <<<"$findings")" '{
      refused: ($registry + "/team/bad:1"), passing: ($registry + "/team/good:1"), repository: ($registry + "/team/bad"),
      refusedDigest: $bad, passingDigest: $good, configDigest: $config,
      indexDigest: $index, platformDigest: $platform, otherPlatformDigest: $other,
      movedTag: ($registry + "/team/moved:1"), retagged: ($registry + "/team/retagged:1"),
      registryName: ("localhost:" + ($registry | split(":")[1])), byRegistryName: ("localhost:" + ($registry | split(":")[1]) + "/team/bad:1"),
      hub: "bypass-bad:1", hubPassing: "bypass-good:1", latest: "bypass-bad:latest",
      enforcing: {"stella-ops.org/admission": "enforce"}, open: {"stella-ops.org/admission": "audit"},
      everywhere: true, failurePolicyLabel: true, breakGlass: true, strictNamespace: "bypass-strict",
      slowRegistry: $slow, endlessRegistry: $endless, redirectingRegistry: $redirecting,
      signatures: (["all", "unsigned", "otherKey", "wrongType", "otherSubject", "signature", "sbom", "emptySbom", "bareSbom", "unsignedIndex"]
        | map({key: ., value: ($registry + "/signed/" + ascii_downcase + ":1")}) | from_entries
        + {key: $key, listedManifest: ($registry + "/signed/unsignedindex@" + $listed)}),
      policies: true, cves: $cves, webhook: $webhook, api: $api}'
}
