//! Pulls from the CNCF distribution itself (Debian package `docker-registry`), with each way to authenticate.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::*;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair, SigningKey as _};
use stella_domain::Digest;
use stella_inventory::image::read_layers;
use stella_registry::credentials::{DockerConfig, Keyring};
use stella_registry::{Client, PullError, Reference, Registries};

/// `user` with the password `geheim`.
const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuVWu8RjbNovPZWAMRdd7iqaaG0mI53Uu\n";

/// A running registry.
pub struct Distribution {
    pub host: String,
    child: Child,
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether there is one to run; says so loudly when not.
pub fn installed() -> bool {
    let found = Command::new("docker-registry").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("SKIPPED: the program docker-registry is missing; scripts/install/debian.sh docker-registry");
    }
    found
}

impl Distribution {
    /// Starts one over a folder, on a port that the system gives it. `auth` and `tls` are pieces of its configuration.
    pub async fn start(folder: &Path, auth: &str, tls: &str) -> Self {
        let own = tempfile::tempdir_in(folder).unwrap().keep();
        let (configuration, log) = (own.join("config.yml"), own.join("log"));
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:0', secret: x{tls}}}\n{auth}",
            folder.join("storage").display()
        );
        std::fs::write(&configuration, text).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&configuration)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self::listening(child, &log).await
    }

    /// One with the referrers API, in memory, when it is there.
    pub async fn with_referrers(folder: &Path) -> Option<Self> {
        let log = folder.join("log");
        let output = std::fs::File::create(&log).unwrap();
        let child = Command::new("referrers-registry").stdout(Stdio::null()).stderr(output).spawn().ok()?;
        Some(Self::listening(child, &log).await)
    }

    /// Waits for the port to stand in its log.
    async fn listening(child: Child, log: &Path) -> Self {
        let mut started = Self { host: String::new(), child };
        for _ in 0..200 {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            let port = said.split_once("listening on 127.0.0.1:").map(|(_, rest)| rest);
            if let Some(end) = port.and_then(|rest| rest.find(|c: char| !c.is_ascii_digit())) {
                started.host = format!("127.0.0.1:{}", &port.unwrap_or_default()[..end]);
                return started;
            }
            assert!(started.child.try_wait().unwrap().is_none(), "the registry ended: {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the registry does not start: {}", std::fs::read_to_string(log).unwrap_or_default());
    }

    /// Puts an image there as `team/app:1`, and another platform's into the same index.
    pub async fn push(&self, sample: &Sample) {
        let http = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
        let base = format!("http://{}/v2/team/app", self.host);
        for blob in sample.layers.iter().chain([&sample.config]) {
            let begun = http.post(format!("{base}/blobs/uploads/")).send().await.unwrap();
            let place = begun.headers()["location"].to_str().unwrap();
            let mut place = begun.url().join(place).unwrap();
            place.query_pairs_mut().append_pair("digest", &Digest::of(blob).to_string());
            let done = http.put(place).body(blob.clone()).send().await.unwrap();
            assert_eq!(done.status(), 201, "{}", done.text().await.unwrap());
        }
        let index: serde_json::Value = serde_json::from_slice(&sample.index).unwrap();
        let own = index["manifests"][0].clone();
        let mut other = own.clone();
        other["platform"]["architecture"] = "s390x".into();
        // The registry wants to know every manifest of an index, so the other platform's is another one.
        let renamed = String::from_utf8(sample.manifest.clone()).unwrap() + "\n";
        other["digest"] = Digest::of(&renamed).to_string().into();
        other["size"] = renamed.len().into();
        let both = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [other, own]}).to_string();
        for (name, kind, bytes) in [
            (Digest::of(&sample.manifest).to_string(), MANIFEST, sample.manifest.clone()),
            (Digest::of(&renamed).to_string(), MANIFEST, renamed.into_bytes()),
            ("1".to_owned(), INDEX, both.into_bytes()),
        ] {
            let request = http.put(format!("{base}/manifests/{name}")).header("content-type", kind).body(bytes);
            let done = request.send().await.unwrap();
            assert_eq!(done.status(), 201, "{}", done.text().await.unwrap());
        }
    }
}

