#!/usr/bin/env bash
# What policies demand of signatures and SBOMs, with what cosign makes: on a registry without the referrers API and on one with
# it, in both forms, by keys and by identities; and that cosign says the same of each image. $BIN has the programs.
set -euo pipefail
cd "$(dirname "$0")/../../.."
# shellcheck source=ground.sh
source tests/conformance/attest/ground.sh
export HOME="$work" COSIGN_PASSWORD=""

referrers-registry 2>"$work/referrers.log" &
pids+=($!)
eventually grep -q 'listening on' "$work/referrers.log" || fail "the registry with referrers does not start"
modern="127.0.0.1:$(sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' "$work/referrers.log" | head -n 1)"

(cd "$work" && cosign generate-key-pair 2>>"$work/cosign.log" && mv cosign.key ours.key && mv cosign.pub ours.pub &&
  cosign generate-key-pair 2>>"$work/cosign.log" && mv cosign.key other.key && mv cosign.pub other.pub)
subject=https://git.example/team/app/.ci/release.yml@refs/tags/v1
issuer=https://token.example
echo '{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"components":[{"type":"library","name":"a","version":"1","purl":"pkg:generic/a@1"}]}' >"$work/bom.json"

# An image of its own for each case, without anything that advisories speak of.
names=(unsigned bundle old other attested attested-old keyless keyless-old provenance elsewhere tiled unlisted restamped)
for registry in "$plain" "$modern"; do
  for name in "${names[@]}"; do
    mkdir -p "$work/root-$name/etc"
    echo "$registry $name" >"$work/root-$name/etc/name"
    layout="$work/layout-${registry##*:}-$name"
    umoci init --layout "$layout" >/dev/null
    umoci new --image "$layout:1" >/dev/null
    tar --create --file "$work/layer.tar" --directory "$work/root-$name" etc
    umoci raw add-layer --image "$layout:1" "$work/layer.tar" >/dev/null
    skopeo --insecure-policy copy --quiet --preserve-digests --dest-tls-verify=false "oci:$layout:1" "docker://$registry/team/$name:1"
  done
done
digest() { jq -r '.manifests[0].digest' "$work/layout-${1##*:}-$2/index.json"; }
image() { echo "$1/team/$2@$(digest "$1" "$2")"; }
http=(--allow-http-registry --allow-insecure-registry)
offline=(--tlog-upload=false --use-signing-config=false --yes "${http[@]}")
attach() { python3 tests/bypass/attach.py "$1" "team/$2" "$(digest "$1" "$2")" "${@:3}"; } # REGISTRY NAME ...
bundle_type=application/vnd.dev.sigstore.bundle.v0.3+json
for registry in "$plain" "$modern"; do
  {
    cosign sign --key "$work/ours.key" --new-bundle-format=true "${offline[@]}" "$(image "$registry" bundle)"
    cosign sign --key "$work/ours.key" --new-bundle-format=false "${offline[@]}" "$(image "$registry" old)"
    cosign sign --key "$work/other.key" --new-bundle-format=true "${offline[@]}" "$(image "$registry" other)"
    cosign attest --key "$work/ours.key" --new-bundle-format=true --type cyclonedx --predicate "$work/bom.json" "${offline[@]}" "$(image "$registry" attested)"
    cosign attest --key "$work/ours.key" --new-bundle-format=false --type cyclonedx --predicate "$work/bom.json" "${offline[@]}" "$(image "$registry" attested-old)"
  } >>"$work/cosign.log" 2>&1 || fail "cosign does not sign"
  for name in keyless keyless-old provenance elsewhere tiled unlisted restamped; do
    folder="$work/world-${registry##*:}-$name"
    mkdir -p "$folder"
    "$cache/attest/python/bin/python" tests/conformance/attest/keyless.py "$folder" "$(digest "$registry" "$name")" "$subject" "$issuer"
    case "$name" in
      keyless | elsewhere) attach "$registry" "$name" --bare "$bundle_type" "$folder/bundle.json" ;;
      keyless-old) attach "$registry" "$name" --old "$folder/payload.json" "$folder/notes.json" ;;
      provenance | tiled | unlisted | restamped) attach "$registry" "$name" --bare "$bundle_type" "$folder/$name.json" ;;
    esac
  done
done

port="$(free_port)"
server="http://127.0.0.1:$port"
mkdir "$work/manifests"
cp "$work/world-${plain##*:}-keyless/trusted_root.json" "$work/root.json"
stella-operator serve --data "$work/data" --feeds tests/fixtures/feeds --manifests "$work/manifests" --allow-anonymous --no-coverage \
  --insecure-registry "$plain,$modern" --trusted-root "$work/root.json" --listen "127.0.0.1:$port" >"$work/operator.log" 2>&1 &
pids+=($!)
eventually curl -fs "$server/readyz" || fail "the operator is not ready"
ask() { curl -fsS -H 'Content-Type: application/json' "$@"; }
succeeded() { [[ "$(curl -fs "$server/api/v1/scans/$1" | jq -r .status)" == Succeeded ]]; }
for registry in "$plain" "$modern"; do
  for name in "${names[@]}"; do
    scan="$(ask -d "{\"image\":{\"reference\":\"$registry/team/$name:1\"}}" "$server/api/v1/scans" | jq -r .scanId)"
    eventually succeeded "$scan" || fail "the scan of $name does not end: $(curl -s "$server/api/v1/scans/$scan")"
  done
done

