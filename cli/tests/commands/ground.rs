//! A server that policies are tried on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::delta::Operator;
use crate::support::{Work, stellopsctl};

pub const BLOCK_CRITICAL: &str =
    "version: \"1.0\"\ndescription: first\nrules:\n- {name: no criticals, severity: [Critical], action: block}\n";
pub const WARN_ALL: &str = "version: \"1.0\"\nrules:\n- {name: look, action: warn}\n";

/// A server with the tiny feeds and one image of them.
pub struct Ground {
    pub work: Work,
    pub operator: Operator,
    pub digest: String,
    pub scan: String,
}

impl Ground {
    pub fn new() -> Self {
        Self::with(Work::new(), &[])
    }

    /// One whose server has further flags.
    pub fn with(work: Work, flags: &[&str]) -> Self {
        let operator = Operator::start_with(&work, flags);
        let bom = std::fs::read(work.path("bom.json")).unwrap();
        let (status, result) = operator.call("POST", "/scan?sbom-only=true", &[], &bom);
        assert_eq!(status, 200, "{result}");
        let text = |name: &str| result[name].as_str().unwrap().to_owned();
        let ground = Self { digest: text("digest"), scan: text("scanId"), work, operator };
        ground.becomes("pass");
        ground
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let headers = [("content-type", "application/json"), ("x-stella-tenant", "tenant-default")];
        self.operator.call("POST", path, &headers, body.to_string().as_bytes())
    }

    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.operator.call("GET", path, &[("x-stella-tenant", "tenant-default")], b"");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub fn import(&self, text: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut all = vec![("content-type", "application/yaml")];
        all.extend(headers);
        self.operator.call("POST", "/policy/import", &all, text.as_bytes())
    }

    /// `pass`, `warn` or `fail`, as the runtime API says; `error` until the image was judged.
    pub fn verdict(&self) -> String {
        self.runtime()["policyVerdict"].as_str().unwrap().to_owned()
    }

    pub fn runtime(&self) -> Value {
        let (status, body) =
            self.post("/api/v1/scanner/policy/runtime", &json!({"namespace": "shop", "images": [self.digest]}));
        assert_eq!(status, 200, "{body}");
        body["results"][&self.digest].clone()
    }

    /// Waits until the runtime API says so.
    pub fn becomes(&self, wanted: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.verdict() != wanted {
            assert!(Instant::now() < end, "it stays {}", self.verdict());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes a `Policy` where the server looks for objects.
    pub fn policy(&self, name: &str, spec: &str) {
        let object = format!(
            "apiVersion: stella-ops.org/v1alpha1\nkind: Policy\nmetadata: {{name: {name}, namespace: stella-system}}\nspec:\n"
        );
        let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
        self.work.write(&format!("manifests/{name}.yaml"), object + &spec);
    }

    /// Waits until the status of a `Policy` is so; what is awaited is asked of its text.
    pub fn status(&self, name: &str, holds: impl Fn(&str) -> bool) -> String {
        let path = self.work.path(&format!("manifests/policy.stella-system.{name}.status.yaml"));
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let status = std::fs::read_to_string(&path).unwrap_or_default();
            if holds(&status) {
                return status;
            }
            assert!(Instant::now() < end, "the status of {name} stays\n{status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn ctl(&self, args: &[&str]) -> crate::support::Ran {
        let mut all = vec!["--server", self.operator.address.as_str()];
        all.extend(args);
        stellopsctl(&all)
    }

    pub fn finding(&self, advisory: &str) -> Value {
        let page = self.get(&format!("/api/v1/scans/{}/findings", self.scan));
        page["items"].as_array().unwrap().iter().find(|f| f["advisoryId"] == advisory).unwrap().clone()
    }
}
