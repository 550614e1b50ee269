//! Scores of vectors beside those of others: a list made with another implementation, and the CVE records.

mod public_data;

use std::collections::BTreeMap;

use public_data::public_data;
use stella_advisory::cvss::Cvss;

/// Scores in CVE records that are not those of their vectors. All have a changed scope; their authors took the formula for
/// modified impact (CVSS v3.1, section 7.3) for that of impact (7.1). The list of the other implementation has each of
/// these vectors with our score.
const MISTAKEN: [(&str, f64); 12] = [
    ("CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:C/C:H/I:H/A:H", 8.4),
    ("CVSS:3.1/AV:L/AC:L/PR:L/UI:R/S:C/C:H/I:H/A:N", 7.8),
    ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 10.0),
    ("CVSS:3.1/AV:N/AC:L/PR:L/UI:R/S:C/C:H/I:H/A:H", 9.1),
    ("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:C/C:H/I:H/A:H", 9.1),
    ("CVSS:3.1/AV:A/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 9.1),
    ("CVSS:3.1/AV:L/AC:H/PR:N/UI:N/S:C/C:H/I:H/A:H", 8.2),
    ("CVSS:3.1/AV:P/AC:L/PR:N/UI:R/S:C/C:H/I:H/A:H", 7.4),
    ("CVSS:3.1/AV:N/AC:L/PR:H/UI:R/S:C/C:H/I:H/A:H", 8.5),
    ("CVSS:3.1/AV:A/AC:L/PR:L/UI:R/S:C/C:H/I:H/A:H", 8.5),
    ("CVSS:3.1/AV:L/AC:H/PR:L/UI:R/S:C/C:H/I:H/A:H", 7.6),
    ("CVSS:3.1/AV:N/AC:H/PR:L/UI:N/S:C/C:H/I:H/A:H", 8.6),
];

/// Checks pairs of score and vector; gives how many there were of each version.
fn check(pairs: impl Iterator<Item = (f64, String)>) -> BTreeMap<String, usize> {
    let (mut counts, mut wrong) = (BTreeMap::new(), Vec::new());
    for (score, vector) in pairs {
        match Cvss::parse(&vector) {
            Some(cvss) => {
                *counts.entry(cvss.version.clone()).or_default() += 1;
                if (cvss.score - score).abs() > 0.001 {
                    wrong.push(format!("{vector}: {score}, ours {}", cvss.score));
                }
            }
            None => wrong.push(format!("{vector}: {score}, ours none")),
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
    counts
}

fn lines(text: &str) -> impl Iterator<Item = (f64, String)> + '_ {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').expect("score and vector")).map(|(s, v)| (s.parse().unwrap(), v.to_owned()))
}

#[test]
fn vectors_score_as_another_implementation_has_them() {
    let counts = check(lines(include_str!("cvss_vectors.txt")));
    assert!(counts.len() == 4 && counts.values().all(|count| *count >= 60), "{counts:?}");
}

#[test]
fn a_longer_list_scores_alike() {
    let Some(path) = std::env::var_os("STELLA_CVSS_VECTORS") else {
        println!("SKIPPED: STELLA_CVSS_VECTORS names no list of scores and vectors");
        return;
    };
    println!("{:?}", check(lines(&std::fs::read_to_string(path).unwrap())));
}

#[test]
fn vectors_of_cve_records_have_the_score_that_their_authors_give() {
    let Some(path) = public_data("feeds/cve/all.zip") else { return };
    let file = std::fs::File::open(path).unwrap();
    let mistaken = |score: f64, vector: &str| MISTAKEN.contains(&(vector, score));
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut pairs = Vec::new();
    for at in 0..archive.len() {
        let entry = archive.by_index(at).unwrap();
        if !entry.name().ends_with(".json") {
            continue;
        }
        let record: serde_json::Value = serde_json::from_reader(entry).unwrap();
        let containers = &record["containers"];
        let others = containers["adp"].as_array().into_iter().flatten();
        for metric in
            std::iter::once(&containers["cna"]).chain(others).filter_map(|c| c["metrics"].as_array()).flatten()
        {
            for scored in metric.as_object().into_iter().flat_map(|metric| metric.values()) {
                if let (Some(score), Some(vector)) = (scored["baseScore"].as_f64(), scored["vectorString"].as_str())
                    && !mistaken(score, vector)
                {
                    pairs.push((score, vector.to_owned()));
                }
            }
        }
    }
    println!("{:?}", check(pairs.into_iter()));
}
