# shellcheck shell=bash
# An application as npm installs it, with its lock file, scopes, and the same package in several versions.
inputs=("$here/node/package.json" "$here/node/package-lock.json")

build() {
  root "$work/1" debian 12 "Debian GNU/Linux 12 (bookworm)"
  mkdir -p "$work/1/srv/app"
  cp "$here"/node/package*.json "$work/1/srv/app/"
  npm ci --prefix "$work/1/srv/app" --ignore-scripts --no-bin-links --no-audit --no-fund
}
