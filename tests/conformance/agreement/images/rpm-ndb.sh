# shellcheck shell=bash
# An rpm database as found in the wild: the format ndb.
fixture="$STELLA_TEST_DATA/conformance/rpmdb/sle15-bci.Packages.db.gz"
inputs=("$fixture")

build() {
  root "$work/1" sles 15.3 "SUSE Linux Enterprise Server 15 SP3"
  mkdir -p "$work/1/var/lib/rpm"
  gzip -dc "$fixture" >"$work/1/var/lib/rpm/Packages.db"
}
