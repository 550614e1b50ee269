use serde_json::json;

use super::*;
use crate::jose::{Algorithm, encode};
use crate::keys::PrivateKey;

/// RFC 9449, section 4.1.
const TOKEN_PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
/// RFC 9449, section 7.1.
const RESOURCE_PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
const ACCESS_TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
/// RFC 9449, section 6.1.
const THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

#[test]
fn the_proof_for_a_token_of_the_rfc() {
    let token = url("https://server.example.com/token");
    let expected = Expected { method: "POST", url: &token, token: None, now: at(1_562_262_616) };
    assert_eq!(check(TOKEN_PROOF, expected).unwrap().jkt, THUMBPRINT);
    for late in [1_562_262_616 + 60, 1_562_262_616 - 60] {
        check(TOKEN_PROOF, Expected { now: at(late), ..expected }).unwrap();
    }
    for late in [1_562_262_616 + 61, 1_562_262_616 - 61] {
        assert_eq!(check(TOKEN_PROOF, Expected { now: at(late), ..expected }), Err(DpopError::Time));
    }
    let wrong = check(TOKEN_PROOF, Expected { method: "GET", ..expected }).unwrap_err();
    assert!(matches!(wrong, DpopError::Other { claim: "htm", .. }));
    let elsewhere = url("https://server.example.com/other");
    let wrong = check(TOKEN_PROOF, Expected { url: &elsewhere, ..expected }).unwrap_err();
    assert!(matches!(wrong, DpopError::Other { claim: "htu", .. }));
}

#[test]
fn the_proof_for_a_resource_of_the_rfc() {
    let resource = url("https://resource.example.org/protectedresource?page=2#x");
    let expected = Expected { method: "GET", url: &resource, token: Some(ACCESS_TOKEN), now: at(1_562_262_618) };
    assert_eq!(ath(ACCESS_TOKEN), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
    assert_eq!(check(RESOURCE_PROOF, expected).unwrap().jkt, THUMBPRINT);
    let wrong = check(RESOURCE_PROOF, Expected { token: Some("another"), ..expected }).unwrap_err();
    assert!(matches!(wrong, DpopError::Other { claim: "ath", .. }));
}

#[test]
fn one_byte_more_or_less_breaks_the_proof_of_the_rfc() {
    let token = url("https://server.example.com/token");
    let expected = Expected { method: "POST", url: &token, token: None, now: at(1_562_262_616) };
    for cut in [1, 40, 200, 400, TOKEN_PROOF.len() - 1] {
        let mut changed = TOKEN_PROOF.to_owned();
        let other = if &changed[cut..=cut] == "A" { "B" } else { "A" };
        changed.replace_range(cut..=cut, other);
        // The last character carries bits that no byte has.
        if cut != TOKEN_PROOF.len() - 1 {
            assert!(check(&changed, expected).is_err(), "{cut}");
        }
        assert!(check(&TOKEN_PROOF[..cut], expected).is_err());
    }
}

fn proof(header: &Value, claims: &Value, key: &PrivateKey) -> String {
    jose::sign_header(key, header, claims.to_string().as_bytes()).unwrap()
}

#[test]
fn other_types_keys_and_claims_are_refused() {
    let key = PrivateKey::generate(Algorithm::EdDsa).unwrap();
    let here = url("https://s.example/scan");
    let expected = Expected { method: "POST", url: &here, token: None, now: at(1000) };
    let header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": key.public().required()});
    let claims = json!({"jti": "a", "htm": "POST", "htu": "https://s.example/scan", "iat": 1000.5});
    check(&proof(&header, &claims, &key), expected).unwrap();

    let with = |of: &Value, name: &str, value: Value| {
        let mut changed = of.clone();
        changed[name] = value;
        changed
    };
    let mut private = key.public().required();
    private["d"] = json!(encode(&[0; 32]));
    let other = PrivateKey::generate(Algorithm::EdDsa).unwrap();
    for header in [
        with(&header, "typ", json!("jwt")),
        with(&header, "typ", json!(null)),
        with(&header, "alg", json!("none")),
        with(&header, "alg", json!("HS256")),
        with(&header, "alg", json!("ES256")),
        with(&header, "jwk", json!(private)),
        with(&header, "jwk", json!(other.public().required())),
        with(&header, "jwk", json!(null)),
        with(&header, "crit", json!(["x"])),
    ] {
        assert!(check(&proof(&header, &claims, &key), expected).is_err(), "{header}");
    }
    for claims in [
        with(&claims, "jti", json!("")),
        with(&claims, "jti", json!("x".repeat(257))),
        with(&claims, "jti", json!(7)),
        with(&claims, "htm", json!("post")),
        with(&claims, "htu", json!("/scan")),
        with(&claims, "htu", json!("http://s.example/scan")),
        with(&claims, "iat", json!("1000")),
        with(&claims, "iat", json!(-1)),
        with(&claims, "iat", json!(1e300)),
    ] {
        assert!(check(&proof(&header, &claims, &key), expected).is_err(), "{claims}");
    }
}

#[test]
fn urls_are_compared_in_one_spelling() {
    let same = [
        ("https://S.example:443/a%7Eb", "https://s.example/a~b"),
        ("https://s.example/%e4", "https://s.example/%E4"),
        ("https://s.example/a/../b", "https://s.example/b"),
        ("https://s.example", "https://s.example/?x#y"),
    ];
    for (a, b) in same {
        assert_eq!(target(&url(a)), target(&url(b)));
    }
    assert_ne!(target(&url("https://s.example/a%2Fb")), target(&url("https://s.example/a/b")));
    assert_ne!(target(&url("https://s.example:8443/")), target(&url("https://s.example/")));
}