policy() { # ADMISSION: fields beside the mode, as JSON
  jq -n --argjson admission "$1" '{apiVersion: "stella-ops.org/v1alpha1", kind: "Policy", metadata: {name: "signed", namespace: "stella-system"},
    spec: {rules: [], admission: ({mode: "enforce", unscanned: "deny", gracePeriodSeconds: 0} + $admission)}}' >"$work/policy.new"
  mv "$work/policy.new" "$work/manifests/policy.yaml"
}
answer() { # IMAGE
  ask -d "{\"namespace\":\"shop\",\"labels\":{},\"images\":[\"$1\"]}" "$server/api/v1/scanner/policy/runtime" |
    jq -r '.results[] | "\(.policyVerdict) signed=\(.signed) sbom=\(.hasSbomReferrers) \(.reasons | join(", "))"'
}
# shellcheck disable=SC2053 # a pattern
says() { [[ "$(answer "$1")" == $2 ]]; } # IMAGE PATTERN
expect() { # REGISTRY NAME PATTERN
  eventually says "$(image "$1" "$2")" "$3" || fail "$2 on $1: wanted '$3', got '$(answer "$(image "$1" "$2")")'"
}
agrees() { # WHETHER COSIGN... : cosign says the same
  if cosign "${@:2}" >>"$work/cosign.log" 2>&1; then [[ "$1" == yes ]]; else [[ "$1" == no ]]; fi ||
    fail "cosign does not say $1: cosign ${*:2}"
}

key="$(jq -Rs '[{name: "ours", key: .}]' "$work/ours.pub")"
policy "{\"requireSignature\": true, \"signers\": $key}"
for registry in "$plain" "$modern"; do
  expect "$registry" bundle 'pass signed=true*'
  expect "$registry" old 'pass signed=true*'
  expect "$registry" unsigned 'fail signed=false*signature.missing*nothing is attached*'
  expect "$registry" other 'fail signed=false*signature.missing*it is not by the key*'
  expect "$registry" attested 'fail signed=false*signature.missing*'
  byours=(verify --key "$work/ours.pub" --insecure-ignore-tlog "${http[@]}")
  agrees yes "${byours[@]}" --new-bundle-format=true "$(image "$registry" bundle)"
  agrees yes "${byours[@]}" --new-bundle-format=false "$(image "$registry" old)"
  agrees no "${byours[@]}" "$(image "$registry" unsigned)"
  agrees no "${byours[@]}" "$(image "$registry" other)"
done
echo "signatures.sh: keys, in both forms, on both registries"

policy "{\"requireSbom\": true, \"signers\": $key}"
for registry in "$plain" "$modern"; do
  expect "$registry" attested 'pass*sbom=true*'
  expect "$registry" attested-old 'pass*sbom=true*'
  expect "$registry" bundle 'fail*sbom=false*sbom.missing*'
done
echo "signatures.sh: SBOMs attested, in both forms"

# Each image has a world of its own; the operator is told of one after the other and takes the file up while it runs.
for registry in "$plain" "$modern"; do
  for name in keyless keyless-old provenance; do
    root="$work/world-${registry##*:}-$name/trusted_root.json"
    cp "$root" "$work/root.json.new" && mv "$work/root.json.new" "$work/root.json"
    policy "$(jq -n --arg issuer "$issuer" --arg subject "$subject" '{requireSignature: true, signers: [{name: "ci", keyless: {issuer: $issuer, subject: $subject}}]}')"
    byidentity=(verify --trusted-root "$root" --certificate-oidc-issuer "$issuer" --certificate-identity "$subject" --insecure-ignore-sct "${http[@]}")
    case "$name" in
      provenance)
        # cosign takes every attestation by the identity for a signature; here it has to be one.
        expect "$registry" "$name" 'fail signed=false*is neither a signature nor an SBOM*'
        ;;
      *)
        expect "$registry" "$name" 'pass signed=true*'
        format=true
        [[ "$name" == keyless ]] || format=false
        agrees yes "${byidentity[@]}" "--new-bundle-format=$format" "$(image "$registry" "$name")"
        ;;
    esac
  done
  # The authority of `elsewhere` has the same words and other keys.
  expect "$registry" elsewhere 'fail signed=false*the transparency log*'
  agrees no "${byidentity[@]}" "$(image "$registry" elsewhere)"
  policy "$(jq -n --arg issuer "$issuer" '{requireSignature: true, signers: [{name: "ci", keyless: {issuer: $issuer, subjectRegExp: "https://git\\.example/team/app"}}]}')"
  expect "$registry" provenance 'fail signed=false*it is by*'
done
echo "signatures.sh: identities, by trust roots of their own"

# A log of Rekor 2 signs no times, and its world lists certificates.
policy "$(jq -n --arg issuer "$issuer" --arg subject "$subject" '{requireSignature: true, signers: [{name: "ci", keyless: {issuer: $issuer, subject: $subject}}]}')"
for registry in "$plain" "$modern"; do
  for name in tiled unlisted restamped; do
    root="$work/world-${registry##*:}-$name/tiled_root.json"
    cp "$root" "$work/root.json.new" && mv "$work/root.json.new" "$work/root.json"
    case "$name" in
      tiled) expected='pass signed=true*' same=yes ;;
      unlisted) expected='fail signed=false*signed certificate timestamps: the certificate has none*' same=no ;;
      restamped) expected='fail signed=false*its time stamp: it is of another signature*' same=no ;;
    esac
    expect "$registry" "$name" "$expected"
    agrees "$same" verify --trusted-root "$root" --certificate-oidc-issuer "$issuer" --certificate-identity "$subject" "${http[@]}" \
      --new-bundle-format=true "$(image "$registry" "$name")"
  done
done
echo "signatures.sh: entries of Rekor 2, time stamps and promises to list"
