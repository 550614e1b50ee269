//! Compiles the kernel side with clang, which alone emits the relocations that let one object fit every kernel.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    let source = PathBuf::from("bpf/zastava.bpf.c");
    let object = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("zastava.bpf.o");
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-env-changed=CLANG");

    let clang = std::env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let status = Command::new(&clang)
        .args(["-g", "-O2", "-Wall", "-Werror", "-Wno-unused-function", "-target", "bpf", "-mcpu=v3", "-c"])
        .arg(&source)
        .arg("-o")
        .arg(&object)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{} could not compile {} ({status})", clang.to_string_lossy(), source.display()),
        Err(error) => panic!(
            "the agent's kernel side is compiled with clang, and '{}' could not be run ({error}): \
             install clang 12 or later (Debian: apt-get install clang) or name it in CLANG",
            clang.to_string_lossy()
        ),
    }
}
