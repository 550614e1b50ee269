# shellcheck shell=bash
# An rpm database as found in the wild: the format bdb.
fixture="$STELLA_TEST_DATA/conformance/rpmdb/libuuid.Packages.gz"
inputs=("$fixture")

build() {
  root "$work/1" centos 8 "CentOS Linux 8"
  mkdir -p "$work/1/var/lib/rpm"
  gzip -dc "$fixture" >"$work/1/var/lib/rpm/Packages"
}
