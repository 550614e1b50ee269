#!/usr/bin/env bash
# Builds the image demo/workload:1.0 and prints the folder of its OCI layout:
# Debian 12 with Python, packages with known vulnerabilities, and a program that uses one of them.
set -euo pipefail
here="$(dirname "$0")"
source "$here/oci.sh"

image="$images/workload"
sources="$(sources_of "$here"/{workload.sh,workload/requirements.txt,workload/serve.py})"
if current "$image" "$sources"; then
  echo "$image/layout"
  exit 0
fi

build_base() { # FOLDER: a minimal Debian, without what differs from one making to the next
  debootstrap --variant=minbase --include=ca-certificates,python3 bookworm "$1" >"$image/debootstrap.log" 2>&1 || {
    tail -n 20 "$image/debootstrap.log" >&2
    exit 1
  }
  find "$1"/{dev,proc,sys,run,tmp,var/log,var/cache/apt,var/lib/apt/lists} -mindepth 1 -delete
  rm -f "$1"/etc/{hostname,resolv.conf,machine-id} "$1"/var/cache/ldconfig/aux-cache
  find "$1/var/lib/dpkg" "$1/var/cache/debconf" "$1/etc" -name '*-old' -delete
  # A compiled module holds the time of its source, which is that of unpacking.
  find "$1/usr/lib/python3.11" "$1/usr/lib/python3" "$1/usr/share" -name __pycache__ -prune -exec rm -rf {} +
}

build_packages() { # FOLDER: the wheels, as `pip install` as root leaves them on Debian
  local target="$1/usr/local/lib/python3.11/dist-packages"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
    --no-compile --no-deps --only-binary :all: \
    --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
    --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
    --target "$target" --requirement "$here/workload/requirements.txt" 2>"$image/pip.log" || {
    cat "$image/pip.log" >&2
    exit 1
  }
  mkdir -p "$1/usr/local/bin"
  mv "$target"/bin/* "$1/usr/local/bin/"
  rmdir "$target/bin"
  sed -i '1s|^#!.*|#!/usr/bin/python3|' "$1"/usr/local/bin/*
  correct_records "$target"
}

# Scripts were moved and given another first line: their entries say where, and what, they are now.
correct_records() {
  local record script scripts digest size
  for record in "$1"/*.dist-info/RECORD; do
    mapfile -t scripts < <(sed -n 's|^\.\./\.\./bin/\([^,]*\),.*|\1|p' "$record")
    for script in "${scripts[@]}"; do
      digest="$(openssl dgst -sha256 -binary "$1/../../../bin/$script" | base64 | tr '+/' '-_' | tr -d '=')"
      size="$(stat -c %s "$1/../../../bin/$script")"
      sed -i "s|^\.\./\.\./bin/$script,.*|../../../bin/$script,sha256=$digest,$size|" "$record"
    done
  done
}

echo "image demo/workload:1.0: building (about a minute)" >&2
rm -rf "$image"
mkdir -p "$image/work"/{base,packages,app/app}
build_base "$image/work/base"
build_packages "$image/work/packages"
install -m 644 "$here/workload/serve.py" "$image/work/app/app/serve.py"

for layer in base packages app; do
  pack_layer "$image/work/$layer" "$image/work/$layer.tar"
done
write_image "$image/layout" 1.0 gzip '{
  "Entrypoint": ["/usr/bin/python3", "/app/serve.py"],
  "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
  "ExposedPorts": {"8080/tcp": {}}, "User": "65534:65534", "WorkingDir": "/app"
}' "$image"/work/{base,packages,app}.tar
write_archive "$image/layout" 1.0 localhost/demo/workload:1.0 "$image/archive.tar"
rm -rf "$image/work"
echo "$sources" >"$image/sources"
echo "$image/layout"
