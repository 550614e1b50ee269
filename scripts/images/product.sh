#!/usr/bin/env bash
# Makes an image from programs: product.sh NAME BINARY... [SOURCE=PATH...]
# The first program is the entry point, in /usr/local/bin like the others; SOURCE=PATH adds a
# file or folder. The root holds the shared libraries they ask for, CA certificates and a user
# 65532, nothing else. Prints the reference by digest, pushed to the registry when one answers.
#   TAG       the image's tag (default: dev)
#   REGISTRY  where to push (default: the test cluster's, 127.0.0.1:5001)
set -euo pipefail
here="$(dirname "$0")"
source "$here/oci.sh"

if (($# < 2)); then
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
name="$1"
shift
: "${TAG:=dev}" "${REGISTRY:=127.0.0.1:${STELLA_RIG_REGISTRY_PORT:-5001}}"
image="$images/$name"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/root/{etc/ssl/certs,tmp,usr/local/bin} "$work/programs/usr/local/bin"
chmod 1777 "$work/root/tmp"

entry=""
programs=()
for item in "$@"; do
  if [[ "$item" == *=/* ]]; then
    mkdir -p "$work/programs$(dirname "${item#*=}")"
    cp -rL "${item%%=*}" "$work/programs${item#*=}"
    continue
  fi
  install -m 755 "$item" "$work/programs/usr/local/bin/"
  programs+=("$item")
  : "${entry:=/usr/local/bin/$(basename "$item")}"
done
[[ -n "$entry" ]] || { echo "product.sh: no program given" >&2; exit 2; }

# "name => /path (address)", and the loader as "/path (address)"; a static program has none.
libraries="$(for program in "${programs[@]}"; do ldd "$program" 2>/dev/null || true; done |
  awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' | sort -u)"
for library in $libraries; do
  install -D -m 755 "$library" "$work/root$library"
done
cp -L /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n' >"$work/root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$work/root/etc/group"
echo 'hosts: files dns' >"$work/root/etc/nsswitch.conf"

# Uncompressed: these images travel no further than this machine, and time counts.
pack_layer "$work/root" "$work/root.tar"
pack_layer "$work/programs" "$work/programs.tar"
write_image "$image/layout" "$TAG" plain "$(jq -c -n --arg entry "$entry" '{
  Entrypoint: [$entry], User: "65532:65532", WorkingDir: "/",
  Env: ["PATH=/usr/local/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"]
}')" "$work/root.tar" "$work/programs.tar"

if curl -s -m 2 -o /dev/null "http://$REGISTRY/v2/"; then
  push_image "$image/layout" "$TAG" "$REGISTRY/stella/$name:$TAG"
else
  echo "product.sh: no registry at $REGISTRY; the image is in $image/layout" >&2
fi
echo "$REGISTRY/stella/$name@$(manifest_digest "$image/layout")"