pub fn provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A folder with the sample in the registry's form.
async fn filled(sample: &Sample) -> tempfile::TempDir {
    provider();
    let folder = tempfile::tempdir().unwrap();
    Distribution::start(folder.path(), "", "").await.push(sample).await;
    folder
}

pub fn client_of(registry: &Distribution) -> Client {
    let registries = Registries::default().with_insecure(std::slice::from_ref(&registry.host));
    Client::new(&registries, fast()).unwrap()
}

#[tokio::test]
async fn an_image_by_tag_digest_and_platform() {
    if !installed() {
        return;
    }
    let sample = Sample::new();
    let folder = filled(&sample).await;
    let registry = Distribution::start(folder.path(), "", "").await;
    let client = client_of(&registry);
    let (image, blobs) = pull(&client, &registry.host, &Keyring::anonymous()).await.unwrap();
    check(&sample, &blobs);
    assert_eq!(image.digest(), Digest::of(&sample.manifest), "the second of the index, by its platform");

    let reference: Reference = format!("{}/team/app:1", registry.host).parse().unwrap();
    let find = |reference: Reference, platform: &str| {
        let (client, platform) = (client.clone(), platform.parse().unwrap());
        async move { client.find(&reference, &platform, &Keyring::anonymous()).await }
    };
    let other = find(reference.clone(), "linux/s390x").await.unwrap();
    assert_ne!(other.digest(), image.digest());
    let none = find(reference.clone(), "linux/riscv64").await.unwrap_err();
    assert!(matches!(none, PullError::Manifest { .. }), "{none}");
    let by_digest = find(reference.clone().with_digest(image.digest()), "linux/amd64").await.unwrap();
    assert_eq!(by_digest.digests, [image.digest()]);
    let missing = find(reference.with_digest(Digest::of("x")), "linux/amd64").await.unwrap_err().to_string();
    assert!(missing.contains("HTTP 404 (MANIFEST_UNKNOWN)"), "{missing}");

    let again = tempfile::tempdir().unwrap();
    let blobs = image.fetch_layers(again.path(), |_| true).await.unwrap();
    let limits = stella_inventory::Limits::default();
    let layers = read_layers(&blobs, &image.manifest, &image.config, &|_| true, &limits).unwrap();
    assert_eq!(layers.len(), 2);
}

#[tokio::test]
async fn a_password_lets_in_over_tls_with_an_authority_of_its_own() {
    if !installed() {
        return;
    }
    let sample = Sample::new();
    let folder = filled(&sample).await;
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (pem, key) = (file("tls.pem", certificate.pem()), file("tls.key", key.serialize_pem()));
    let htpasswd = file("htpasswd", HTPASSWD.to_owned());
    let auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", htpasswd.display());
    let tls = format!(", tls: {{certificate: {}, key: {}}}", pem.display(), key.display());
    let registry = Distribution::start(folder.path(), &auth, &tls).await;

    let settings = serde_json::json!({"registries": [{"host": registry.host, "caFile": pem}]}).to_string();
    let client = Client::new(&Registries::parse(&settings).unwrap(), fast()).unwrap();
    let (_, blobs) = pull(&client, &registry.host, &keyring(&[(&registry.host, "user")])).await.unwrap();
    check(&sample, &blobs);

    // As a pull secret has it, and for a part of the registry only.
    let auth = STANDARD.encode("user:geheim");
    let secret = format!(r#"{{"auths":{{"https://{}/v2/team":{{"auth":"{auth}"}}}}}}"#, registry.host);
    let keyring_ = Keyring::anonymous().with(&DockerConfig::parse(secret.as_bytes()).unwrap());
    pull(&client, &registry.host, &keyring_).await.unwrap();

    for keyring_ in [Keyring::anonymous(), keyring(&[(&registry.host, "nobody")])] {
        let error = pull(&client, &registry.host, &keyring_).await.unwrap_err().to_string();
        assert!(error.contains("not let in (HTTP 401)") && !error.contains("geheim"), "{error}");
    }
    let unknown = Client::new(&Registries::default(), fast()).unwrap();
    let error = pull(&unknown, &registry.host, &keyring(&[(&registry.host, "user")])).await.unwrap_err().to_string();
    assert!(error.contains("certificate") || error.contains("cannot set up TLS"), "{error}");
}

/// A token service as distribution wants it: tokens signed with ES256, the certificate of the key in their header.
struct Issuer {
    key: KeyPair,
    der: Vec<u8>,
}

impl Issuer {
    fn token(&self, user: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = serde_json::json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(&self.der)]});
        let claims = serde_json::json!({
            "iss": "tester", "sub": user, "aud": "test", "jti": "1", "iat": now, "nbf": now - 60, "exp": now + 300,
            "access": [{"type": "repository", "name": "team/app", "actions": ["pull"]}],
        });
        let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = fixed(&self.key.sign(signed.as_bytes()).unwrap());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The two numbers of an ECDSA signature in DER, 32 bytes each, as JWS has them (RFC 7518, section 3.4).
