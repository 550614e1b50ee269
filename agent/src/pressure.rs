//! Whether the node has room for work that can wait: pressure stall information (`Documentation/accounting/psi.rst` of the
//! kernel), and memory that is available where the kernel does not account for stalls.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stella_api::node_status::Pressure;

use crate::metrics::{Metrics, PRESSURES};

/// From which percentage on the node counts as being under pressure. 0 means that it is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Share of the last ten seconds in which some task waited for a processor.
    cpu: u8,
    /// The same for memory.
    memory: u8,
    /// The same for a disk.
    io: u8,
    /// Least share of memory that is available, where stalls for memory are not accounted for.
    available: u8,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { cpu: 70, memory: 10, io: 50, available: 5 }
    }
}

impl FromStr for Thresholds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut thresholds = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("'{part}' is not NAME=PERCENT"))?;
            let percent = value.parse().ok().filter(|percent| *percent <= 100);
            let percent = percent.ok_or_else(|| format!("{name}: '{value}' is no percentage from 0 to 100"))?;
            match name {
                "cpu" => thresholds.cpu = percent,
                "memory" => thresholds.memory = percent,
                "io" => thresholds.io = percent,
                "available" => thresholds.available = percent,
                _ => return Err(format!("'{name}' is none of cpu, memory, io, available")),
            }
        }
        Ok(thresholds)
    }
}

impl fmt::Display for Thresholds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, memory, io, available } = self;
        write!(f, "cpu={cpu},memory={memory},io={io},available={available}")
    }
}

/// Whether memory is what a node is short of.
#[must_use]
pub fn is_memory(pressure: &Pressure) -> bool {
    matches!(pressure.resource.as_str(), "memory" | "available-memory")
}

/// Reads the node's pressure, and says once when it begins and ends.
pub struct PressureGauge {
    proc_root: PathBuf,
    thresholds: Thresholds,
    metrics: Arc<Metrics>,
    is_under: AtomicBool,
}

impl PressureGauge {
    /// Reads below `proc_root`, a proc filesystem.
    #[must_use]
    pub fn new(proc_root: &Path, thresholds: Thresholds, metrics: Arc<Metrics>) -> Self {
        Self { proc_root: proc_root.to_owned(), thresholds, metrics, is_under: AtomicBool::new(false) }
    }

    /// What the node is under pressure by at this moment; empty where it has room. What cannot be read is no pressure.
    pub fn look(&self) -> Vec<Pressure> {
        let over = self.over();
        for resource in PRESSURES {
            let is_over = over.iter().any(|pressure| pressure.resource == resource);
            self.metrics.pressure.with_label_values(&[resource]).set(is_over.into());
        }
        match (self.is_under.swap(!over.is_empty(), Ordering::Relaxed), over.is_empty()) {
            (false, false) => {
                let by = over.iter().map(Pressure::to_string).collect::<Vec<_>>().join(", ");
                tracing::warn!(by, "the node is under pressure: no image is read until that is over");
            }
            (true, true) => tracing::info!("the node is under pressure no more"),
            _ => {}
        }
        over
    }

    fn over(&self) -> Vec<Pressure> {
        let Thresholds { cpu, memory, io, available } = self.thresholds;
        let pressure =
            |resource: &str, percent, threshold| Pressure { resource: resource.to_owned(), percent, threshold };
        let mut over = Vec::new();
        for (resource, threshold) in [("cpu", cpu), ("memory", memory), ("io", io)] {
            match self.stalled(resource) {
                Some(percent) if threshold > 0 && percent >= threshold => {
                    over.push(pressure(resource, percent, threshold));
                }
                None if resource == "memory" => {
                    let left = self.available().filter(|left| *left < available);
                    over.extend(left.map(|left| pressure("available-memory", left, available)));
                }
                _ => {}
            }
        }
        over
    }

    /// Percent of the last ten seconds in which some task waited for it. Kernels without `CONFIG_PSI`, or started with `psi=0`,
    /// do not tell.
    fn stalled(&self, resource: &str) -> Option<u8> {
        let text = fs::read_to_string(self.proc_root.join("pressure").join(resource)).ok()?;
        let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
        let average = some.split_ascii_whitespace().find_map(|field| field.strip_prefix("avg10="))?;
        average.split('.').next()?.parse().ok()
    }

