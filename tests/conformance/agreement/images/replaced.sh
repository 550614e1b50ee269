# shellcheck shell=bash
# Three layers of which the upper ones delete and replace: what is gone must not be found.
inputs=("$here/replaced.py" "$here/databases.py" "$STELLA_TEST_DATA/feeds/osv/Debian/all.zip")

build() {
  root "$work/1" debian 11 "Debian GNU/Linux 11 (bullseye)"
  python3 "$here/databases.py" dpkg "$STELLA_TEST_DATA/feeds/osv/Debian" Debian:11 "$work/1"
  python3 "$here/replaced.py" "$work"
}
