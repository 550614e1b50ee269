# shellcheck shell=bash
# Without root, or where root may not make containers: the same packages in an ordinary process, watched through /proc.

reference=registry.example/shop/web:1.0

how() { echo "NO RIGHTS to make containers: an ordinary process in place of a container, watched through /proc in place of eBPF"; }

# Prints the OCI layout: an image of the folder the process will run from, at the same path.
make_image() {
  local site="$work/site" layer="$work/layer"
  mkdir -p "$site" "$layer$work"
  grep -v '^#' "$repository/scripts/images/workload/requirements.txt" >"$work/requirements.txt"
  python3 -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --only-binary :all: \
    --target "$site" --requirement "$work/requirements.txt" >"$work/pip.log" 2>&1 || {
    tail -n 5 "$work/pip.log" >&2
    stop "pip found no ready-built packages for $(python3 --version): Python 3.7 to 3.11 is needed without root"
  }
  (
    # shellcheck source=/dev/null
    source "$repository/scripts/images/oci.sh"
    cp -r "$site" "$layer$work/site"
    pack_layer "$layer" "$work/layer.tar"
    write_image "$work/image" 1.0 gzip '{"Entrypoint":["python3"]}' "$work/layer.tar"
    rm -r "$layer" "$work/layer.tar"
  )
  echo "$work/image"
}

# The process has to be there before its number can be told.
describe_container() { # DIGEST
  start web env PYTHONPATH="$work/site" python3 "$here/app.py"
  wait_for 60 "the process" test -s "$work/web.log"
  agent_flags=(--observe proc --host-process "web=${running[web]},$reference@$1")
}

start_container() { :; }

stop_container() { end web; }
