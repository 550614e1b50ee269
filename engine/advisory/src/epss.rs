//! How probable it is that a vulnerability is exploited (FIRST, Exploit Prediction Scoring System).
//!
//! ```text
//!   #model_version:v2025.03.14,score_date:2026-01-02T00:00:00Z
//!   cve,epss,percentile
//!   CVE-1999-0001,0.0142,0.78912
//! ```

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stella_domain::Timestamp;

/// The longest line that is read, in bytes.
const MAX_LINE: usize = 1000;
/// The most scores that are read.
pub const MAX_SCORES: usize = 2_000_000;

/// A score of one day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epss {
    /// Probability of exploitation within 30 days, 0 to 1.
    pub probability: f64,
    /// Share of all CVEs whose probability is not greater, 0 to 1.
    pub percentile: f64,
}

impl Epss {
    /// The order of probabilities.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        let order = self.probability.total_cmp(&other.probability);
        order.then_with(|| self.percentile.total_cmp(&other.percentile))
    }

    /// To whole percentage points of probability.
    pub(crate) fn rounded(self) -> Self {
        Self { probability: (self.probability * 100.0).round() / 100.0, percentile: 0.0 }
    }
}

/// Scores by CVE, with their date.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EpssList {
    /// Of which day they are.
    pub date: Option<Timestamp>,
    /// Scores by CVE.
    pub scores: BTreeMap<String, Epss>,
}

/// Reads FIRST's list.
///
/// # Errors
/// The number of the line that is malformed, and how; a list with one malformed line is not used in part.
pub fn read(text: &str) -> Result<EpssList, String> {
    let mut list = EpssList::default();
    let mut columns = None;
    for (number, line) in text.lines().enumerate() {
        let wrong = |reason: &str| format!("line {}: {reason}", number + 1);
        if line.len() > MAX_LINE {
            return Err(wrong("longer than 1000 bytes"));
        }
        if let Some(comment) = line.strip_prefix('#') {
            list.date = list.date.or_else(|| score_date(comment));
        } else if line.trim().is_empty() {
            continue;
        } else if let Some(columns) = columns {
            let (cve, score) = score(line, columns).map_err(wrong)?;
            if list.scores.len() == MAX_SCORES {
                return Err(wrong("more than 2000000 scores"));
            }
            if list.scores.insert(cve, score).is_some() {
                return Err(wrong("a second score for this CVE"));
            }
        } else {
            columns = Some(header(line).ok_or_else(|| wrong("expected the columns cve, epss and percentile"))?);
        }
    }
    columns.map(|_| list).ok_or_else(|| "no line with the columns cve, epss and percentile".to_owned())
}

/// Places of the columns.
type Columns = [usize; 3];

fn header(line: &str) -> Option<Columns> {
    let place = |name: &str| line.split(',').position(|column| column.trim() == name);
    Some([place("cve")?, place("epss")?, place("percentile")?])
}

fn score(line: &str, columns: Columns) -> Result<(String, Epss), &'static str> {
    let column = |at: usize| line.split(',').nth(at).map(str::trim).ok_or("a column is missing");
    let [cve, probability, percentile] = columns.map(column);
    let cve = cve?;
    if !cve.starts_with("CVE-") || cve.len() > 30 {
        return Err("the first column is no CVE");
    }
    let share = |text: &str| text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    let probability = share(probability?).ok_or("the probability is not between 0 and 1")?;
    let percentile = share(percentile?).ok_or("the percentile is not between 0 and 1")?;
    Ok((cve.to_owned(), Epss { probability, percentile }))
}

fn score_date(comment: &str) -> Option<Timestamp> {
    let date = comment.split(',').find_map(|part| part.trim().strip_prefix("score_date:"))?.trim();
    // FIRST writes the offset without a colon.
    let date = date.strip_suffix("+0000").map_or_else(|| date.to_owned(), |date| format!("{date}Z"));
    date.parse().ok().or_else(|| format!("{date}T00:00:00Z").parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_list() {
        let text = "#model_version:v2025.03.14,score_date:2026-01-02T00:00:00+0000\ncve,epss,percentile\nCVE-2020-1,0.9432,0.99\r\nCVE-2020-2,0,0\n";
        let list = read(text).unwrap();
        assert_eq!(list.date, "2026-01-02T00:00:00Z".parse().ok());
        assert_eq!(list.scores["CVE-2020-1"], Epss { probability: 0.9432, percentile: 0.99 });
        assert_eq!(list.scores.len(), 2);
    }

    #[test]
    fn a_malformed_line_is_named() {
        for (text, error) in [
            ("", "no line with the columns cve, epss and percentile"),
            ("a,b\n", "line 1: expected the columns cve, epss and percentile"),
            ("cve,epss,percentile\nCVE-1,2,0", "line 2: the probability is not between 0 and 1"),
            ("cve,epss,percentile\nCVE-1,NaN,0", "line 2: the probability is not between 0 and 1"),
            ("cve,epss,percentile\nCVE-1,0.5,-1", "line 2: the percentile is not between 0 and 1"),
            ("cve,epss,percentile\nCVE-1,0.5", "line 2: a column is missing"),
            ("cve,epss,percentile\nGHSA,0.5,0.5", "line 2: the first column is no CVE"),
            ("cve,epss,percentile\nCVE-1,0,0\nCVE-1,0,0", "line 3: a second score for this CVE"),
        ] {
            assert_eq!(read(text), Err(error.to_owned()));
        }
    }
}
