#!/usr/bin/env bash
# Makes a folder and a volume for each claim of the class "standard", and removes both
# once the claim is gone. The volumes are of type local, so that fsGroup works as with a disk.
set -euo pipefail
source "$(dirname "$0")/lib/settings.sh"
export KUBECONFIG="$kubeconfig"
volumes="$STELLA_RIG/volumes"
mkdir -p "$volumes"

provision() { # reads claims, one JSON object a line
  local claim folder
  while read -r claim; do
    folder="$volumes/$(jq -r '"pvc-" + .metadata.uid' <<<"$claim")"
    mkdir -p "$folder"
    jq --arg folder "$folder" --arg node "$node_name" '{
      apiVersion: "v1", kind: "PersistentVolume",
      metadata: {name: ("pvc-" + .metadata.uid)},
      spec: {
        capacity: .spec.resources.requests, accessModes: .spec.accessModes,
        volumeMode: (.spec.volumeMode // "Filesystem"),
        storageClassName: "standard", persistentVolumeReclaimPolicy: "Delete",
        claimRef: {apiVersion: "v1", kind: "PersistentVolumeClaim",
          name: .metadata.name, namespace: .metadata.namespace, uid: .metadata.uid},
        local: {path: $folder},
        nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [
          {key: "kubernetes.io/hostname", operator: "In", values: [$node]}]}]}}
      }}' <<<"$claim" | kubectl apply --server-side -f - || true
  done
}

reclaim() { # reads names of volumes
  local volume
  while read -r volume; do
    rm -rf --one-file-system "${volumes:?}/$volume"
    kubectl delete pv "$volume" --wait=false || true
  done
}

# A watch begins with what is there and ends now and then by itself.
repeat() { while sleep 0.5; do "$@" || true; done; }

watch_claims() {
  kubectl get pvc --all-namespaces --watch --output json | jq --unbuffered -c '
    select(.spec.storageClassName == "standard" and .status.phase == "Pending" and (.spec.volumeName | not)
      and (.metadata.deletionTimestamp | not))' | provision
}

watch_volumes() {
  kubectl get pv --watch --output json | jq --unbuffered -r '
    select(.spec.storageClassName == "standard" and .status.phase == "Released"
      and (.metadata.deletionTimestamp | not)) | .metadata.name' | reclaim
}

repeat watch_volumes &
repeat watch_claims
