//! Where a request comes from, and the URL its client sees.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;
use stella_service::traceparent;
use url::Url;

use crate::settings::Settings;

/// The parts of a request that decide who is asking.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its method.
    pub method: &'a str,
    /// Its path.
    pub path: &'a str,
    /// The other end of the connection.
    pub peer: Option<IpAddr>,
}

impl Asking<'_> {
    /// The trace of the request (W3C Trace Context).
    #[must_use]
    pub fn trace(&self) -> Option<String> {
        let given = self.headers.get("traceparent").and_then(|value| value.to_str().ok());
        given.filter(|given| traceparent::parts(given).is_some()).map(str::to_owned)
    }

    /// The address of the client: of the connection, or what trusted proxies say; none where they say what is no address.
    #[must_use]
    pub fn remote(&self, settings: &Settings) -> Option<IpAddr> {
        let peer = canonical(self.peer?);
        if !within(&settings.trusted_proxies, peer) {
            return Some(peer);
        }
        // Each proxy appends whom it saw: from the end, the first one that is no proxy of ours.
        let mut hops = Vec::new();
        for value in self.headers.get_all("x-forwarded-for") {
            hops.extend(value.to_str().unwrap_or_default().split(',').map(|hop| hop.trim().parse::<IpAddr>()));
        }
        for hop in hops.into_iter().rev() {
            match hop.map(canonical) {
                Ok(hop) if within(&settings.trusted_proxies, hop) => {}
                Ok(hop) => return Some(hop),
                // Not the proxy's own address, which may be let in without a token.
                Err(_) => return None,
            }
        }
        Some(peer)
    }

    /// The URL of the request as its client sees it: of the settings, of trusted proxies, or of the request.
    #[must_use]
    pub fn url(&self, settings: &Settings) -> Option<Url> {
        let base = match &settings.external_url {
            Some(url) => url.clone(),
            None => self.own_url(settings)?,
        };
        base.join(self.path).ok().filter(|url| url.host() == base.host())
    }

    fn own_url(&self, settings: &Settings) -> Option<Url> {
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let trusted = self.peer.is_some_and(|peer| within(&settings.trusted_proxies, canonical(peer)));
        let forwarded =
            |name| header(name).filter(|_| trusted).and_then(|value| value.split(',').next()).map(str::trim);
        let scheme = forwarded("x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https"));
        let host = forwarded("x-forwarded-host").or_else(|| header("host"))?;
        Url::parse(&format!("{}://{host}/", scheme.unwrap_or("http"))).ok()
    }
}

/// Whether `address` is in one of `networks`.
#[must_use]
pub fn within(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// An IPv4 address that came over a socket for both is an IPv4 address.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusting = Settings { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..Settings::default() };
        let headers = headers(&[
            ("host", "operator:8080"),
            ("x-forwarded-for", "6.6.6.6, 192.0.2.7, 10.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "stella.example"),
        ]);
        let from = |peer: &str| Asking { headers: &headers, method: "GET", path: "/scan", peer: peer.parse().ok() };
        assert_eq!(from("10.2.2.2").remote(&trusting), "192.0.2.7".parse().ok());
        assert_eq!(from("::ffff:10.2.2.2").remote(&trusting), "192.0.2.7".parse().ok());
        assert_eq!(from("192.0.2.9").remote(&trusting), "192.0.2.9".parse().ok());
        assert_eq!(from("10.2.2.2").url(&trusting).unwrap().as_str(), "https://stella.example/scan");
        assert_eq!(from("192.0.2.9").url(&trusting).unwrap().as_str(), "http://operator:8080/scan");
        let odd = self::headers(&[("x-forwarded-for", "1.2.3.4:5")]);
        let asking = Asking { headers: &odd, method: "GET", path: "/scan", peer: "10.2.2.2".parse().ok() };
        assert_eq!(asking.remote(&trusting), None, "nobody is not the proxy");
        let named = Settings { external_url: Url::parse("https://s.example").ok(), ..trusting };
        assert_eq!(from("192.0.2.9").url(&named).unwrap().as_str(), "https://s.example/scan");
        let odd = Asking { path: "//evil.example/scan", ..from("192.0.2.9") };
        assert_eq!(odd.url(&named), None);
    }
}
