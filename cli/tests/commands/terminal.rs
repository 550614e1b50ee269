//! Interrupts, colours and lines of progress.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::str::Chars;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

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

/// A pseudo terminal: what is written to the second is read from the first.
fn pseudo_terminal() -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = File::options().read(true).write(true).open(name).unwrap();
    (File::from(master), terminal)
}

/// What is written to a terminal until nobody holds it open any more.
fn told(mut master: File) -> String {
    let mut told = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut piece) {
        told.write_all(&piece[..count]).unwrap();
    }
    String::from_utf8(told).unwrap()
}

/// What `stella` writes to a terminal when it scans the SBOM of `work`.
fn on_a_terminal(work: &Work, no_color: Option<&str>) -> String {
    let (master, terminal) = pseudo_terminal();
    let (feeds, bom) = (work.text("feeds"), work.text("bom.json"));
    let mut stella = command(env!("CARGO_BIN_EXE_stella"), &["--local", "--feeds", &feeds, &bom]);
    stella.env("TERM", "xterm-256color").env_remove("NO_COLOR").envs(no_color.map(|value| ("NO_COLOR", value)));
    let mut running = stella.stdout(terminal).stderr(Stdio::null()).spawn().unwrap();
    // Nothing here holds the terminal open any more, so reading ends with the program.
    drop(stella);
    let told = told(master);
    assert_eq!(running.wait().unwrap().code(), Some(1));
    told
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

/// How long others take here, so that waiting for them shows.
const SLOWLY: Duration = Duration::from_millis(600);

/// Exit code of `stella`, and what it writes to standard error where that is a terminal.
fn watched(work: &Work, args: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let (master, terminal) = pseudo_terminal();
    let mut stella = command(env!("CARGO_BIN_EXE_stella"), args);
    // Relative names are short, and so no line is longer than a terminal is wide.
    stella.current_dir(work.path("")).env("TERM", "xterm-256color").envs(environment.iter().copied());
    let mut running = stella.stdout(Stdio::null()).stderr(terminal).spawn().unwrap();
    drop(stella);
    let told = told(master);
    (running.wait().unwrap().code(), told)
}

/// The same run where standard error is no terminal.
fn unwatched(work: &Work, args: &[&str], environment: &[(&str, &str)]) -> String {
    let mut stella = command(env!("CARGO_BIN_EXE_stella"), args);
    let output = stella.current_dir(work.path("")).envs(environment.iter().copied()).output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

/// What a terminal shows after `written`, as far as lines of progress steer it.
fn screen(written: &str) -> String {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0usize, 0usize);
    let mut rest = written.chars();
    while let Some(character) = rest.next() {
        match character {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => match steering(&mut rest) {
                ('A', count) => row = row.saturating_sub(count.max(1)),
                ('B', count) => row += count.max(1),
                ('K', 2) => lines[row].clear(),
                ('K', _) => lines[row].truncate(column),
                _ => {}
            },
            shown => {
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = shown;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), Vec::new());
    }
    let shown = lines.iter().map(|line| line.iter().collect::<String>());
    shown.map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Letter and number of a control sequence (ECMA-48, section 5.4).
fn steering(rest: &mut Chars<'_>) -> (char, usize) {
    let mut number = 0;
    for character in rest.by_ref() {
        match (character, character.to_digit(10)) {
            (_, Some(digit)) => number = number * 10 + digit as usize,
            ('[' | '?' | ';', _) => {}
            (letter, _) => return (letter, number),
        }
    }
    (' ', number)
}

/// Reads the head of a request, waits, and refuses.
fn refuse_slowly(mut stream: UnixStream) {
    read_head(&mut BufReader::new(&stream));
    std::thread::sleep(SLOWLY);
    let body = r#"{"message":"not today"}"#;
    let length = body.len();
    let answer = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).unwrap();
}

fn read_head(reader: &mut impl BufRead) {
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > "\r\n".len() {
        line.clear();
    }
}

#[test]
fn a_terminal_is_told_what_is_read() {
    let work = Work::new();
    let socket = work.path("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || listener.incoming().for_each(|stream| refuse_slowly(stream.unwrap())));
    let host = format!("unix://{}", socket.display());
    let args = ["--local", "--feeds", "feeds", "docker://demo:1"];
    let (code, written) = watched(&work, &args, &[("DOCKER_HOST", &host)]);
    assert_eq!(code, Some(2), "{written:?}");
    assert!(written.contains("reading docker://demo:1 ("), "{written:?}");
    let left = screen(&written);
    assert!(left.starts_with("error: ") && left.contains("not today"), "{left:?}");
    assert!(!left.contains("reading docker://"), "{left:?}");
    let plain = unwatched(&work, &args, &[("DOCKER_HOST", &host)]);
    assert_eq!(
        (plain.lines().count(), plain.contains("reading"), plain.contains('\u{1b}')),
        (1, false, false),
        "{plain:?}"
    );
}

#[test]
fn a_terminal_is_told_that_an_index_is_built() {
    let work = Work::new();
    let versions: Vec<String> = (0..3000).map(|number| format!("1.0.{number}")).collect();
    for number in 0..400 {
        let record = json!({"id": format!("GEN-{number}"), "modified": "2026-01-01T00:00:00Z", "affected": [
            {"package": {"ecosystem": "PyPI", "name": format!("package-{number}")}, "versions": versions}]});
        work.write(&format!("feeds/osv/PyPI/GEN-{number}.json"), record.to_string());
    }
    let args = |cache: &'static str| ["--local", "--feeds", "feeds", "--cache-dir", cache, "bom.json"];
    let (code, written) = watched(&work, &args("first"), &[]);
    assert_eq!(code, Some(1), "{written:?}");
    assert!(written.contains("building the index of the feeds ("), "{written:?}");
    assert_eq!(screen(&written), "", "{written:?}");
    assert_eq!(unwatched(&work, &args("second"), &[]), "");
    let again = watched(&work, &args("first"), &[]).1;
    assert!(!again.contains("building"), "it is there: {again:?}");
}

/// Larger than what two sockets hold.
const SENT: u64 = 64 << 20;

/// A server that reads a request's body late, and refuses it later still.
fn slow_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            read_head(&mut reader);
            std::thread::sleep(SLOWLY);
            io::copy(&mut reader.take(SENT), &mut io::sink()).unwrap();
            std::thread::sleep(SLOWLY);
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        }
    });
    address
}

#[test]
fn a_terminal_is_told_how_much_of_an_upload_is_sent() {
    let work = Work::new();
    File::create(work.path("a")).unwrap().set_len(SENT).unwrap();
    let address = slow_server();
    let args = ["--server", &address, "a"];
    let (code, written) = watched(&work, &args, &[]);
    assert_eq!(code, Some(2), "{written:?}");
    assert!(written.contains("sending a [") && written.contains(" of 64.00 MiB, "), "{written:?}");
    assert!(written.contains("sending a: sent, waiting for the answer ("), "{written:?}");
    let left = screen(&written);
    assert!(left.starts_with("error: ") && left.contains("403"), "{left:?}");
    assert!(!left.contains("sending"), "{left:?}");
    let plain = unwatched(&work, &args, &[]);
    assert_eq!(
        (plain.lines().count(), plain.contains("sending"), plain.contains('\u{1b}')),
        (1, false, false),
        "{plain:?}"
    );
}
