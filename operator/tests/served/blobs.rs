//! Two installations that are given one place for blobs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::running::Operator;

/// The line in the log of an operator that does not start.
fn refusal(data: &Path, flags: &[&str]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stella-operator"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .args(flags)
        .env("DOCKER_CONFIG", data.join("docker"))
        .env_remove("KUBECONFIG")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the operator starts");
    let until = Instant::now() + Duration::from_secs(60);
    while child.try_wait().expect("it can be asked").is_none() {
        if Instant::now() > until {
            let _ = child.kill();
            panic!("it serves");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().expect("it ended");
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).expect("text")
}

/// The name in the mark of a place.
fn owner(place: &Path) -> String {
    std::fs::read_to_string(place.join("owner")).expect("a mark").trim().to_owned()
}

#[test]
fn a_place_for_blobs_serves_one_installation_until_another_takes_it_over() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two, place] = ["one", "two", "blobs"].map(|name| folder.path().join(name));
    let flags = ["--allow-anonymous", "--blobs", place.to_str().unwrap()];
    let start = |data: &Path, further: &[&str]| Operator::start(data, &[&flags[..], further].concat());

    start(&one, &[]).kill();
    let first = owner(&place);
    start(&one, &[]).kill();
    assert_eq!(owner(&place), first, "it comes back to its own");

    let said = refusal(&two, &flags);
    assert!(said.contains(&first) && said.contains(place.to_str().unwrap()), "{said}");
    assert!(said.contains(&format!("--take-blobs-from {first}")), "{said}");
    assert_eq!(owner(&place), first);
    let stranger = "0".repeat(32);
    refusal(&two, &[&flags[..], &["--take-blobs-from", &stranger]].concat());

    let taken = start(&two, &["--take-blobs-from", &first]);
    let second = owner(&place);
    assert!(second != first && said.contains(&second), "the refusal named both: {said}");
    assert!(taken.log().contains("taken over"), "{}", taken.log());
    taken.kill();
    start(&two, &["--take-blobs-from", &first]).kill();
    assert_eq!(owner(&place), second, "a flag that stays does nothing more");
    assert!(refusal(&one, &flags).contains(&second));
}
