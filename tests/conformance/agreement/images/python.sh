# shellcheck shell=bash
# A virtual environment with packages that have advisories, and one distribution of the older kind (egg-info).
inputs=("$here/python/requirements.txt")

build() {
  local site="$work/1/opt/venv/lib/python3.11/site-packages"
  root "$work/1" debian 12 "Debian GNU/Linux 12 (bookworm)"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
    --no-compile --no-deps --only-binary :all: \
    --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
    --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --platform any \
    --target "$site" --requirement "$here/python/requirements.txt"
  printf 'home = /usr/bin\nversion = 3.11.2\n' >"$work/1/opt/venv/pyvenv.cfg"
  mkdir -p "$work/1/usr/lib/python3/dist-packages/old_style-0.3.egg-info" "$work/1/srv/app"
  printf 'Metadata-Version: 1.1\nName: old-style\nVersion: 0.3\n' >"$work/1/usr/lib/python3/dist-packages/old_style-0.3.egg-info/PKG-INFO"
  printf 'Metadata-Version: 1.1\nName: pycrypto\nVersion: 2.6.1\n' >"$work/1/usr/lib/python3/dist-packages/pycrypto-2.6.1.egg-info"
}
