//! The build information itself: header, Go version, module list (Go `runtime/debug.BuildInfo`).

use super::super::elf::{Elf, range, unsigned};
use crate::cataloger::Findings;
use crate::{Package, PackageKind};

pub(super) const MAGIC: &[u8; 14] = b"\xff Go buildinf:";

const BIG_ENDIAN: u8 = 1;
const INLINE: u8 = 2;

/// Sentinels of 16 bytes stand before and after the module list.
const SENTINEL: usize = 16;

/// The 32 bytes in front: magic, size of a pointer, flags, and two pointers unless the strings follow inline.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Header(pub(super) [u8; 32]);

impl Header {
    pub(super) const fn is_inline(&self) -> bool {
        self.0[15] & INLINE != 0
    }

    pub(super) const fn is_plausible(&self) -> bool {
        matches!(self.0[14], 4 | 8)
    }

    /// Version and module text by way of the two pointers.
    pub(super) fn follow<'a>(&self, elf: &Elf, file: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        if !self.is_plausible() {
            return None;
        }
        let big_endian = self.0[15] & BIG_ENDIAN != 0;
        let size = u64::from(self.0[14]);
        let pointer = |at: u64| Some(unsigned(range(&self.0, at, size)?, big_endian));
        let text = |address: u64| {
            let word = |address: u64| Some(unsigned(range(file, elf.offset_of(address)?, size)?, elf.big_endian));
            range(file, elf.offset_of(word(address)?)?, word(address.checked_add(size)?)?)
        };
        let version = text(pointer(16)?)?;
        // Executables built without modules have no second string.
        let modules = text(pointer(16 + size)?).unwrap_or_default();
        Some((version, modules))
    }
}

/// The two texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct BuildInfo<'a> {
    pub(super) version: &'a str,
    pub(super) modules: &'a [u8],
}

impl BuildInfo<'_> {
    pub(super) fn is_plausible(&self) -> bool {
        self.version.starts_with("go") || self.version.starts_with("devel")
    }

    /// The standard library and every module, with replacements in force.
    pub(super) fn findings(&self, path: &str) -> Findings {
        let package = |module: &Module<'_>| Package {
            files: vec![path.to_owned()],
            linked: !module.is_main,
            ..Package::new(PackageKind::Golang, module.path, module.version, path)
        };
        let toolchain = self.version.strip_prefix("go").and_then(|rest| rest.split_ascii_whitespace().next());
        let library = toolchain.map(|version| Module { path: "stdlib", version, is_main: false });
        let text = self.text();
        let released = modules(&text).into_iter().filter(Module::is_released);
        let mut packages: Vec<Package> = library.into_iter().chain(released).map(|module| package(&module)).collect();
        packages.sort_unstable();
        packages.dedup();
        Findings { packages, ..Findings::default() }
    }

    fn text(&self) -> String {
        let inner = match self.modules.len() {
            length if length > 2 * SENTINEL && self.modules[length - SENTINEL - 1] == b'\n' => {
                &self.modules[SENTINEL..length - SENTINEL]
            }
            _ => &[],
        };
        String::from_utf8_lossy(inner).into_owned()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Module<'a> {
    path: &'a str,
    version: &'a str,
    /// Whether the program is its own, and not only built from it.
    is_main: bool,
}

impl Module<'_> {
    /// Built from a version, not from a folder on somebody's disk.
    fn is_released(&self) -> bool {
        !self.path.is_empty() && !self.version.is_empty() && self.version != "(devel)"
    }
}

