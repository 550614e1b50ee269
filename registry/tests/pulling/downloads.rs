//! Files by URL: allowed hosts only, also on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::*;
use stella_registry::{AllowedHosts, DownloadError, Registries, RequestError};

fn only(servers: &[&Server]) -> AllowedHosts {
    AllowedHosts::new(&servers.iter().map(|server| server.host.clone()).collect::<Vec<_>>()).unwrap()
}

async fn fetch(servers: &[&Server], url: &str, most: u64) -> Result<Vec<u8>, DownloadError> {
    fetch_from(servers, servers, url, most).await
}

async fn fetch_from(servers: &[&Server], allowed: &[&Server], url: &str, most: u64) -> Result<Vec<u8>, DownloadError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let size = client(Registries::default(), servers, fast()).download(url, &only(allowed), &path, most).await?;
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes.len() as u64, size);
    Ok(bytes)
}

#[tokio::test]
async fn a_file_comes_whole_without_credentials_and_over_an_allowed_redirect() {
    let target = Server::new(|_, _| body("an archive")).await;
    let next = format!("http://{}/real?signature=1", target.host);
    let first = Server::new(move |_, _| with_header(302, "location", &next)).await;
    let got = fetch(&[&first, &target], &format!("http://{}/image.tar", first.host), 100).await.unwrap();
    assert_eq!(got, b"an archive");
    assert!(target.asked().iter().all(|asked| asked.authorization.is_none()));
}

#[tokio::test]
async fn other_hosts_are_not_asked_also_when_a_redirect_leads_there() {
    let other = Server::new(|_, _| body("a secret of the network")).await;
    let next = format!("http://{}/metadata", other.host);
    let first = Server::new(move |_, _| with_header(302, "location", &next)).await;
    for url in [format!("http://{}/", other.host), format!("http://{}/", first.host)] {
        let refused = fetch_from(&[&first, &other], &[&first], &url, 100).await.unwrap_err();
        let DownloadError::Host { host } = &refused else { panic!("{refused}") };
        assert_eq!(host, &other.host);
    }
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn urls_that_bring_credentials_or_no_tls_are_refused() {
    let server = Server::new(|_, _| body("x")).await;
    let hosts = AllowedHosts::new(&["files.example".to_owned(), server.host.clone()]).unwrap();
    let client = client(Registries::default(), &[&server], fast());
    client.may_download("https://files.example/image.tar", &hosts).unwrap();
    for url in [
        "http://files.example/image.tar",
        "https://user:geheim@files.example/",
        "ftp://files.example/",
        "file:///etc/passwd",
        "no url",
        "https://files.example:444/",
        "https://files.example.attacker.example/",
    ] {
        let refused = client.may_download(url, &hosts).unwrap_err().to_string();
        assert!(!refused.contains("geheim"), "{refused}");
    }
}

#[tokio::test]
async fn a_file_that_is_too_long_cut_or_absent_is_an_error_that_names_the_host() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let server = Server::new(move |asked, _| match asked.path.as_str() {
        "/endless" => endless(&counted),
        "/announced" => cut(&vec![0; 2_000_000], 0, 1),
        "/unchanged" => status(304),
        "/round" => with_header(302, "location", "/round"),
        "/named" => with_header(302, "location", "//user:geheim@elsewhere.example/"),
        "/cut" => cut(&[1; 1000], 0, 500),
        _ => status(404),
    })
    .await;
    let url = |path: &str| format!("http://{}{path}", server.host);
    for path in ["/endless", "/announced"] {
        let error = fetch(&[&server], &url(path), 1_000_000).await.unwrap_err();
        assert!(matches!(error, DownloadError::Request { error: RequestError::TooLong { .. }, .. }), "{error}");
    }
    assert!(sent.load(Ordering::Relaxed) < 64 << 20);
    let cut = fetch(&[&server], &url("/cut"), 1_000_000).await.unwrap_err();
    assert!(matches!(cut, DownloadError::Request { error: RequestError::Cut, .. }), "{cut}");
    for (path, told) in [
        ("/unchanged", "HTTP 304"),
        ("/round", "redirect refused: too many of them"),
        ("/named", "redirect refused: it brings credentials"),
    ] {
        let error = fetch(&[&server], &url(path), 1_000_000).await.unwrap_err().to_string();
        assert_eq!(error, format!("{}: {told}", server.host));
    }
    let absent = fetch(&[&server], &url("/none?signature=secret"), 1_000_000).await.unwrap_err();
    assert_eq!(absent.to_string(), format!("{}: HTTP 404", server.host));
}

#[test]
fn a_port_may_be_named_or_be_the_schemes_own() {
    let client = client(Registries::default(), &[], fast());
    let may = |host: &str, url: &str| client.may_download(url, &AllowedHosts::new(&[host.to_owned()]).unwrap()).is_ok();
    for (host, url, expected) in [
        ("files.example", "https://FILES.example:443/x", true),
        ("files.example:443", "https://files.example/x", true),
        ("files.example:443", "https://files.example:444/x", false),
        ("files.example", "https://files.example:444/x", false),
        ("[0:0::1]:8443", "https://[::1]:8443/x", true),
        ("docker.io", "https://registry-1.docker.io/x", false),
    ] {
        assert_eq!(may(host, url), expected, "{host} and {url}");
    }
}

#[test]
fn a_list_of_hosts_is_of_hosts() {
    assert_eq!(AllowedHosts::new(&[String::new()]).unwrap(), AllowedHosts::default());
    for host in ["https://files.example", "files.example/path", "files example", "*"] {
        AllowedHosts::new(&[host.to_owned()]).unwrap_err();
    }
}
