//! The records that wait to be sent, oldest first, bounded in number and in bytes.

use std::collections::VecDeque;

use stella_api::admission::{MAX_DECISION_BYTES, MAX_DECISIONS, MAX_DECISIONS_BYTES};

/// Records that may wait.
pub(super) const MOST: usize = 16_384;
/// Bytes that they may have together.
pub(super) const MOST_BYTES: usize = 16 << 20;

#[derive(Debug, Default)]
pub(super) struct Waiting {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Waiting {
    /// Whether there was room. One that is too long to be kept has none.
    pub(super) fn add(&mut self, line: String) -> bool {
        if line.len() > MAX_DECISION_BYTES || !self.has_room(&line) {
            return false;
        }
        self.bytes += line.len();
        self.lines.push_back(line);
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Takes the oldest, as many as one request may have.
    pub(super) fn take(&mut self) -> Vec<String> {
        let mut taken = Vec::new();
        let mut length = 0;
        while taken.len() < MAX_DECISIONS {
            let Some(next) = self.lines.front() else { break };
            if length + next.len() >= MAX_DECISIONS_BYTES {
                break;
            }
            let Some(line) = self.lines.pop_front() else { break };
            // With the end of its line.
            length += line.len() + 1;
            self.bytes -= line.len();
            taken.push(line);
        }
        taken
    }

    /// They wait again, before all others; returns how many of them found no room any more, the oldest.
    pub(super) fn put_back(&mut self, mut taken: Vec<String>) -> usize {
        while let Some(line) = taken.pop() {
            if !self.has_room(&line) {
                return taken.len() + 1;
            }
            self.bytes += line.len();
            self.lines.push_front(line);
        }
        0
    }

    fn has_room(&self, line: &str) -> bool {
        self.lines.len() < MOST && self.bytes + line.len() <= MOST_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_in_number_and_in_bytes() {
        let mut waiting = Waiting::default();
        let added = (0..=MOST).filter(|number| waiting.add(number.to_string())).count();
        assert_eq!(added, MOST);
        let mut waiting = Waiting::default();
        assert!(!waiting.add("x".repeat(MAX_DECISION_BYTES + 1)), "nobody keeps it");
        let added = (0..100).filter(|_| waiting.add("x".repeat(MAX_DECISION_BYTES))).count();
        assert_eq!(added, MOST_BYTES / MAX_DECISION_BYTES);
    }

    #[test]
    fn a_batch_is_of_the_oldest_and_fits_into_a_request() {
        let mut waiting = Waiting::default();
        (0..=MAX_DECISIONS).for_each(|number| assert!(waiting.add(number.to_string())));
        let taken = waiting.take();
        assert_eq!((taken.len(), taken[0].as_str()), (MAX_DECISIONS, "0"));
        assert_eq!(waiting.take(), [MAX_DECISIONS.to_string()]);
        assert!(waiting.is_empty() && waiting.take().is_empty() && waiting.bytes == 0);
        (0..5).for_each(|_| assert!(waiting.add("x".repeat(MAX_DECISION_BYTES))));
        let length = waiting.take().join("\n").len();
        assert!(length <= MAX_DECISIONS_BYTES && length > MAX_DECISIONS_BYTES / 2, "{length}");
    }

    #[test]
    fn what_was_not_taken_is_the_next_again_and_gives_way_when_it_is_full() {
        let mut waiting = Waiting::default();
        ["a", "b", "c"].into_iter().for_each(|line| assert!(waiting.add(line.to_owned())));
        let taken = waiting.take();
        assert!(waiting.add("d".to_owned()));
        assert_eq!(waiting.put_back(taken), 0);
        assert_eq!(waiting.take(), ["a", "b", "c", "d"]);
        (0..MOST - 1).for_each(|_| assert!(waiting.add("x".to_owned())));
        assert_eq!(waiting.put_back(["a", "b", "c"].map(str::to_owned).to_vec()), 2);
        assert_eq!(waiting.take()[0], "c");
    }
}
