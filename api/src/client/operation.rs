//! What is asked of the server: every method and path in one list.

use reqwest::Method;

use crate::token::encoded;

macro_rules! operations {
    ($($name:ident = $method:ident $path:literal;)*) => {
        /// An operation of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Operation {
            $($name,)*
        }

        impl Operation {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name,)*];

            pub(super) fn method(self) -> Method {
                match self {
                    $(Self::$name => Method::$method,)*
                }
            }

            /// As the OpenAPI document has it, with the names of parameters in braces.
            const fn path(self) -> &'static str {
                match self {
                    $(Self::$name => $path,)*
                }
            }
        }
    };
}

operations! {
    AttachReport = POST "/api/v1/reports/{id}/referrers";
    ChangeClient = PATCH "/api/v1/admin/clients/{id}";
    ChangeUser = PATCH "/api/v1/admin/users/{name}";
    Clients = GET "/api/v1/admin/clients";
    ConsoleFindings = GET "/console/vuln/findings";
    CreateClient = POST "/api/v1/admin/clients";
    CreateReport = POST "/api/v1/reports";
    CreateUser = POST "/api/v1/admin/users";
    Decisions = GET "/api/v1/admission/decisions";
    EnqueueScan = POST "/api/v1/scans";
    ExportPolicy = GET "/policy/export";
    Feeds = GET "/api/v1/feeds";
    GiveToken = POST "/connect/token";
    ImportPolicy = POST "/policy/import";
    KeepDecisions = POST "/api/v1/admission/decisions";
    MissingLayers = POST "/layers/missing";
    NewSecret = POST "/api/v1/admin/clients/{id}/secret";
    Nodes = GET "/api/v1/nodes";
    NodeWork = GET "/api/v1/nodes/{node}/work";
    OfflineToken = POST "/token/offline";
    PolicyHistory = GET "/policy/history";
    PolicyImpact = POST "/api/v1/policy/impact";
    PolicyVerdicts = POST "/api/v1/policy/verdicts";
    Readiness = GET "/readyz";
    ReportKeys = GET "/api/v1/reports/keys";
    RollBackPolicy = POST "/policy/rollback";
    RuntimePolicy = POST "/api/v1/scanner/policy/runtime";
    Scan = POST "/scan";
    ScanBom = GET "/api/v1/scans/{id}/sbom";
    ScanFindings = GET "/api/v1/scans/{id}/findings";
    ScanState = GET "/api/v1/scans/{id}";
    SendEvents = POST "/api/v1/runtime/events";
    SendInventory = POST "/api/v1/inventories";
    TellStatus = POST "/api/v1/nodes/{node}/status";
    Tenants = GET "/api/v1/admin/tenants";
    Users = GET "/api/v1/admin/users";
    Verdicts = GET "/api/v1/admission/verdicts";
    Version = GET "/version";
}

impl Operation {
    /// Its path with `parameters`, in their order there, each as one part whatever is in it.
    pub(super) fn at(self, parameters: &[&str]) -> String {
        let mut given = parameters.iter();
        let mut path = String::new();
        for part in self.path().split('/').skip(1) {
            path.push('/');
            match part.strip_prefix('{').and_then(|_| given.next()) {
                Some(parameter) => path.push_str(&encoded(parameter)),
                None => path.push_str(part),
            }
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const OPENAPI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api/openapi.json");

    #[test]
    fn the_document_has_every_operation() {
        let document: Value = serde_json::from_slice(&std::fs::read(OPENAPI).unwrap()).unwrap();
        for operation in Operation::ALL {
            let method = operation.method().as_str().to_ascii_lowercase();
            let described = &document["paths"][operation.path()][&method];
            assert!(described.is_object(), "{method} {} is not in {OPENAPI}", operation.path());
        }
    }

    #[test]
    fn a_parameter_stays_one_part_of_the_path() {
        assert_eq!(Operation::NewSecret.at(&["ci"]), "/api/v1/admin/clients/ci/secret");
        assert_eq!(Operation::ChangeUser.at(&["a/b?c#d e"]), "/api/v1/admin/users/a%2Fb%3Fc%23d%20e");
        assert_eq!(Operation::Feeds.at(&[]), "/api/v1/feeds");
    }
}
