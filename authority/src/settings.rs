//! The authority's settings, as a YAML file holds them.

mod text;

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;
use stella_domain::Tenant;
use url::Url;

use crate::jose::Algorithm;
use crate::password::PasswordPolicy;
use crate::scope::Scopes;
use crate::tenants::Tenants;

/// The longest settings file, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// How the authority works.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// Whether callers have to show who they are.
    pub enabled: bool,
    /// Who calls without a token is let in, too. Said loudly.
    pub allow_anonymous_fallback: bool,
    /// Another issuer of tokens, besides the embedded one.
    pub issuer: Option<ExternalIssuer>,
    /// The URL clients see, without a path: the name of the embedded issuer, and what proofs are compared with.
    #[serde(deserialize_with = "text::maybe")]
    pub external_url: Option<Url>,
    /// The name of the API in `aud`.
    pub audience: String,
    /// Scans a day that an offline token allows where nothing else is asked for.
    pub max_scans_per_day: u32,
    /// What new keys are for.
    pub algorithm: Algorithm,
    /// What passwords must have.
    pub password_policy: PasswordPolicy,
    /// Networks that may skip authentication.
    #[serde(deserialize_with = "text::each")]
    pub bypass_networks: Vec<IpNet>,
    /// Proxies whose `X-Forwarded-*` headers are believed.
    #[serde(deserialize_with = "text::each")]
    pub trusted_proxies: Vec<IpNet>,
    /// Service accounts of the cluster that may ask for tokens, and for which. The first entry that fits counts.
    pub service_accounts: Vec<AccountRule>,
}

/// An OpenID provider whose tokens are accepted.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalIssuer {
    /// Its name, which is also where its discovery document lies.
    #[serde(deserialize_with = "text::one")]
    pub url: Url,
    /// `aud` of the tokens it issues for us; the authority's own `audience` when absent.
    #[serde(default)]
    pub audience: Option<String>,
    /// For whom tokens without a claim `tenants` may speak; for nobody when empty.
    #[serde(default)]
    pub tenants: Vec<Tenant>,
    /// Seconds that keys are used beyond their lifetime while the issuer does not answer.
    #[serde(default = "ten_minutes")]
    pub offline_cache_tolerance: u32,
    /// Seconds that keys are used where the issuer does not say how long.
    #[serde(default = "ten_minutes")]
    pub cache_seconds: u32,
}

fn ten_minutes() -> u32 {
    600
}

/// What a service account may ask for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountRule {
    /// `namespace/name`, or `namespace/*`.
    pub account: String,
    /// Its rights.
    pub scopes: Scopes,
    /// For whom it may speak.
    #[serde(default)]
    pub tenants: Tenants,
}

impl AccountRule {
    /// Whether the rule is about `account`, which is `namespace/name`.
    #[must_use]
    pub fn fits(&self, account: &str) -> bool {
        match self.account.strip_suffix("/*") {
            Some(namespace) => account.split_once('/').is_some_and(|(of, _)| of == namespace),
            None => self.account == account,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            allow_anonymous_fallback: false,
            issuer: None,
            external_url: None,
            audience: "stella-ops".to_owned(),
            max_scans_per_day: 1000,
            algorithm: Algorithm::Es256,
            password_policy: PasswordPolicy::default(),
            bypass_networks: Vec::new(),
            trusted_proxies: Vec::new(),
            service_accounts: Vec::new(),
        }
    }
}

/// Why a settings file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("authority settings '{path}': {reason}")]
pub struct SettingsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
}

impl Settings {
    /// Reads the YAML file `path`. An unknown key is an error.
    ///
    /// # Errors
    /// Names the file and the place in it.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let wrong = |reason: String| SettingsError { path: path.to_owned(), reason };
        let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(wrong(format!("it is longer than {MAX_BYTES} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&text).map_err(wrong)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let settings: Self = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        if let Some(url) = &settings.external_url
            && (!matches!(url.scheme(), "http" | "https") || url.path() != "/" || url.query().is_some())
        {
            return Err("externalUrl: expected https:// and a host, without a path".to_owned());
        }
        Ok(settings)
    }

    /// The name of the embedded issuer.
    #[must_use]
    pub fn own_issuer(&self) -> String {
        match &self.external_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => "http://localhost:8080".to_owned(),
        }
    }

    /// What has to be said loudly at start, of the file `source`.
    #[must_use]
    pub fn warnings(&self, source: &str) -> Vec<String> {
        let mut warnings: Vec<String> = (self.password_policy.weaknesses().into_iter())
            .map(|(key, what)| format!("{source}: {key} weakens the password policy: {what}"))
            .collect();
        if self.enabled && self.allow_anonymous_fallback {
            warnings.push(format!("{source}: allowAnonymousFallback lets callers in without a token"));
        }
        if !self.enabled {
            warnings.push(format!("{source}: enabled is false: everybody is let in without a token"));
        }
        if !self.bypass_networks.is_empty() {
            let names: Vec<String> = self.bypass_networks.iter().map(ToString::to_string).collect();
            warnings.push(format!("{source}: bypassNetworks lets callers of {} in without a token", names.join(", ")));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_name_the_file_and_the_key() {
        let text = "passwordPolicy: {minimumLength: 8}\nbypassNetworks: [10.0.0.0/8]\nallowAnonymousFallback: true\n";
        let warnings = Settings::parse(text).unwrap().warnings("/etc/stella/authority.yaml");
        assert_eq!(
            warnings,
            [
                "/etc/stella/authority.yaml: passwordPolicy.minimumLength weakens the password policy: 8 is below 12",
                "/etc/stella/authority.yaml: allowAnonymousFallback lets callers in without a token",
                "/etc/stella/authority.yaml: bypassNetworks lets callers of 10.0.0.0/8 in without a token",
            ]
        );
        assert!(Settings::default().warnings("x").is_empty());
    }

    #[test]
    fn unknown_keys_and_odd_urls_are_errors() {
        assert!(Settings::parse("pasword: 1").is_err());
        assert!(Settings::parse("externalUrl: https://s.example/stella").is_err());
        assert!(Settings::parse("externalUrl: https://s.example").is_ok());
        let rules = "serviceAccounts: [{account: stella-system/*, scopes: [scanner.runtime.ingest], tenants: ['*']}]";
        let rule = Settings::parse(rules).unwrap().service_accounts.remove(0);
        assert!(
            rule.fits("stella-system/agent") && !rule.fits("stella-systemx/agent") && !rule.fits("x/stella-system")
        );
        assert_eq!(rule.tenants, Tenants::All);
    }
}
