//! Interrupts and colours.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Work, command};

#[test]
fn an_interrupt_ends_the_run_with_130() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut stella = command(env!("CARGO_BIN_EXE_stella"), &["--server", &address, "registry.example/web:1"]);
    let mut running = stella.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // It waits for an answer that never comes.
    let (mut stream, _) = listener.accept().unwrap();
    assert!(stream.read(&mut [0; 64]).unwrap() > 0);
    let sent = Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(running.wait().unwrap().code(), Some(130));
}

/// What `stella` writes to a terminal when it scans the SBOM of `work`.
fn on_a_terminal(work: &Work, no_color: Option<&str>) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = std::fs::File::options().read(true).write(true).open(name).unwrap();
    let (feeds, bom) = (work.text("feeds"), work.text("bom.json"));
    let mut stella = command(env!("CARGO_BIN_EXE_stella"), &["--local", "--feeds", &feeds, &bom]);
    stella.env("TERM", "xterm-256color").env_remove("NO_COLOR").envs(no_color.map(|value| ("NO_COLOR", value)));
    let mut running = stella.stdout(terminal).stderr(Stdio::null()).spawn().unwrap();
    // Nothing here holds the terminal open any more, so reading ends with the program.
    drop(stella);
    let mut told = Vec::new();
    let mut master = std::fs::File::from(master);
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut piece) {
        told.write_all(&piece[..count]).unwrap();
    }
    assert_eq!(running.wait().unwrap().code(), Some(1));
    String::from_utf8(told).unwrap()
}

#[test]
fn a_terminal_gets_colours_unless_it_asks_for_none() {
    let work = Work::new();
    let coloured = |text: &str| text.contains("\u{1b}[") && text.contains("CVE-2022-28346");
    assert!(coloured(&on_a_terminal(&work, None)));
    assert!(coloured(&on_a_terminal(&work, Some(""))), "empty is as good as unset (no-color.org)");
    let plain = on_a_terminal(&work, Some("1"));
    assert!(plain.contains("CVE-2022-28346") && !plain.contains('\u{1b}'), "{plain:?}");
}
