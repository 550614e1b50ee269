//! Measures the index: `index feeds DIR [SBOMS]` builds from a folder of feeds, and matches the packages of a folder of packed SBOMs
//! too; `index synthetic COUNT DIR` builds from as many made-up advisories, which it writes below DIR first. Both print one line a
//! figure: name, value.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use stella_advisory::{Index, feed, hits, index, match_inventory};
use stella_inventory::{Component, Inventory, Limits, Package, PackageKind, Provenance, sbom};

type Failure = Box<dyn std::error::Error>;

/// Packages that are matched in one go.
const PACKAGES: usize = 200_000;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["feeds", folder] => measure(Path::new(folder), None, &std::env::temp_dir()),
        ["feeds", folder, sboms] => measure(Path::new(folder), Some(Path::new(sboms)), &std::env::temp_dir()),
        ["synthetic", count, folder] => {
            let feeds = Path::new(folder).join("feeds");
            if !feeds.is_dir() {
                // In a process of its own the writing does not count as memory of the building.
                synthesise(count.parse()?, &feeds)?;
                println!("written: run it again");
                return Ok(());
            }
            measure(&feeds, None, Path::new(folder))
        }
        _ => Err("index feeds DIR [SBOMS] | index synthetic COUNT DIR".into()),
    }
}

fn measure(folder: &Path, sboms: Option<&Path>, temporary: &Path) -> Result<(), Failure> {
    let path = temporary.join(format!("index-{}.idx", std::process::id()));
    let begin = Instant::now();
    let feeds = feed::read(folder)?;
    println!("records: {}", feeds.records.len());
    println!("read: {:.2} s", begin.elapsed().as_secs_f64());
    println!("peak memory, read: {} MiB", peak_memory().unwrap_or_default() / 1024);
    index::write(&feeds, &path)?;
    println!("read, build, write and verify: {:.2} s", begin.elapsed().as_secs_f64());
    println!("peak memory: {} MiB", peak_memory().unwrap_or_default() / 1024);
    println!("index: {} bytes", std::fs::metadata(&path)?.len());
    let names: Vec<(String, String)> = feeds.records.iter().flat_map(|(_, advisory)| advisory.packages()).collect();
    drop(feeds);
    let opened: Vec<Duration> =
        (0..50).map(|_| time(|| Index::open(&path)).map(|(_, took)| took)).collect::<Result<_, _>>()?;
    println!(
        "open: {:.3} ms, slowest {:.3} ms",
        millis(middle(&opened)),
        millis(*opened.iter().max().unwrap_or(&Duration::ZERO))
    );
    let index = Index::open(&path)?;
    let (_, took) = time(|| index.verify())?;
    println!("verify: {:.1} ms", millis(took));
    let made = [("packages that nobody knows", 0), ("one of five known", 5), ("all known", 1)];
    let mut inventories: Vec<(&str, Inventory)> =
        made.into_iter().map(|(what, known)| (what, inventory(&names, known))).collect();
    if let Some(sboms) = sboms {
        inventories.push(("published SBOMs", published(sboms)?));
    }
    for (what, inventory) in inventories {
        let found =
            hits(&index, &inventory)?.chunk_by(|a, b| (a.component, a.group()) == (b.component, b.group())).count();
        let rate = |took: Duration| inventory.components.len() as f64 / took.as_secs_f64();
        let alone = repeat(|| hits(&index, &inventory))?;
        let with_texts = repeat(|| match_inventory(&index, &inventory))?;
        println!(
            "matching, {what}: {:.0} packages/s on one core, {:.2} findings a package",
            rate(alone),
            found as f64 / inventory.components.len() as f64
        );
        println!("the same with fixes and texts: {:.0} packages/s", rate(with_texts));
    }
    std::fs::remove_file(&path)?;
    Ok(())
}

fn time<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(T, Duration), E> {
    let begin = Instant::now();
    work().map(|done| (done, begin.elapsed()))
}

