//! Which scope each route needs.

use super::Scope;

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: anybody may ask.
    Nothing,
    /// This scope.
    Scope(Scope),
    /// The bootstrap key.
    BootstrapKey,
}

/// Every route by method and path, in the order of paths. A `/*` at the end stands for any rest.
pub const ROUTES: &[(&str, &str, Need)] = &[
    ("GET", "/.well-known/openid-configuration", Need::Nothing),
    ("*", "/api/v1/admin/*", Need::Scope(Scope::Admin)),
    ("GET", "/api/v1/admission/decisions", Need::Scope(Scope::ConsoleRead)),
    ("POST", "/api/v1/admission/decisions", Need::Scope(Scope::RuntimePolicy)),
    ("GET", "/api/v1/admission/verdicts", Need::Scope(Scope::RuntimePolicy)),
    ("GET", "/api/v1/feeds", Need::Scope(Scope::Jobs)),
    ("POST", "/api/v1/inventories", Need::Scope(Scope::ScansEnqueue)),
    ("GET", "/api/v1/nodes", Need::Scope(Scope::ConsoleRead)),
    ("POST", "/api/v1/nodes/{node}/status", Need::Scope(Scope::RuntimeIngest)),
    ("GET", "/api/v1/nodes/{node}/work", Need::Scope(Scope::RuntimeIngest)),
    ("*", "/api/v1/policy/*", Need::Scope(Scope::Reports)),
    ("*", "/api/v1/reports", Need::Scope(Scope::Reports)),
    ("*", "/api/v1/reports/*", Need::Scope(Scope::Reports)),
    ("GET", "/api/v1/runtime/events", Need::Scope(Scope::ConsoleRead)),
    ("POST", "/api/v1/runtime/events", Need::Scope(Scope::RuntimeIngest)),
    ("POST", "/api/v1/scanner/policy/runtime", Need::Scope(Scope::RuntimePolicy)),
    ("POST", "/api/v1/scans", Need::Scope(Scope::ScansEnqueue)),
    ("DELETE", "/api/v1/scans/{id}", Need::Scope(Scope::ScansEnqueue)),
    ("GET", "/api/v1/scans/*", Need::Scope(Scope::ScansRead)),
    ("GET", "/api/v1/waivers", Need::Scope(Scope::PolicyRead)),
    ("GET", "/api/v1/waivers/*", Need::Scope(Scope::PolicyRead)),
    ("*", "/api/v1/waivers", Need::Scope(Scope::PolicyWrite)),
    ("*", "/api/v1/waivers/*", Need::Scope(Scope::PolicyWrite)),
    ("POST", "/attest", Need::Scope(Scope::AttestWrite)),
    ("GET", "/attest/*", Need::Scope(Scope::AttestRead)),
    ("POST", "/connect/token", Need::Nothing),
    ("GET", "/console/*", Need::Scope(Scope::ConsoleRead)),
    ("*", "/console/*", Need::Scope(Scope::ConsoleWrite)),
    ("GET", "/export-center/*", Need::Scope(Scope::ExportRead)),
    ("*", "/export-center/*", Need::Scope(Scope::ExportWrite)),
    ("*", "/internal/*", Need::BootstrapKey),
    ("*", "/jobs", Need::Scope(Scope::Jobs)),
    ("*", "/jobs/*", Need::Scope(Scope::Jobs)),
    ("GET", "/jwks", Need::Nothing),
    ("POST", "/layers/missing", Need::Scope(Scope::ScansEnqueue)),
    ("GET", "/openapi/v1.json", Need::Nothing),
    ("GET", "/openapi/v1.yaml", Need::Nothing),
    ("GET", "/policy/export", Need::Scope(Scope::PolicyRead)),
    ("GET", "/policy/history", Need::Scope(Scope::PolicyRead)),
    ("POST", "/policy/import", Need::Scope(Scope::PolicyWrite)),
    ("POST", "/policy/rollback", Need::Scope(Scope::PolicyWrite)),
    ("POST", "/policy/validate", Need::Scope(Scope::PolicyRead)),
    ("POST", "/scan", Need::Scope(Scope::ScansEnqueue)),
    ("POST", "/token/offline", Need::Scope(Scope::Admin)),
];

/// What a request needs, by its method and path. `None` for a path that the table does not know.
#[must_use]
pub fn need(method: &str, path: &str) -> Option<Need> {
    // HEAD is answered by the handlers of GET.
    let method = if method == "HEAD" { "GET" } else { method };
    let found = ROUTES.iter().find(|(of, pattern, _)| (*of == "*" || *of == method) && matches(pattern, path));
    found.map(|(_, _, need)| *need)
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (Some("*"), Some(rest)) => return !rest.is_empty(),
            (Some(wanted), Some(given)) if wanted == given || (wanted.starts_with('{') && !given.is_empty()) => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_found_by_method_and_pattern() {
        assert_eq!(need("POST", "/scan"), Some(Need::Scope(Scope::ScansEnqueue)));
        assert_eq!(need("GET", "/api/v1/scans/abc/events"), Some(Need::Scope(Scope::ScansRead)));
        assert_eq!(need("DELETE", "/api/v1/scans/abc"), Some(Need::Scope(Scope::ScansEnqueue)));
        assert_eq!(need("HEAD", "/api/v1/scans/abc"), Some(Need::Scope(Scope::ScansRead)));
        assert_eq!(need("GET", "/export-center/runs/1"), Some(Need::Scope(Scope::ExportRead)));
        assert_eq!(need("POST", "/export-center/runs"), Some(Need::Scope(Scope::ExportWrite)));
        assert_eq!(need("POST", "/internal/signing/rotate"), Some(Need::BootstrapKey));
        for unknown in ["/", "/scan/", "/scans", "/api/v1/scans/", "/policy/export/x", "/console"] {
            assert_eq!(need("GET", unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_pattern_of_the_router_needs_what_its_requests_need() {
        assert_eq!(need("GET", "/api/v1/nodes/{node}/work"), need("GET", "/api/v1/nodes/n1/work"));
    }
}
