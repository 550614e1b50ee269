# shellcheck shell=bash
# A Rust program that says what it was built from (cargo-auditable), and one that does not.
inputs=("$here"/rust/{Cargo.toml,Cargo.lock,src/main.rs})

build() {
  root "$work/1" debian 12 "Debian GNU/Linux 12 (bookworm)"
  mkdir -p "$work/1/usr/local/bin" "$work/rust"
  cp -r "$here"/rust/{Cargo.toml,Cargo.lock,src} "$here/../../../../rust-toolchain.toml" "$work/rust/"
  (
    cd "$work/rust" || exit
    export CARGO_TARGET_DIR="$work/rust/target"
    PATH="$STELLA_CACHE/bin:$PATH" nice cargo auditable build --release --locked
    install target/release/agreement-app "$work/1/usr/local/bin/auditable"
    objcopy --remove-section .dep-v0 "$work/1/usr/local/bin/auditable" "$work/1/usr/local/bin/silent"
  )
}
