//! Which scheme an ecosystem has (OSV schema, "Defined Ecosystems").

use super::Scheme;

impl Scheme {
    /// Every ecosystem that has an order here, without release suffix.
    pub const ECOSYSTEMS: [(&str, Self); 47] = [
        ("AlmaLinux", Self::Rpm),
        ("Alpaquita", Self::Apk),
        ("Alpine", Self::Apk),
        ("Amazon Linux", Self::Rpm),
        ("Azure Linux", Self::Rpm),
        ("BellSoft Hardened Containers", Self::Apk),
        ("Bioconductor", Self::Numbers),
        ("Bitnami", Self::Semver),
        ("CentOS", Self::Rpm),
        ("Chainguard", Self::Apk),
        ("CleanStart", Self::Apk),
        ("ConanCenter", Self::Conan),
        ("CRAN", Self::Numbers),
        ("crates.io", Self::Semver),
        ("Debian", Self::Deb),
        ("Echo", Self::Deb),
        ("Fedora", Self::Rpm),
        ("GHC", Self::Numbers),
        ("GitHub Actions", Self::Semver),
        ("Go", Self::Go),
        ("Hackage", Self::Numbers),
        ("Hex", Self::Semver),
        ("Julia", Self::Semver),
        ("Kubernetes", Self::Semver),
        ("Linux", Self::Semver),
        ("Mageia", Self::Rpm),
        ("Maven", Self::Maven),
        ("MinimOS", Self::Apk),
        ("npm", Self::Semver),
        ("NuGet", Self::NuGet),
        ("opam", Self::Opam),
        ("openEuler", Self::Rpm),
        ("openSUSE", Self::Rpm),
        ("Oracle Linux", Self::Rpm),
        ("Packagist", Self::Packagist),
        ("Photon OS", Self::Rpm),
        ("Pub", Self::SemverBuild),
        ("PyPI", Self::Pep440),
        ("Red Hat", Self::Rpm),
        ("Rocky Linux", Self::Rpm),
        ("rpm", Self::Rpm),
        ("RubyGems", Self::RubyGems),
        ("SUSE", Self::Rpm),
        ("SwiftURL", Self::Semver),
        ("Ubuntu", Self::Deb),
        ("VSCode", Self::Semver),
        ("Wolfi", Self::Apk),
    ];

    /// The scheme of an OSV ecosystem, with or without release suffix; `None` where there is no order, as for `GIT`,
    /// `OSS-Fuzz` and `Android`, or none is known here.
    #[must_use]
    pub fn of_ecosystem(ecosystem: &str) -> Option<Self> {
        let (name, suffix) = ecosystem.split_once(':').unwrap_or((ecosystem, ""));
        match name {
            // Rebuilt packages of another ecosystem, which the suffix names.
            "Root" if !suffix.starts_with("Root") => Self::of_ecosystem(suffix),
            _ => Self::ECOSYSTEMS.iter().find(|(known, _)| *known == name).map(|(_, scheme)| *scheme),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_do_not_change_the_scheme() {
        for (ecosystem, scheme) in [
            ("Debian:12", Scheme::Deb),
            ("Ubuntu:22.04:LTS", Scheme::Deb),
            ("Ubuntu:Pro:16.04:LTS", Scheme::Deb),
            ("Alpine:v3.18", Scheme::Apk),
            ("Wolfi", Scheme::Apk),
            ("Chainguard", Scheme::Apk),
            ("Red Hat:enterprise_linux:9::baseos", Scheme::Rpm),
            ("AlmaLinux:9", Scheme::Rpm),
            ("Rocky Linux:8", Scheme::Rpm),
            ("SUSE:Linux Enterprise Server 15 SP5", Scheme::Rpm),
            ("openSUSE:Leap 15.5", Scheme::Rpm),
            ("Mageia:9", Scheme::Rpm),
            ("Photon OS:4.0", Scheme::Rpm),
            ("Azure Linux:3", Scheme::Rpm),
            ("openEuler:22.03-LTS", Scheme::Rpm),
            ("Bioconductor:3.18", Scheme::Numbers),
            ("Maven:https://repo1.example/maven2", Scheme::Maven),
            ("Root:Alpine:3.18", Scheme::Apk),
            ("Root:PyPI", Scheme::Pep440),
            ("Bitnami", Scheme::Semver),
            ("SwiftURL", Scheme::Semver),
            ("ConanCenter", Scheme::Conan),
        ] {
            assert_eq!(Scheme::of_ecosystem(ecosystem), Some(scheme), "{ecosystem}");
        }
        for ecosystem in ["GIT", "OSS-Fuzz", "Android", "Android:13", "", "Root", "Root:Root:PyPI", "No Such:1"] {
            assert_eq!(Scheme::of_ecosystem(ecosystem), None, "{ecosystem}");
        }
    }
}
