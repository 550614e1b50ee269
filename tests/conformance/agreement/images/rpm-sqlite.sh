# shellcheck shell=bash
# An rpm database as found in the wild: the format sqlite.
fixture="$STELLA_TEST_DATA/conformance/rpmdb/cbl-mariner-2.0.rpmdb.sqlite.gz"
inputs=("$fixture")

build() {
  root "$work/1" mariner 2.0 "CBL-Mariner/Linux 2.0"
  mkdir -p "$work/1/var/lib/rpm"
  gzip -dc "$fixture" >"$work/1/var/lib/rpm/rpmdb.sqlite"
}
