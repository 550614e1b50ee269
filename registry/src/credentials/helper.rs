//! Credential helpers (docker-credential-helpers: a program, `get`, the server on its input, JSON on its output).

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::{Credential, CredentialsError, Secret};
use crate::reference::DOCKER_HUB;

/// Bytes of an answer.
const LONGEST: u64 = 64 << 10;
/// The user that says that the secret is an identity token.
const TOKEN: &str = "<token>";
/// What every helper prints when it knows nothing of the server.
const UNKNOWN: &str = "credentials not found";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// What the helper knows of a host.
pub(super) async fn get(name: &str, host: &str, time: Duration) -> Result<Option<Credential>, CredentialsError> {
    let server = if host == DOCKER_HUB { "https://index.docker.io/v1/" } else { host };
    run(&format!("docker-credential-{name}"), name, server, time).await
}

async fn run(program: &str, name: &str, server: &str, time: Duration) -> Result<Option<Credential>, CredentialsError> {
    let failed = |reason: String| CredentialsError::Helper { name: name.to_owned(), reason };
    let io = |error: std::io::Error| failed(error.to_string());
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(io)?;
    let conversation = async {
        if let Some(mut input) = child.stdin.take() {
            // One that does not read its input may know the answer all the same.
            let _ = input.write_all(server.as_bytes()).await;
        }
        let mut output = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            pipe.take(LONGEST + 1).read_to_end(&mut output).await?;
        }
        if output.len() as u64 > LONGEST {
            return Ok((None, output));
        }
        Ok((Some(child.wait().await?), output))
    };
    let ended: std::io::Result<_> = tokio::time::timeout(time, conversation)
        .await
        .map_err(|_| failed(format!("no answer within {} s", time.as_secs())))?;
    let (status, output) = ended.map_err(io)?;
    let Some(status) = status else { return Err(failed(format!("an answer of more than {LONGEST} bytes"))) };
    if !status.success() {
        if String::from_utf8_lossy(&output).trim_start().starts_with(UNKNOWN) {
            return Ok(None);
        }
        return Err(failed(format!("ended with {status}")));
    }
    let answer: Answer = serde_json::from_slice(&output).map_err(|_| failed("not the JSON it should be".into()))?;
    Ok(match answer {
        Answer { secret, .. } if secret.is_empty() => None,
        Answer { username, secret } if username == TOKEN => Some(Credential::Identity(Secret(secret))),
        Answer { username, secret } => Some(Credential::Basic { username, password: Secret(secret) }),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// What a helper with this script says of a server.
    async fn ask(script: &str) -> Result<Option<Credential>, CredentialsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker-credential-test");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        for _ in 0..50 {
            let answer = run(path.to_str().unwrap(), "test", "r.example", Duration::from_secs(2)).await;
            // Another test's fork may still hold the script open for writing.
            match answer {
                Err(CredentialsError::Helper { reason, .. }) if reason.contains("Text file busy") => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                answer => return answer,
            }
        }
        panic!("the script stays busy");
    }

    #[tokio::test]
    async fn the_server_goes_in_and_a_credential_comes_out() {
        let script = r#"test "$1" = get && printf '{"ServerURL":"x","Username":"%s","Secret":"s"}' "$(cat)""#;
        let expected = Credential::Basic { username: "r.example".into(), password: Secret("s".into()) };
        assert_eq!(ask(script).await, Ok(Some(expected)));
        let token = r#"echo '{"Username":"<token>","Secret":"t"}'"#;
        assert_eq!(ask(token).await, Ok(Some(Credential::Identity(Secret("t".into())))));
    }

    #[tokio::test]
    async fn knowing_nothing_is_no_failure() {
        assert_eq!(ask("echo 'credentials not found in native keychain'; exit 1").await, Ok(None));
        assert_eq!(ask(r#"echo '{"Username":"","Secret":""}'"#).await, Ok(None));
    }

    #[tokio::test]
    async fn failures_are_told_without_what_was_printed() {
        for (script, words) in [
            ("echo geheim; exit 3", "exit status: 3"),
            ("echo geheim", "JSON"),
            ("yes geheim", "more than"),
            ("sleep 60", "within 2 s"),
        ] {
            let error = ask(script).await.unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("geheim"), "{error}");
        }
    }
}
