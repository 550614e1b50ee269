# shellcheck shell=bash
# The package database of an Alpine 3.11: the origins that the feed names, in versions it names.
inputs=("$here/databases.py" "$STELLA_TEST_DATA/feeds/osv/Alpine/all.zip")

build() {
  root "$work/1" alpine 3.11.6 "Alpine Linux v3.11"
  echo 3.11.6 >"$work/1/etc/alpine-release"
  python3 "$here/databases.py" apk "$STELLA_TEST_DATA/feeds/osv/Alpine" Alpine:v3.11 "$work/1"
}
