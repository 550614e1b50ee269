//! Which scheme an ecosystem has (OSV schema, "Defined Ecosystems").

use super::Scheme;

impl Scheme {
    /// The scheme of an OSV ecosystem, with or without release suffix; `None` where there is no order, as for `GIT`,
    /// `OSS-Fuzz` and `Android`, or none is known here.
    #[must_use]
    pub fn of_ecosystem(ecosystem: &str) -> Option<Self> {
        let (name, suffix) = ecosystem.split_once(':').unwrap_or((ecosystem, ""));
        Some(match name {
            "Debian" | "Ubuntu" | "Echo" => Self::Deb,
            "Alpine"
            | "Alpaquita"
            | "BellSoft Hardened Containers"
            | "Chainguard"
            | "CleanStart"
            | "MinimOS"
            | "Wolfi" => Self::Apk,
            "AlmaLinux" | "Amazon Linux" | "Azure Linux" | "CentOS" | "Fedora" | "Mageia" | "openEuler"
            | "openSUSE" | "Oracle Linux" | "Photon OS" | "Red Hat" | "Rocky Linux" | "rpm" | "SUSE" => Self::Rpm,
            "PyPI" => Self::Pep440,
            "Go" => Self::Go,
            "Maven" => Self::Maven,
            "RubyGems" => Self::RubyGems,
            "NuGet" => Self::NuGet,
            "Packagist" => Self::Packagist,
            "Pub" | "ConanCenter" => Self::SemverBuild,
            "CRAN" | "Bioconductor" | "Hackage" | "GHC" => Self::Numbers,
            "opam" => Self::Opam,
            "npm" | "crates.io" | "SwiftURL" | "Hex" | "Bitnami" | "GitHub Actions" | "Julia" | "Kubernetes"
            | "Linux" | "VSCode" => Self::Semver,
            // Rebuilt packages of another ecosystem, which the suffix names.
            "Root" if !suffix.starts_with("Root") => return Self::of_ecosystem(suffix),
            _ => return None,
        })
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
        ] {
            assert_eq!(Scheme::of_ecosystem(ecosystem), Some(scheme), "{ecosystem}");
        }
        for ecosystem in ["GIT", "OSS-Fuzz", "Android", "Android:13", "", "Root", "Root:Root:PyPI", "No Such:1"] {
            assert_eq!(Scheme::of_ecosystem(ecosystem), None, "{ecosystem}");
        }
    }
}
