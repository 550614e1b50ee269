//! What a request to S3 is signed with ("Signature Version 4", Amazon S3 API Reference, "Authenticating Requests").

use std::fmt;

use ring::hmac;
use stella_domain::{Digest, Timestamp};

/// Who asks.
#[derive(Clone)]
pub struct Credentials {
    /// The key's id.
    pub id: String,
    /// The key.
    pub secret: String,
    /// Of keys for a time: their token.
    pub token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A request as far as its signature covers it.
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a str,
    /// The host, with a port that is not the scheme's.
    pub(crate) host: &'a str,
    /// The path as it is sent.
    pub(crate) path: &'a str,
    /// The query as it is sent; it may be empty.
    pub(crate) query: &'a str,
    /// SHA-256 of the body.
    pub(crate) body: &'a Digest,
    pub(crate) region: &'a str,
    pub(crate) at: Timestamp,
}

impl Signed<'_> {
    /// The headers that a request needs beside `host`.
    pub(crate) fn headers(&self, credentials: &Credentials) -> Vec<(&'static str, String)> {
        let (at, body) = (basic(self.at), self.body.hex());
        let mut headers = vec![("x-amz-content-sha256", body.clone()), ("x-amz-date", at.clone())];
        headers.extend(credentials.token.iter().map(|token| ("x-amz-security-token", token.clone())));
        let mut lines = format!("host:{}\n", self.host);
        let mut names = "host".to_owned();
        for (name, value) in &headers {
            lines.push_str(&format!("{name}:{value}\n"));
            names.push_str(&format!(";{name}"));
        }
        let request = format!("{}\n{}\n{}\n{lines}\n{names}\n{body}", self.method, self.path, self.query);
        let (day, region) = (&at[..8], self.region);
        let scope = format!("{day}/{region}/s3/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{}", Digest::of(request).hex());
        let first = format!("AWS4{}", credentials.secret).into_bytes();
        let key = [day, region, "s3", "aws4_request"].into_iter().fold(first, |key, part| mac(&key, part));
        let signature = hex::encode(mac(&key, &text));
        let id = &credentials.id;
        let all = format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        headers.push(("authorization", all));
        headers
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// An instant in the basic format of ISO 8601, to the second.
fn basic(at: Timestamp) -> String {
    let seconds = at.to_string().chars().take(19).filter(char::is_ascii_alphanumeric).collect::<String>();
    format!("{seconds}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference's example "GET Bucket Lifecycle".
    #[test]
    fn a_signature_is_that_of_the_reference() {
        let credentials = Credentials {
            id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            token: None,
        };
        let signed = Signed {
            method: "GET",
            host: "examplebucket.s3.amazonaws.com",
            path: "/",
            query: "lifecycle=",
            body: &Digest::of(""),
            region: "us-east-1",
            at: "2013-05-24T00:00:00Z".parse().unwrap(),
        };
        let headers = signed.headers(&credentials);
        let (_, authorization) = headers.last().unwrap();
        assert_eq!(
            authorization,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date, \
             Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        assert!(!format!("{credentials:?}").contains("wJalr"));
    }
}