/// Lines `mod`, `dep` and `=>` (which replaces the line before), each with path, version and sum.
fn modules(text: &str) -> Vec<Module<'_>> {
    let mut modules = Vec::new();
    for line in text.lines() {
        let mut fields = line.split('\t');
        let kind = fields.next().unwrap_or("");
        let (path, version) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        match kind {
            "mod" | "dep" => modules.push(Module { path, version, is_main: kind == "mod" }),
            "=>" => {
                let is_main = modules.pop().is_some_and(|replaced: Module<'_>| replaced.is_main);
                modules.push(Module { path, version, is_main });
            }
            _ => {}
        }
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "path\texample.org/cmd\nmod\texample.org/app\t(devel)\t\ndep\tgolang.org/x/net\tv0.7.0\th1:x=\n\
                        dep\told.org/a\tv1.0.0\n=>\tnew.org/a\tv1.1.0\th1:y=\ndep\tlocal.org/b\tv1.0.0\n=>\t./b\t\nbuild\t-x=y\n";

    fn framed(text: &str) -> Vec<u8> {
        [b"0123456789abcdef", text.as_bytes(), b"fedcba9876543210"].concat()
    }

    fn shown(findings: &Findings) -> Vec<String> {
        findings.packages.iter().map(|p| format!("{}@{}", p.name, p.version)).collect()
    }

    #[test]
    fn modules_with_their_replacements() {
        let info = BuildInfo { version: "go1.21.3 X:nocoverageredesign", modules: &framed(LIST) };
        assert_eq!(shown(&info.findings("bin/app")), ["golang.org/x/net@v0.7.0", "new.org/a@v1.1.0", "stdlib@1.21.3"]);
    }

    #[test]
    fn only_the_main_module_of_a_real_program_is_not_linked_in() {
        // What `go version -m` shows of kubeconform 0.8.0, an executable that `go install` made.
        let real = framed(include_str!("testdata/kubeconform.txt"));
        let found = BuildInfo { version: "go1.26.8", modules: &real }.findings("usr/bin/kubeconform");
        assert_eq!(found.packages.len(), 10);
        let main: Vec<&Package> = found.packages.iter().filter(|package| !package.linked).collect();
        assert_eq!(main.iter().map(|p| &*p.name).collect::<Vec<_>>(), ["github.com/yannh/kubeconform"]);
        assert!(found.packages.iter().all(|package| package.files == ["usr/bin/kubeconform"]));
    }

    #[test]
    fn a_replaced_module_stays_what_it_was() {
        let info = BuildInfo { version: "go1.21.3", modules: &framed(LIST) };
        assert!(info.findings("bin/app").packages.iter().all(|package| package.linked), "the main one has no version");
        let text = "mod\told.org/app\tv1.0.0\n=>\tnew.org/app\tv1.1.0\n";
        let found = BuildInfo { version: "devel", modules: &framed(text) }.findings("bin/app");
        assert_eq!(shown(&found), ["new.org/app@v1.1.0"]);
        assert!(!found.packages[0].linked);
    }

    #[test]
    fn inline_strings_are_read_as_the_file_passes_by() {
        let file = executable(|data| {
            let modules = framed(LIST);
            data.extend(MAGIC);
            data.extend([8, INLINE]);
            data.extend([0; 16]);
            data.push(8);
            data.extend(b"go1.20.1");
            data.extend([(modules.len() & 0x7f) as u8 | 0x80, (modules.len() >> 7) as u8]);
            data.extend(modules);
        });
        for step in [1, 7, 16, 100, 4096, 1 << 20] {
            let mut body = std::io::BufReader::with_capacity(step, &file[..]);
            let mut source = Stepped(&mut body);
            let inspect = crate::cataloger::EXECUTABLES[0].inspect;
            match inspect("app", &mut source, file.len() as u64, &crate::Limits::default()).unwrap() {
                crate::cataloger::Executable::Understood(found) => assert_eq!(found.packages.len(), 3, "{step}"),
                other => panic!("{step}: {other:?}"),
            }
        }
        let cataloger = &crate::cataloger::EXECUTABLES[0];
        let seen = (cataloger.inspect)("bin/node", &mut &file[..], file.len() as u64, &crate::Limits::default());
        assert!(matches!(seen, Ok(crate::cataloger::Executable::Whole)), "it only is called like an interpreter");
        let mut found = Findings::default();
        let source = crate::cataloger::SourceFile { path: "bin/node", bytes: &file };
        (cataloger.parse_whole)(&source, &mut found).unwrap();
        assert_eq!(found.packages.len(), 3);
    }

    #[test]
    fn pointers_are_followed_in_the_whole_file() {
        let modules = framed(LIST);
        let base = 0x40_0000 + 8192;
        let file = executable(|data| {
            let texts = base + 16 + 32 + 32;
            data.extend([0u8; 16]);
            data.extend(MAGIC);
            data.extend([8, 0]);
            data.extend((base + 16 + 32u64).to_le_bytes());
            data.extend((base + 16 + 48u64).to_le_bytes());
            for (at, length) in [(texts, 7), (texts + 7, modules.len() as u64)] {
                data.extend(at.to_le_bytes());
                data.extend(length.to_le_bytes());
            }
            data.extend(b"go1.15\0");
            data.extend(&modules);
        });
        let cataloger = &crate::cataloger::EXECUTABLES[0];
        let limits = crate::Limits::default();
        let seen = (cataloger.inspect)("app", &mut &file[..], file.len() as u64, &limits).unwrap();
        assert!(matches!(seen, crate::cataloger::Executable::Whole));
        let mut found = Findings::default();
        let source = crate::cataloger::SourceFile { path: "app", bytes: &file };
        (cataloger.parse_whole)(&source, &mut found).unwrap();
        assert_eq!(found.packages.len(), 3);
    }

    struct Stepped<'a>(&'a mut std::io::BufReader<&'a [u8]>);

    impl std::io::Read for Stepped<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(out)
        }
    }

    impl std::io::BufRead for Stepped<'_> {
        fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
            self.0.fill_buf()
        }
        fn consume(&mut self, count: usize) {
            self.0.consume(count);
        }
    }

    impl crate::archive::ByteSource for Stepped<'_> {}

    /// A 64-bit ELF with one writable segment at 8192 that `fill` fills.
    fn executable(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut data = Vec::new();
        fill(&mut data);
        let mut file = vec![0u8; 8192];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[16] = 2;
        file[32] = 64;
        file[54] = 56;
        file[56] = 1;
        let header = &mut file[64..120];
        header[0] = 1;
        header[4] = 6;
        header[8..16].copy_from_slice(&8192u64.to_le_bytes());
        header[16..24].copy_from_slice(&(0x40_0000u64 + 8192).to_le_bytes());
        header[32..40].copy_from_slice(&(data.len() as u64).to_le_bytes());
        file.extend(data);
        file
    }
}
