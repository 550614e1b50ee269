//! Until when distributions mend their releases.
//!
//! The dates are facts of the vendors' life cycle pages; `docs/inventories.md` names them. There is no clock here:
//! whoever asks hands in the instant.

use stella_domain::Timestamp;

use crate::{Inventory, OsRelease};

/// The days until which a release gets security updates, each as `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndOfLife {
    /// Last day of updates for everybody.
    pub general: &'static str,
    /// Last day of updates by those who go on: Debian's LTS team, or the vendor for those who pay.
    pub extended: Option<&'static str>,
}

/// How a release is looked after at some instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Everybody gets updates.
    General,
    /// Only extended support gives updates.
    Extended,
    /// Nobody gets updates.
    Ended,
}

impl EndOfLife {
    /// How the release is looked after at `at`; the last day counts in full, in UTC.
    #[must_use]
    pub fn support(&self, at: Timestamp) -> Support {
        let instant = at.to_string();
        let day = instant.get(..10).unwrap_or_default();
        match self.extended {
            _ if day <= self.general => Support::General,
            Some(extended) if day <= extended => Support::Extended,
            _ => Support::Ended,
        }
    }
}

impl OsRelease {
    /// Until when the release is mended; `None` for rolling releases and those whose dates are not known here.
    #[must_use]
    pub fn end_of_life(&self) -> Option<EndOfLife> {
        let release = release_in_table(self)?;
        let (_, _, general, extended) = TABLE.iter().find(|(id, named, ..)| *id == self.id && *named == release)?;
        Some(EndOfLife { general, extended: Some(*extended).filter(|day| !day.is_empty()) })
    }
}

impl Inventory {
    /// One sentence when the distribution gets no updates any more for everybody; `None` while it does, and where
    /// nothing is known.
    #[must_use]
    pub fn end_of_life_notice(&self, at: Timestamp) -> Option<String> {
        let os = self.os.as_ref()?;
        let end = os.end_of_life()?;
        let name = if os.name.is_empty() { format!("{} {}", os.id, os.version) } else { os.name.clone() };
        let general = end.general;
        match (end.support(at), end.extended) {
            (Support::General, _) => None,
            (Support::Extended, Some(extended)) => {
                Some(format!("{name} gets updates from extended support only, since {general} and until {extended}"))
            }
            (_, Some(extended)) => {
                Some(format!("{name} has had no updates since {general}, nor from extended support since {extended}"))
            }
            (_, None) => Some(format!("{name} has had no updates since {general}")),
        }
    }
}

/// The release as the table names it.
fn release_in_table(os: &OsRelease) -> Option<String> {
    let version = os.version.as_str();
    let parts = |count: usize| version.split('.').take(count).collect::<Vec<_>>().join(".");
    let release = match os.id.as_str() {
        "alpine" if version.contains("alpha") => return None,
        "alpine" | "ubuntu" | "photon" | "opensuse-leap" => parts(2),
        "sles" => version.trim_end_matches(".0").to_owned(),
        "centos" if os.name.contains("Stream") => format!("stream {}", parts(1)),
        "amzn" if version.len() == 7 => "1".to_owned(),
        _ => parts(1),
    };
    Some(release).filter(|release| !release.is_empty())
}