    /// Percent of memory that can be had without swapping.
    fn available(&self) -> Option<u8> {
        let text = fs::read_to_string(self.proc_root.join("meminfo")).ok()?;
        let kibibytes = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_ascii_whitespace().next()?.parse().ok()
        };
        let percent = kibibytes("MemAvailable")?.checked_mul(100)?.checked_div(kibibytes("MemTotal")?)?;
        u8::try_from(percent).ok()
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::*;

    const MEMINFO: &str = "MemTotal:       16384000 kB\nMemFree:          204800 kB\nMemAvailable:     AVAILABLE kB\n";

    /// A proc filesystem as kernels fill it.
    pub struct Proc(tempfile::TempDir);

    impl Proc {
        pub fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        pub fn stalled(self, resource: &str, average: &str) -> Self {
            let folder = self.0.path().join("pressure");
            fs::create_dir_all(&folder).unwrap();
            let line =
                |kind: &str, average: &str| format!("{kind} avg10={average} avg60=1.40 avg300=0.61 total=4298371\n");
            fs::write(folder.join(resource), line("some", average) + &line("full", "0.00")).unwrap();
            self
        }

        pub fn available(self, kibibytes: u64) -> Self {
            let text = MEMINFO.replace("AVAILABLE", &kibibytes.to_string());
            fs::write(self.0.path().join("meminfo"), text).unwrap();
            self
        }

        pub fn gauge(&self, thresholds: &str) -> PressureGauge {
            PressureGauge::new(self.0.path(), thresholds.parse().unwrap(), Arc::new(Metrics::new()))
        }

        pub fn seen(&self, thresholds: &str) -> Vec<String> {
            self.gauge(thresholds).look().iter().map(Pressure::to_string).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::Proc;
    use super::*;

    #[test]
    fn stalls_count_from_the_threshold_on() {
        let proc = Proc::new().stalled("cpu", "69.99").stalled("memory", "10.00").stalled("io", "100.00").available(0);
        assert_eq!(proc.seen(""), ["memory 10 % (threshold 10 %)", "io 100 % (threshold 50 %)"]);
        assert_eq!(proc.seen("cpu=69,memory=11,io=0"), ["cpu 69 % (threshold 69 %)"]);
        let calm = Proc::new().stalled("cpu", "0.00").stalled("memory", "0.00").stalled("io", "0.00").available(0);
        assert!(calm.seen("").is_empty(), "where stalls are told, available memory is not asked");
    }

    #[test]
    fn without_stall_information_available_memory_speaks() {
        assert_eq!(Proc::new().available(655_360).seen(""), ["available-memory 4 % (threshold 5 %)"]);
        assert!(Proc::new().available(1_638_400).seen("").is_empty());
        assert!(Proc::new().available(0).seen("available=0").is_empty());
        assert!(Proc::new().seen("").is_empty(), "what cannot be read is no pressure");
        assert!(Proc::new().stalled("cpu", "nonsense").seen("").is_empty());
    }

    #[test]
    fn the_metric_follows() {
        let proc = Proc::new().stalled("io", "80.12");
        let gauge = proc.gauge("");
        gauge.look();
        let shown = |value: u8| format!("zastava_pressure{{resource=\"io\"}} {value}");
        assert!(gauge.metrics.render().contains(&shown(1)), "{}", gauge.metrics.render());
        let _calm = proc.stalled("io", "3.00");
        gauge.look();
        assert!(gauge.metrics.render().contains(&shown(0)));
    }

    #[test]
    fn thresholds_are_percentages_by_name() {
        let set: Thresholds = "io=80,cpu=0".parse().unwrap();
        assert_eq!(set.to_string(), "cpu=0,memory=10,io=80,available=5");
        for wrong in ["io", "io=101", "io=-1", "disk=5"] {
            assert!(wrong.parse::<Thresholds>().is_err(), "{wrong}");
        }
    }
}
