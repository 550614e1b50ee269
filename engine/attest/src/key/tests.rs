use super::*;

/// Written by `openssl ecparam -name prime256v1 -genkey`; the other two are the same key.
const SEC1: &str = "-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIJitbEfWLCmXYRjQ0aHD9/oq8yIpTCLOvFUQRbZxHbiuoAoGCCqGSM49
AwEHoUQDQgAEKW48lkHX5rn3U7d9mzc5deQXWSYg7txW4HREzsHOcC7R0wGrsN/E
fdN13Kz+5xOPo+oV/+s+UO84YmE/GMi4Tg==
-----END EC PRIVATE KEY-----
";
const PKCS8: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmK1sR9YsKZdhGNDR
ocP3+irzIilMIs68VRBFtnEduK6hRANCAAQpbjyWQdfmufdTt32bNzl15BdZJiDu
3FbgdETOwc5wLtHTAauw38R903XcrP7nE4+j6hX/6z5Q7zhiYT8YyLhO
-----END PRIVATE KEY-----
";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKW48lkHX5rn3U7d9mzc5deQXWSYg
7txW4HREzsHOcC7R0wGrsN/EfdN13Kz+5xOPo+oV/+s+UO84YmE/GMi4Tg==
-----END PUBLIC KEY-----
";
/// Another curve.
const P384: &str = "-----BEGIN EC PRIVATE KEY-----
MIGkAgEBBDDHiddChOTKp4g3NA5v7ViBW6S4iw7mLVtgLims4g8FepNKjV9bXlYo
3PBe6LngDnSgBwYFK4EEACKhZANiAARYlr96WLwGC4J6WpZWkCeQf8KFkZun6Zms
cdA8+IGrzIAwTnUCW1l3L53YcCZuVGBl1NEQCEmvW66eiRH7DLReFE61kZMgJXEJ
yig7IApBKagx6tiSjrd4hFrkcpCv6jY=
-----END EC PRIVATE KEY-----
";

fn keys() -> [SigningKey; 3] {
    [
        SigningKey::from_seed("k", &[7; 32]),
        SigningKey::from_pem("k", PKCS8).unwrap(),
        SigningKey::from_secret("k", &[7; 32]).unwrap(),
    ]
}

/// RFC 8032, section 7.1, test 1.
#[test]
fn ed25519_signs_as_the_rfc_does() {
    let mut seed = [0; 32];
    hex::decode_to_slice("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", &mut seed).unwrap();
    let key = SigningKey::from_seed("k", &seed);
    let expected = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
        5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
    assert_eq!(hex::encode(key.sign(b"")), expected);
}

/// RFC 6979, appendix A.2.5, SHA-256 over "sample".
#[test]
fn ecdsa_signs_as_the_rfc_does() {
    let scalar = hex::decode("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721").unwrap();
    let key = SigningKey { id: "k".into(), key: Private::Es256(p256::ecdsa::SigningKey::from_slice(&scalar).unwrap()) };
    let expected = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
        f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
    assert_eq!(hex::encode(key.sign(b"sample")), expected);
    let der = key.sign_for_dsse(b"sample").unwrap();
    assert_eq!(&der[..5], [0x30, 0x46, 0x02, 0x21, 0x00], "{der:x?}");
    assert!(key.verifying().verifies(b"sample", &der) && key.verifying().verifies(b"sample", &key.sign(b"sample")));
}

/// RFC 4231 has no case with a secret of at least 32 bytes that fits, so it is test case 6: 131 bytes of `aa`.
#[test]
fn hmac_is_that_of_the_rfc() {
    let key = SigningKey::from_secret("k", &[0xaa; 131]).unwrap();
    let expected = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
    assert_eq!(hex::encode(key.sign(b"Test Using Larger Than Block-Size Key - Hash Key First")), expected);
}

#[test]
fn every_kind_verifies_its_own_message_only() {
    for key in keys() {
        let (public, signature) = (key.verifying(), key.sign(b"a"));
        assert_eq!(key.sign(b"a"), signature, "the same for the same message");
        assert_eq!(signature.len(), key.signature_bytes());
        assert!(public.verifies(b"a", &signature), "{key:?}");
        assert!(!public.verifies(b"b", &signature) && !public.verifies(b"a", b"short") && !public.verifies(b"a", b""));
        for other in keys().iter().filter(|other| other.algorithm() != key.algorithm()) {
            assert!(!other.verifying().verifies(b"a", &signature), "{key:?} {other:?}");
        }
    }
}