/// `ID`, release, last day of general and of extended support (empty: there is none).
const TABLE: &[(&str, &str, &str, &str)] = &[
    ("almalinux", "10", "2035-05-31", ""),
    ("almalinux", "8", "2029-03-01", ""),
    ("almalinux", "9", "2032-05-31", ""),
    ("alpine", "3.0", "2016-05-01", ""),
    ("alpine", "3.1", "2016-11-01", ""),
    ("alpine", "3.2", "2017-05-01", ""),
    ("alpine", "3.3", "2017-11-01", ""),
    ("alpine", "3.4", "2018-05-01", ""),
    ("alpine", "3.5", "2018-11-01", ""),
    ("alpine", "3.6", "2019-05-01", ""),
    ("alpine", "3.7", "2019-11-01", ""),
    ("alpine", "3.8", "2020-05-01", ""),
    ("alpine", "3.9", "2020-11-01", ""),
    ("alpine", "3.10", "2021-05-01", ""),
    ("alpine", "3.11", "2021-11-01", ""),
    ("alpine", "3.12", "2022-05-01", ""),
    ("alpine", "3.13", "2022-11-01", ""),
    ("alpine", "3.14", "2023-05-01", ""),
    ("alpine", "3.15", "2023-11-01", ""),
    ("alpine", "3.16", "2024-05-23", ""),
    ("alpine", "3.17", "2024-11-22", ""),
    ("alpine", "3.18", "2025-05-09", ""),
    ("alpine", "3.19", "2025-11-01", ""),
    ("alpine", "3.20", "2026-04-01", ""),
    ("alpine", "3.21", "2026-11-01", ""),
    ("alpine", "3.22", "2027-05-01", ""),
    ("alpine", "3.23", "2027-11-01", ""),
    ("amzn", "1", "2020-12-31", "2023-12-31"),
    ("amzn", "2", "2026-06-30", ""),
    ("amzn", "2023", "2029-06-30", ""),
    ("azurelinux", "3", "2027-08-31", ""),
    ("centos", "6", "2020-11-30", ""),
    ("centos", "7", "2024-06-30", ""),
    ("centos", "8", "2021-12-31", ""),
    ("centos", "stream 10", "2030-01-01", ""),
    ("centos", "stream 8", "2024-05-31", ""),
    ("centos", "stream 9", "2027-05-31", ""),
    ("debian", "7", "2016-04-25", "2018-05-31"),
    ("debian", "8", "2018-06-17", "2020-06-30"),
    ("debian", "9", "2020-07-18", "2022-06-30"),
    ("debian", "10", "2022-09-10", "2024-06-30"),
    ("debian", "11", "2024-08-14", "2026-08-31"),
    ("debian", "12", "2026-07-11", "2028-06-30"),
    ("debian", "13", "2028-08-09", "2030-06-30"),
    ("fedora", "30", "2020-05-26", ""),
    ("fedora", "31", "2020-11-24", ""),
    ("fedora", "32", "2021-05-25", ""),
    ("fedora", "33", "2021-11-30", ""),
    ("fedora", "34", "2022-06-07", ""),
    ("fedora", "35", "2022-12-13", ""),
    ("fedora", "36", "2023-05-16", ""),
    ("fedora", "37", "2023-12-05", ""),
    ("fedora", "38", "2024-05-21", ""),
    ("fedora", "39", "2024-11-26", ""),
    ("fedora", "40", "2025-05-13", ""),
    ("fedora", "41", "2025-12-15", ""),
    ("fedora", "42", "2026-05-13", ""),
    ("fedora", "43", "2026-12-09", ""),
    ("mageia", "7", "2021-06-30", ""),
    ("mageia", "8", "2023-11-30", ""),
    ("mariner", "1", "2023-08-31", ""),
    ("mariner", "2", "2025-07-31", ""),
    ("ol", "6", "2021-03-31", "2024-12-31"),
    ("ol", "7", "2024-12-31", "2028-06-30"),
    ("ol", "8", "2029-07-31", "2032-07-31"),
    ("ol", "9", "2032-06-30", "2035-06-30"),
    ("opensuse-leap", "15.0", "2019-12-03", ""),
    ("opensuse-leap", "15.1", "2021-02-02", ""),
    ("opensuse-leap", "15.2", "2022-01-04", ""),
    ("opensuse-leap", "15.3", "2022-12-31", ""),
    ("opensuse-leap", "15.4", "2023-12-07", ""),
    ("opensuse-leap", "15.5", "2024-12-31", ""),
    ("opensuse-leap", "15.6", "2026-04-30", ""),
    ("opensuse-leap", "16.0", "2027-10-31", ""),
    ("opensuse-leap", "42.3", "2019-07-01", ""),
    ("photon", "1.0", "2022-02-28", ""),
    ("photon", "2.0", "2022-12-31", ""),
    ("photon", "3.0", "2024-03-01", ""),
    ("photon", "4.0", "2026-03-01", ""),
    ("rhel", "10", "2035-05-31", ""),
    ("rhel", "5", "2017-03-31", "2020-11-30"),
    ("rhel", "6", "2020-11-30", "2024-06-30"),
    ("rhel", "7", "2024-06-30", "2028-06-30"),
    ("rhel", "8", "2029-05-31", "2032-05-31"),
    ("rhel", "9", "2032-05-31", "2035-05-31"),
    ("rocky", "10", "2035-05-31", ""),
    ("rocky", "8", "2029-05-31", ""),
    ("rocky", "9", "2032-05-31", ""),
    ("sles", "11.4", "2019-03-31", "2022-03-31"),
    ("sles", "12", "2016-06-30", "2019-07-01"),
    ("sles", "12.1", "2017-05-31", "2020-05-31"),
    ("sles", "12.2", "2018-03-31", "2021-03-31"),
    ("sles", "12.3", "2019-06-30", "2022-06-30"),
    ("sles", "12.4", "2020-06-30", "2023-06-30"),
    ("sles", "12.5", "2024-10-31", "2027-10-31"),
    ("sles", "15", "2019-12-31", "2022-12-31"),
    ("sles", "15.1", "2021-01-31", "2024-01-31"),
    ("sles", "15.2", "2021-12-31", "2024-12-31"),
    ("sles", "15.3", "2022-12-31", "2025-12-31"),
    ("sles", "15.4", "2023-12-31", "2026-12-31"),
    ("sles", "15.5", "2024-12-31", "2027-12-31"),
    ("sles", "15.6", "2025-12-31", "2028-12-31"),
    ("sles", "15.7", "2031-07-31", "2034-07-31"),
    ("ubuntu", "14.04", "2019-04-25", "2024-04-25"),
    ("ubuntu", "16.04", "2021-04-30", "2026-04-23"),
    ("ubuntu", "18.04", "2023-05-31", "2028-04-26"),
    ("ubuntu", "20.04", "2025-05-29", "2030-04-23"),
    ("ubuntu", "22.04", "2027-06-01", "2032-04-21"),
    ("ubuntu", "22.10", "2023-07-20", ""),
    ("ubuntu", "23.04", "2024-01-25", ""),
    ("ubuntu", "23.10", "2024-07-11", ""),
    ("ubuntu", "24.04", "2029-05-31", "2034-04-25"),
    ("ubuntu", "24.10", "2025-07-10", ""),
    ("ubuntu", "25.04", "2026-01-15", ""),
    ("ubuntu", "25.10", "2026-07-09", ""),
    ("ubuntu", "26.04", "2031-05-29", "2036-04-23"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Provenance;

    fn os(id: &str, version: &str, name: &str) -> OsRelease {
        OsRelease { id: id.into(), version: version.into(), name: name.into(), ..OsRelease::default() }
    }

    fn at(day: &str) -> Timestamp {
        format!("{day}T12:00:00.000Z").parse().unwrap()
    }

    #[test]
    fn every_day_is_a_day_and_every_release_is_named_once() {
        for (index, (id, release, general, extended)) in TABLE.iter().enumerate() {
            for day in [general, extended].into_iter().filter(|day| !day.is_empty()) {
                assert_eq!(day.len(), 10);
                assert_eq!(&at(day).to_string()[..10], *day);
            }
            assert!(extended.is_empty() || general < extended, "{id} {release}");
            assert!(!TABLE[..index].iter().any(|other| (other.0, other.1) == (*id, *release)), "{id} {release}");
        }
    }

    #[test]
    fn the_release_is_found_as_os_release_words_it() {
        for (id, version, name, general) in [
            ("debian", "12", "", Some("2026-07-11")),
            ("debian", "", "Debian GNU/Linux sid", None),
            ("alpine", "3.18.4", "", Some("2025-05-09")),
            ("alpine", "3.23.0_alpha20250612", "Alpine Linux edge", None),
            ("amzn", "2018.03", "", Some("2020-12-31")),
            ("amzn", "2023", "", Some("2029-06-30")),
            ("centos", "8", "CentOS Linux 8", Some("2021-12-31")),
            ("centos", "8", "CentOS Stream 8", Some("2024-05-31")),
            ("rhel", "8.9", "", Some("2029-05-31")),
            ("sles", "15.4", "", Some("2023-12-31")),
            ("sles", "15.0", "", Some("2019-12-31")),
            ("opensuse-leap", "15.6", "", Some("2026-04-30")),
            ("opensuse-tumbleweed", "20240101", "", None),
            ("mariner", "2.0.20230101", "", Some("2025-07-31")),
            ("photon", "4.0", "", Some("2026-03-01")),
            ("wolfi", "20230201", "", None),
        ] {
            assert_eq!(os(id, version, name).end_of_life().map(|end| end.general), general, "{id} {version}");
        }
    }

    #[test]
    fn the_last_day_counts() {
        let end = os("debian", "11", "").end_of_life().unwrap();
        assert_eq!(end.support(at("2024-08-14")), Support::General);
        assert_eq!(end.support(at("2024-08-15")), Support::Extended);
        assert_eq!(end.support(at("2026-09-01")), Support::Ended);
    }

    #[test]
    fn an_inventory_says_what_ended() {
        let notice = |os: OsRelease, day: &str| {
            let (layers, components, problems) = (Vec::new(), Vec::new(), Vec::new());
            let inventory = Inventory { provenance: Provenance::Layers, os: Some(os), layers, components, problems };
            inventory.end_of_life_notice(at(day))
        };
        let buster = || os("debian", "10", "Debian GNU/Linux 10 (buster)");
        assert_eq!(notice(buster(), "2022-01-01"), None);
        assert_eq!(
            notice(buster(), "2023-01-01").unwrap(),
            "Debian GNU/Linux 10 (buster) gets updates from extended support only, since 2022-09-10 and until 2024-06-30"
        );
        assert_eq!(
            notice(buster(), "2025-01-01").unwrap(),
            "Debian GNU/Linux 10 (buster) has had no updates since 2022-09-10, nor from extended support since 2024-06-30"
        );
        assert_eq!(
            notice(os("alpine", "3.10.1", ""), "2025-01-01").unwrap(),
            "alpine 3.10.1 has had no updates since 2021-05-01"
        );
        assert_eq!(notice(os("void", "", ""), "2099-01-01"), None);
    }
}