/// The middle of five runs.
fn repeat<T, E>(work: impl Fn() -> Result<T, E>) -> Result<Duration, E> {
    let runs: Vec<Duration> = (0..5).map(|_| time(&work).map(|(_, took)| took)).collect::<Result<_, _>>()?;
    Ok(middle(&runs))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn middle(durations: &[Duration]) -> Duration {
    let mut ordered = durations.to_vec();
    ordered.sort();
    ordered[ordered.len() / 2]
}

/// In KiB, as the kernel counts it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}

/// The packages of all documents of a folder, over and over.
fn published(folder: &Path) -> Result<Inventory, Failure> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.sort();
    let mut components = Vec::new();
    for path in paths {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(std::fs::File::open(path)?).read_to_end(&mut bytes)?;
        components.extend(sbom::parse(&bytes, &Limits::default())?.inventory.components);
    }
    let components = components.iter().cycle().take(PACKAGES).cloned().collect();
    Ok(Inventory { provenance: Provenance::Sbom, os: None, layers: Vec::new(), components, problems: Vec::new() })
}

/// Packages of which every `known`th is in the feeds, all in a version after every fix.
fn inventory(names: &[(String, String)], known: usize) -> Inventory {
    let components = (0..PACKAGES).map(|number| {
        let is_known = known > 0 && number % known == 0;
        let (ecosystem, name) = names[(number * 7919) % names.len()].clone();
        let name = if is_known { name } else { format!("{name}-nobody-{number}") };
        let package = Package::new(PackageKind::Npm, name, "99999.4.17", "some/where");
        Component { package, purl: String::new(), ecosystem, layer: None }
    });
    Inventory {
        provenance: Provenance::Rootfs,
        os: None,
        layers: Vec::new(),
        components: components.collect(),
        problems: Vec::new(),
    }
}

/// Advisories like those of large feeds: details of two thousand characters, a few packages, ranges and listed versions each.
fn synthesise(count: usize, folder: &Path) -> Result<(), Failure> {
    let ecosystems = ["Debian:12", "Ubuntu:22.04:LTS", "npm", "PyPI", "Maven", "Go", "AlmaLinux:9", "Alpine:v3.19"];
    let details = "What an attacker can do, where, and since when. ".repeat(42);
    for (at, ecosystem) in ecosystems.iter().enumerate() {
        let place = folder.join("osv").join(ecosystem.split(':').next().unwrap_or(ecosystem));
        std::fs::create_dir_all(&place)?;
        let mut archive = zip::ZipWriter::new(std::fs::File::create(place.join("all.zip"))?);
        let options = zip::write::SimpleFileOptions::default().compression_level(Some(1));
        for number in (at..count).step_by(ecosystems.len()) {
            let affected: Vec<serde_json::Value> = (0..3)
                .map(|part| {
                    let versions: Vec<String> = (0..8).map(|minor| format!("{}.{minor}.{part}", number % 40)).collect();
                    serde_json::json!({
                        "package": {"ecosystem": ecosystem, "name": format!("package-{}-{part}", number % (count / 4))},
                        "ranges": [{"type": "ECOSYSTEM", "events": [
                            {"introduced": "0"}, {"fixed": format!("{}.{}.{part}-{}", number % 40, number % 17, number % 5)}]}],
                        "versions": versions})
                })
                .collect();
            let record = serde_json::json!({
                "id": format!("SYN-2026-{number}"), "modified": "2026-01-02T03:04:05Z", "published": "2026-01-02T03:04:05Z",
                "aliases": [format!("CVE-2026-{}", number / 2)], "summary": format!("Made-up vulnerability {number}"),
                "details": details, "affected": affected,
                "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}]});
            archive.start_file(format!("SYN-2026-{number}.json"), options)?;
            archive.write_all(record.to_string().as_bytes())?;
        }
        archive.finish()?;
    }
    Ok(())
}
