# shellcheck shell=bash
# What build tools leave: lock files of every language, one application a folder.
inputs=("$here"/locks/*/*)

build() {
  root "$work/1" debian 12 "Debian GNU/Linux 12 (bookworm)"
  mkdir -p "$work/1/srv"
  cp -r "$here"/locks/* "$work/1/srv/"
}
