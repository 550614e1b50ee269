//! A tiny folder of feeds, a tiny SBOM, and the binaries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts exit code 2 and one line on standard error that holds every part.
    pub fn failed_with(&self, parts: &[&str]) {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        assert!(self.err.starts_with("error: "), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "{part} is not in {self:?}");
        }
    }
}

pub fn stella(args: &[&str]) -> Ran {
    ran(&mut command(env!("CARGO_BIN_EXE_stella"), args))
}

pub fn stellopsctl(args: &[&str]) -> Ran {
    ran(&mut command(env!("CARGO_BIN_EXE_stellopsctl"), args))
}

/// A command that sees nothing of the settings of whoever runs the tests.
pub fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    for name in
        ["STELLA_TOKEN", "STELLA_LOG", "STELLA_LOG_FORMAT", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
    {
        command.env_remove(name);
    }
    command
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A work folder with `feeds` and `bom.json`: cryptography 38.0.0 (medium), django 2.2.0 (critical) and a package
/// that nothing is known of.
pub struct Work(TempDir);

impl Work {
    pub fn new() -> Self {
        let work = Self(tempfile::tempdir().unwrap());
        work.write("feeds/osv/PyPI/PYSEC-2023-11.json", cryptography().to_string());
        work.write("feeds/osv/PyPI/PYSEC-2022-190.json", django().to_string());
        work.write("bom.json", bom(&["cryptography@38.0.0", "django@2.2.0", "harmless@1.0"]).to_string());
        work
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self.text(name)
    }

    /// `stella --local` on `target`, with more flags.
    pub fn scan(&self, target: &str, flags: &[&str]) -> Ran {
        let feeds = self.text("feeds");
        let mut args = vec!["--local", "--feeds", &feeds];
        args.extend(flags);
        args.push(target);
        stella(&args)
    }

    pub fn scan_bom(&self, flags: &[&str]) -> Ran {
        self.scan(&self.text("bom.json"), flags)
    }
}

/// Names of the indexes in a folder.
pub fn indexes(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

pub fn bom(packages: &[&str]) -> Value {
    let component = |package: &&str| {
        let (name, version) = package.split_once('@').unwrap();
        json!({"type": "library", "name": name, "version": version, "purl": format!("pkg:pypi/{package}")})
    };
    json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {"type": "container", "name": "registry.local/shop/web:1.4"}},
        "components": packages.iter().map(component).collect::<Vec<Value>>(),
    })
}

fn cryptography() -> Value {
    json!({
        "id": "PYSEC-2023-11", "modified": "2024-01-01T00:00:00Z", "published": "2023-02-07T21:15:00Z",
        "aliases": ["CVE-2023-23931", "GHSA-w7pp-m8wf-vj6r"],
        "summary": "Cipher.update_into can corrupt memory",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:L/A:L"}],
        "affected": [{
            "package": {"ecosystem": "PyPI", "name": "cryptography"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1.8"}, {"fixed": "39.0.1"}]}],
        }],
    })
}

fn django() -> Value {
    json!({
        "id": "PYSEC-2022-190", "modified": "2023-05-04T00:00:00Z", "published": "2022-04-12T05:15:00Z",
        "aliases": ["CVE-2022-28346"],
        "summary": "SQL injection through column aliases",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "affected": [{
            "package": {"ecosystem": "PyPI", "name": "django"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "2.2"}, {"fixed": "2.2.28"}]}],
        }],
    })
}
