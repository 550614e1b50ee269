# shellcheck shell=bash
# An rpm database (SQLite) of an AlmaLinux 9: packages that the feed names, with epochs and modules.
inputs=("$here/databases.py" "$here/rpmdb.py" "$STELLA_TEST_DATA/feeds/osv/AlmaLinux/all.zip")

build() {
  root "$work/1" almalinux 9.2 "AlmaLinux 9.2 (Turquoise Kodkod)"
  python3 "$here/databases.py" rpm "$STELLA_TEST_DATA/feeds/osv/AlmaLinux" AlmaLinux:9 "$work/1"
}