fn fixed(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut out = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number: Vec<u8> = rest[2..2 + length].iter().copied().skip_while(|byte| *byte == 0).collect();
        out.extend(std::iter::repeat_n(0, 32 - number.len()));
        out.extend(number);
        rest = &rest[2 + length..];
    }
    out
}

#[tokio::test]
async fn a_token_of_a_token_service_lets_in() {
    if !installed() {
        return;
    }
    let sample = Sample::new();
    let folder = filled(&sample).await;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = CertificateParams::new(vec!["tester".to_owned()]).unwrap().self_signed(&key).unwrap();
    let bundle = folder.path().join("bundle.pem");
    std::fs::write(&bundle, certificate.pem()).unwrap();
    let issuer = Issuer { key, der: certificate.der().to_vec() };
    let service = Server::new(move |asked, _| {
        let ours = asked.path.starts_with("/token?service=test&scope=repository%3Ateam%2Fapp%3Apull");
        let identity = asked.method == "POST" && asked.body.ends_with("refresh_token=forever");
        match asked.authorization.as_deref() {
            // user:geheim
            Some("Basic dXNlcjpnZWhlaW0=") if ours => {
                body(serde_json::json!({"token": issuer.token("user"), "expires_in": 300}).to_string())
            }
            None if identity => body(serde_json::json!({"access_token": issuer.token("user")}).to_string()),
            _ => status(401),
        }
    })
    .await;
    let auth = format!(
        "auth: {{token: {{realm: 'http://{}/token', service: test, issuer: tester, rootcertbundle: {}}}}}\n",
        service.host,
        bundle.display()
    );
    let registry = Distribution::start(folder.path(), &auth, "").await;
    let client = client_of(&registry);
    let (_, blobs) = pull(&client, &registry.host, &keyring(&[(&registry.host, "user")])).await.unwrap();
    check(&sample, &blobs);
    assert_eq!(service.asked().len(), 1, "one token for manifests and layers");

    let document = format!(r#"{{"auths":{{"{}":{{"identitytoken":"forever"}}}}}}"#, registry.host);
    let identity = Keyring::anonymous().with(&DockerConfig::parse(document.as_bytes()).unwrap());
    pull(&client, &registry.host, &identity).await.unwrap();

    let error = pull(&client, &registry.host, &Keyring::anonymous()).await.unwrap_err().to_string();
    assert!(error.contains("not let in (HTTP 401), without credentials"), "{error}");
}

#[tokio::test]
async fn a_mirror_that_fails_leaves_it_to_the_registry() {
    if !installed() {
        return;
    }
    let sample = Sample::new();
    let folder = filled(&sample).await;
    let registry = Distribution::start(folder.path(), "", "").await;
    let (large, bytes) = (sample.large(), sample.layers[1].clone());
    let mirror = Server::with(&sample, move |asked, _| {
        // It has everything but the end of the large layer.
        asked.path.ends_with(&large).then(|| cut(&bytes, asked.from.unwrap_or(0), 1_000))
    })
    .await;
    let settings = serde_json::json!({"registries": [
        {"host": registry.host, "mirrors": [mirror.host], "insecure": true}, {"host": mirror.host, "insecure": true},
    ]});
    let client = Client::new(&Registries::parse(&settings.to_string()).unwrap(), fast()).unwrap();
    let (_, blobs) = pull(&client, &registry.host, &Keyring::anonymous()).await.unwrap();
    check(&sample, &blobs);
    assert_eq!(mirror.asked_for(&sample.large()).len(), 5);
}
