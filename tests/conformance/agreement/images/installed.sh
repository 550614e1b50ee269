# shellcheck shell=bash
# What Ruby, PHP, Conda and .NET leave where they install packages.
inputs=()
while read -r file; do inputs+=("$file"); done < <(find "$here/installed" -type f | sort)

build() {
  root "$work/1" debian 12 "Debian GNU/Linux 12 (bookworm)"
  cp -r "$here"/installed/. "$work/1/"
}
