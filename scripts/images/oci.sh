# shellcheck shell=bash
# Writes container images as OCI layouts, the same bytes from the same files every time.
# To be sourced.

: "${STELLA_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
images="$STELLA_CACHE/images"
# The time stamped on all files and images: 2024-01-01T00:00:00Z.
epoch=1704067200
created=2024-01-01T00:00:00Z

# pack_layer FOLDER FILE: the folder's content as a tar file.
pack_layer() {
  tar --create --file "$2" --directory "$1" --sort=name --mtime="@$epoch" --numeric-owner \
    --format=pax --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' .
}

# write_image LAYOUT TAG gzip|plain RUN-CONFIG LAYER...
# RUN-CONFIG is the image's "config" object in JSON; layers are tar files, lowest first.
write_image() {
  local layout="$1" tag="$2" compression="$3" run_config="$4" layer
  shift 4
  rm -rf "$layout"
  mkdir -p "$layout/blobs/sha256"
  echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"

  local diff_ids='[]' layers='[]' type=application/vnd.oci.image.layer.v1.tar
  [[ "$compression" == plain ]] || type+=+gzip
  for layer in "$@"; do
    diff_ids="$(jq -c --arg id "sha256:$(digest_of "$layer")" '. + [$id]' <<<"$diff_ids")"
    if [[ "$compression" == plain ]]; then
      cp "$layer" "$layout/blob"
    else
      gzip -n -6 <"$layer" >"$layout/blob"
    fi
    layers="$(jq -c --argjson entry "$(store_blob "$layout" "$type")" '. + [$entry]' <<<"$layers")"
  done

  local config
  jq -c -n --arg created "$created" --argjson config "$run_config" --argjson ids "$diff_ids" '{
    created: $created, architecture: "amd64", os: "linux", config: $config,
    rootfs: {type: "layers", diff_ids: $ids},
    history: [$ids[] | {created: $created, created_by: "scripts/images"}]
  }' >"$layout/blob"
  config="$(store_blob "$layout" application/vnd.oci.image.config.v1+json)"

  local manifest=application/vnd.oci.image.manifest.v1+json
  jq -c -n --arg type "$manifest" --argjson config "$config" --argjson layers "$layers" \
    '{schemaVersion: 2, mediaType: $type, config: $config, layers: $layers}' >"$layout/blob"
  store_blob "$layout" "$manifest" | jq -c --arg tag "$tag" '{
    schemaVersion: 2,
    manifests: [. + {annotations: {"org.opencontainers.image.ref.name": $tag}}]
  }' >"$layout/index.json"
}

digest_of() { sha256sum "$1" | cut -d ' ' -f 1; }

# Files LAYOUT/blob under its digest and prints its descriptor.
store_blob() {
  local digest size
  digest="$(digest_of "$1/blob")"
  size="$(stat -c %s "$1/blob")"
  mv "$1/blob" "$1/blobs/sha256/$digest"
  jq -c -n --arg type "$2" --arg digest "sha256:$digest" --argjson size "$size" \
    '{mediaType: $type, digest: $digest, size: $size}'
}

manifest_digest() { jq -r '.manifests[0].digest' "$1/index.json"; }

# write_archive LAYOUT TAG REFERENCE FILE: the image as `docker save` would write it.
write_archive() {
  rm -f "$4"
  skopeo --insecure-policy copy --quiet "oci:$1:$2" "docker-archive:$4:$3"
}

# push_image LAYOUT TAG REFERENCE: to a registry over plain HTTP, digest unchanged.
push_image() {
  skopeo --insecure-policy copy --quiet --preserve-digests --dest-tls-verify=false "oci:$1:$2" "docker://$3"
  # The cluster's node would go on using what the tag meant when it last pulled.
  local socket="${STELLA_RIG:-/var/lib/stella-rig}/containerd.sock"
  if [[ -S "$socket" ]]; then
    ctr --address "$socket" --namespace k8s.io images remove "$3" >/dev/null 2>&1 || true
  fi
}

# sources_of FILE...: names the state of the files that an image is made from.
# The number is raised when this file comes to write images otherwise.
sources_of() { { echo 1; cat "$@"; } | sha256sum | cut -c1-16; }

# current FOLDER SOURCES: whether the folder holds an image made from just these.
current() { [[ "$(cat "$1/sources" 2>/dev/null)" == "$2" ]]; }
