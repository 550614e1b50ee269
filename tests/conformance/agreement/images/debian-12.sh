# shellcheck shell=bash
# A Debian 12 by debootstrap, with Python packages that dpkg owns.
inputs=()

build() {
  debootstrap --variant=minbase --include=ca-certificates,python3-requests,python3-yaml bookworm "$work/1"
  find "$work"/1/{dev,proc,sys,run,tmp,var/log,var/cache/apt,var/lib/apt/lists} -mindepth 1 -delete
  rm -f "$work"/1/etc/{hostname,resolv.conf,machine-id} "$work"/1/var/cache/ldconfig/aux-cache
  find "$work/1/usr" -name __pycache__ -prune -exec rm -rf {} +
}
