# shellcheck shell=bash
# As distroless images are: one file a package in status.d, no dpkg, the release of a Debian 10.
inputs=("$here/databases.py" "$STELLA_TEST_DATA/feeds/osv/Debian/all.zip")

build() {
  root "$work/1" debian 10 "Distroless"
  python3 "$here/databases.py" status.d "$STELLA_TEST_DATA/feeds/osv/Debian" Debian:10 "$work/1"
}
