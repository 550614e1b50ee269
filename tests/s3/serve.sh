#!/usr/bin/env bash
# Runs an S3 server of its own (MinIO), with an empty bucket `blobs`, in a temporary folder until standard input ends. The one line
# printed is its URL; the key is stella-test, and its secret stella-test-secret. Needs curl.
set -euo pipefail

cache="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
PATH="$cache/bin:$PATH"
if ! command -v minio >/dev/null; then
  echo "serve.sh: there is no minio; scripts/install/go-tools.sh minio builds it" >&2
  exit 1
fi

folder="$(mktemp -d "${TMPDIR:-/tmp}/stella-s3.XXXXXX")"
server=
end() {
  if [[ -n "$server" ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$folder"
}
trap end EXIT
trap 'exit 1' INT TERM HUP

port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
url="http://127.0.0.1:$port"
export MINIO_ROOT_USER=stella-test MINIO_ROOT_PASSWORD=stella-test-secret MINIO_BROWSER=off
mkdir "$folder/data"
minio server --quiet --address "127.0.0.1:$port" "$folder/data" </dev/null >"$folder/server.log" 2>&1 &
server=$!
# Signed by another implementation than the product's.
for _ in $(seq 150); do
  if curl --silent --fail --output /dev/null --request PUT --user "$MINIO_ROOT_USER:$MINIO_ROOT_PASSWORD" \
    --aws-sigv4 aws:amz:us-east-1:s3 "$url/blobs"; then
    made=1
    break
  fi
  kill -0 "$server" 2>/dev/null || break
  sleep 0.2
done
[[ -n "${made:-}" ]] || { cat "$folder/server.log" >&2; exit 1; }
echo "$url"
cat >/dev/null