#[test]
fn pem_round_trips_and_debug_hides_the_key() {
    for key in &keys()[..2] {
        let pem = key.to_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert_eq!(SigningKey::from_pem("k", &pem).unwrap().verifying(), key.verifying());
        let public = key.verifying().to_pem().unwrap();
        assert_eq!(VerifyingKey::from_pem("k", &public).unwrap(), key.verifying());
        assert!(SigningKey::from_pem("k", &public).is_err());
        assert!(VerifyingKey::from_pem("k", &pem).is_err());
    }
    assert_eq!(format!("{:?}", keys()[0]), "SigningKey { id: \"k\", algorithm: Ed25519, .. }");
    let secret = &keys()[2];
    assert!(secret.to_pem().is_err() && secret.verifying().to_pem().is_err() && !secret.verifying().is_public());
}

#[test]
fn keys_of_openssl_are_read_in_every_form() {
    let key = SigningKey::from_pem("k", PKCS8).unwrap();
    assert_eq!(key.algorithm(), Algorithm::Es256);
    assert_eq!(SigningKey::from_pem("k", SEC1).unwrap().verifying(), key.verifying());
    assert_eq!(key.verifying().to_pem().unwrap(), PUBLIC);
    let windows = PKCS8.replace('\n', "\r\n");
    assert_eq!(SigningKey::from_bytes("k", windows.as_bytes()).unwrap().verifying(), key.verifying());
}

#[test]
fn what_is_no_key_is_named() {
    let said = |text: &str| SigningKey::from_pem("k", text).unwrap_err().to_string();
    assert!(
        said("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n")
            .contains("encrypted")
    );
    assert!(said("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n").contains("'CERTIFICATE'"));
    assert!(said("hello").contains("no PEM"));
    assert!(said(P384).contains("'k'"), "{}", said(P384));
    assert!(said(&PKCS8[..80]).contains("'k'"));
    let short = SigningKey::from_bytes("k", &[1; 31]).unwrap_err();
    assert!(matches!(short, KeyError::Secret { found: 31, .. }), "{short}");
}

#[test]
fn a_file_may_hold_several_public_keys_or_one_secret() {
    let both = format!("old\n{PUBLIC}\nnew\n{}", keys()[0].verifying().to_pem().unwrap());
    let found = VerifyingKey::all_from_bytes("k", both.as_bytes()).unwrap();
    assert_eq!(found, [keys()[1].verifying(), keys()[0].verifying()]);
    let secret = [&[7_u8; 32][..], b"\n"].concat();
    assert_eq!(VerifyingKey::all_from_bytes("k", &secret).unwrap(), [keys()[2].verifying()]);
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let forged = SigningKey::from_secret("k", PUBLIC.as_bytes()).unwrap().sign(b"a");
    let known = VerifyingKey::all_from_bytes("k", PUBLIC.as_bytes()).unwrap();
    assert!(!known[0].verifies(b"a", &forged));
    assert!(SigningKey::from_bytes("k", PUBLIC.as_bytes()).is_err());

    use base64::Engine as _;
    let body: String = PUBLIC.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
    let utf16: Vec<u8> = PUBLIC.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin1 = [b"# cl\xe9\n", PUBLIC.as_bytes()].concat();
    let ssh = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKqP3sample somebody@example".to_vec();
    let hardware = b"sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t somebody".to_vec();
    let jwk = b"\n{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}".to_vec();
    let bare = PUBLIC.lines().filter(|line| !line.starts_with("-----")).collect::<Vec<_>>().join("\n").into_bytes();
    for form in [der, utf16, latin1, ssh, hardware, jwk, bare] {
        assert!(VerifyingKey::all_from_bytes("k", &form).is_err(), "{form:?}");
        assert!(SigningKey::from_bytes("k", &form).is_err(), "{form:?}");
    }
}

#[test]
fn secrets_that_begin_as_keys_do_are_secrets() {
    // '0' is the tag of a DER sequence, and '+' its length here.
    let text = format!("0+{}", "A".repeat(43));
    assert_eq!(VerifyingKey::all_from_bytes("k", text.as_bytes()).unwrap().len(), 1);
    assert!(SigningKey::from_bytes("k", format!("{text}\n").as_bytes()).is_ok());
}

proptest::proptest! {
    #[test]
    fn foreign_keys_and_signatures_never_panic(text in "(-----BEGIN (PUBLIC|PRIVATE|EC PRIVATE) KEY-----)?.{0,120}", bytes: Vec<u8>) {
        let _ = SigningKey::from_bytes("k", text.as_bytes());
        let _ = VerifyingKey::all_from_bytes("k", text.as_bytes());
        let _ = SigningKey::from_bytes("k", &bytes);
        for key in keys() {
            proptest::prop_assert!(!key.verifying().verifies(b"message", &bytes));
        }
    }
}
