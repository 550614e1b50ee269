# shellcheck shell=bash
# The package database of a Debian 9: the sources that the feed names, in versions it names.
inputs=("$here/databases.py" "$STELLA_TEST_DATA/feeds/osv/Debian/all.zip")

build() {
  root "$work/1" debian 9 "Debian GNU/Linux 9 (stretch)"
  python3 "$here/databases.py" dpkg "$STELLA_TEST_DATA/feeds/osv/Debian" Debian:9 "$work/1"
}
