#!/usr/bin/env bash
# Builds the small image demo/clean:1.0 (one static program, no package) or demo/shell:1.0
# (busybox) and prints the folder of its OCI layout: small.sh clean|shell
set -euo pipefail
here="$(dirname "$0")"
source "$here/oci.sh"

name="${1:?clean or shell}"
image="$images/$name"
sources="$(sources_of "$here"/{small.sh,pause.c})"
if current "$image" "$sources"; then
  echo "$image/layout"
  exit 0
fi

echo "image demo/$name:1.0: building" >&2
rm -rf "$image"
root="$image/root"
mkdir -p "$root"/{bin,etc,tmp}
chmod 1777 "$root/tmp"
case "$name" in
  clean)
    gcc -Os -static -s -o "$root/bin/sleep-forever" "$here/pause.c"
    run_config='{"Entrypoint":["/bin/sleep-forever"],"User":"65534:65534"}'
    ;;
  shell)
    cp "$(command -v busybox)" "$root/bin/busybox"
    for applet in $("$root/bin/busybox" --list); do
      [[ "$applet" == busybox ]] || ln -s busybox "$root/bin/$applet"
    done
    run_config='{"Cmd":["/bin/sh"],"Env":["PATH=/bin"],"User":"65534:65534"}'
    ;;
  *) echo "small.sh: unknown image: $name" >&2; exit 2 ;;
esac
printf 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n' \
  >"$root/etc/os-release"
echo 'nobody:x:65534:65534:nobody:/:/bin/false' >"$root/etc/passwd"

pack_layer "$root" "$image/layer.tar"
write_image "$image/layout" 1.0 gzip "$run_config" "$image/layer.tar"
write_archive "$image/layout" 1.0 "localhost/demo/$name:1.0" "$image/archive.tar"
rm -rf "$root" "$image/layer.tar"
echo "$sources" >"$image/sources"
echo "$image/layout"
