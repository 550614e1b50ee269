# shellcheck shell=bash
# Two Go programs, one plain and one stripped, whose modules have advisories; one module is replaced by another.
inputs=("$here"/go/{go.mod,go.sum,main.go})

build() {
  root "$work/1" debian 12 "Debian GNU/Linux 12 (bookworm)"
  mkdir -p "$work/1/usr/local/bin" "$work/go"
  cp "$here"/go/{go.mod,go.sum,main.go} "$work/go/"
  # Of this version, whatever Go is there: the standard library is a package too.
  export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOTOOLCHAIN=go1.22.0
  (
    cd "$work/go" || exit
    go build -o "$work/1/usr/local/bin/plain" .
    go build -trimpath -ldflags '-s -w' -o "$work/1/usr/local/bin/stripped" .
  )
}
