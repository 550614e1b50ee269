//! So many in a minute and no more.

use std::collections::VecDeque;

use stella_domain::Timestamp;

/// The instants of what was done in the last minute.
#[derive(Debug)]
pub struct Pace {
    most: usize,
    done: VecDeque<Timestamp>,
}

impl Pace {
    /// At most `most` in any minute.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, done: VecDeque::new() }
    }

    /// Whether there is a place at `now`. A clock that was set back frees none.
    pub fn has_room(&mut self, now: Timestamp) -> bool {
        while self.done.front().is_some_and(|first| now.seconds_since(*first) >= 60) {
            self.done.pop_front();
        }
        self.done.len() < self.most
    }

    /// Takes a place at `now`; `false` when there is none.
    pub fn take(&mut self, now: Timestamp) -> bool {
        let free = self.has_room(now);
        if free {
            self.done.push_back(now);
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_so_many_places() {
        let mut pace = Pace::new(2);
        let at = |second: i64| Timestamp::from_millis(second * 1000);
        assert!(pace.take(at(0)) && pace.take(at(30)));
        assert!(!pace.take(at(59)) && !pace.take(at(1)));
        assert!(pace.take(at(60)));
        assert!(!pace.take(at(61)));
        assert!(!Pace::new(0).take(at(0)));
    }
}
