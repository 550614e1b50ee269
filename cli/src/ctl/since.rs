//! `--since`: an instant, or how long ago it was.

use std::str::FromStr;

use stella_domain::Timestamp;

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So many seconds ago.
    Ago(i64),
    /// From then on.
    At(Timestamp),
}

impl Since {
    /// The instant, as seen at `now`.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(seconds) => now.plus_seconds(-seconds),
            Self::At(at) => at,
        }
    }
}

impl FromStr for Since {
    type Err = String;

    /// Reads a whole number of days (`7d`), hours (`12h`) or minutes (`30m`), or an RFC 3339 timestamp.
    fn from_str(text: &str) -> Result<Self, String> {
        let unit = match text.chars().last() {
            Some('d') => 86_400,
            Some('h') => 3600,
            Some('m') => 60,
            _ => return text.parse().map(Self::At),
        };
        let number = text[..text.len() - 1].parse::<u32>();
        let number =
            number.map_err(|_| format!("'{text}' is neither like 7d, 12h or 30m nor an RFC 3339 timestamp"))?;
        Ok(Self::Ago(i64::from(number) * unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_as_an_age_or_as_itself() {
        let now: Timestamp = "2026-01-08T00:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<Since>().map(|since| since.at(now).to_string());
        assert_eq!(at("7d").as_deref(), Ok("2026-01-01T00:00:00.000Z"));
        assert_eq!(at("12h").as_deref(), Ok("2026-01-07T12:00:00.000Z"));
        assert_eq!(at("30m").as_deref(), Ok("2026-01-07T23:30:00.000Z"));
        assert_eq!(at("2026-01-02T00:00:00+02:00").as_deref(), Ok("2026-01-01T22:00:00.000Z"));
        for wrong in ["", "d", "-1d", "7", "7w", "1.5h", "7dd", "ü"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
