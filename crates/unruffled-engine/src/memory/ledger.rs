//! [`Ledger`]: who takes how much memory, and who must go so that somebody else fits; plain data.

use std::collections::BTreeMap;
use std::time::Instant;

use unruffled_model::Name;

use super::budget::{Bytes, ModelMemory};

/// How many of those that take memory a refusal names.
const NAMED: usize = 4;

/// Whether a load may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has room.
    Fits,
    /// This one is to go first: of those that nobody uses, nobody has asked for it for the longest time.
    Evict(u64),
    /// It has no room as yet: those that are left are in use, or on their way out.
    Wait,
    /// It has none, whoever goes.
    Never,
}

/// Who takes how much.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    budget: usize,
    next: u64,
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    name: Name,
    version: Name,
    bytes: usize,
    /// Whether it can be loaded again, and so may be put out.
    may_leave: bool,
    /// Whether it has been told to go.
    is_leaving: bool,
}

impl Ledger {
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, ..Self::default() }
    }

    /// Whether so much fits, or who is to go. `idle` are those that nobody uses, and since when.
    pub(super) fn decide(&self, need: usize, idle: &[(u64, Instant)]) -> Verdict {
        let sum = |counts: fn(&Taken) -> bool| -> usize {
            self.taken.values().filter(|taken| counts(taken)).map(|taken| taken.bytes).sum()
        };
        let fits_beside = |bytes: usize| bytes.saturating_add(need) <= self.budget;
        if fits_beside(sum(|_| true)) {
            return Verdict::Fits;
        }
        if !fits_beside(sum(|taken| !taken.may_leave)) {
            return Verdict::Never;
        }
        if fits_beside(sum(|taken| !taken.is_leaving)) {
            return Verdict::Wait;
        }
        let may_go = |id: &u64| self.taken.get(id).is_some_and(|taken| taken.may_leave && !taken.is_leaving);
        let oldest = idle.iter().filter(|(id, _)| may_go(id)).min_by_key(|(id, since)| (*since, *id));
        oldest.map_or(Verdict::Wait, |(id, _)| Verdict::Evict(*id))
    }

    /// Takes so much for a model that has been loaded.
    pub(super) fn take(&mut self, name: &Name, version: &Name, bytes: usize, may_leave: bool) -> u64 {
        let id = self.next;
        self.next += 1;
        let (name, version) = (name.clone(), version.clone());
        self.taken.insert(id, Taken { name, version, bytes, may_leave, is_leaving: false });
        id
    }

    /// It has been told to go, and takes so much until it has gone.
    pub(super) fn leaves(&mut self, id: u64) -> usize {
        self.taken.get_mut(&id).map_or(0, |taken| {
            taken.is_leaving = true;
            taken.bytes
        })
    }

    /// It has gone, and had so much.
    pub(super) fn give_back(&mut self, id: u64) -> usize {
        self.taken.remove(&id).map_or(0, |taken| taken.bytes)
    }

    /// Whether it is there, going or not.
    pub(super) fn holds(&self, id: u64) -> bool {
        self.taken.contains_key(&id)
    }

    pub(super) fn used(&self) -> usize {
        self.taken.values().map(|taken| taken.bytes).sum()
    }

    pub(super) fn models(&self) -> Vec<ModelMemory> {
        let model = |taken: &Taken| ModelMemory {
            name: taken.name.clone(),
            version: taken.version.clone(),
            bytes: taken.bytes,
        };
        self.taken.values().map(model).collect()
    }

    /// Why so much has no room: what is needed, what is taken, and by whom.
    pub(super) fn shortage(&self, need: usize) -> String {
        let mut largest: Vec<&Taken> = self.taken.values().collect();
        largest.sort_by_key(|taken| std::cmp::Reverse(taken.bytes));
        let mut by: Vec<_> = largest
            .iter()
            .take(NAMED)
            .map(|taken| format!("`{}` ({})", taken.name, Bytes(taken.bytes)))
            .collect();
        if largest.len() > NAMED {
            by.push(format!("{} more", largest.len() - NAMED));
        }
        let by = if by.is_empty() { String::new() } else { format!(", by {}", by.join(", ")) };
        format!(
            "it needs about {} of memory; {} of {} are taken{by}",
            Bytes(need),
            Bytes(self.used()),
            Bytes(self.budget)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Ledger, Verdict};

    /// A budget of 100, these models (bytes, whether it may leave, since when it is idle), and what becomes of a load.
    #[track_caller]
    fn check(models: &[(usize, bool, Option<u64>)], need: usize, expected: Verdict) {
        let (mut ledger, begin) = (Ledger::new(100), Instant::now());
        let mut idle = Vec::new();
        for (bytes, may_leave, since) in models {
            let id = ledger.take(&"model".into(), &"1".into(), *bytes, *may_leave);
            idle.extend(since.map(|since| (id, begin + Duration::from_secs(since))));
        }
        assert_eq!(ledger.decide(need, &idle), expected);
    }

    #[test]
    fn what_nobody_has_asked_for_the_longest_goes_first() {
        check(&[], 100, Verdict::Fits);
        check(&[(60, true, Some(1))], 40, Verdict::Fits);
        check(&[(60, true, Some(2)), (30, true, Some(1))], 40, Verdict::Evict(1));
        check(&[(60, true, Some(1)), (30, true, Some(2))], 40, Verdict::Evict(0));
    }

    #[test]
    fn nothing_that_is_in_use_or_cannot_come_back_goes() {
        check(&[(60, true, None), (30, true, Some(1))], 40, Verdict::Evict(1));
        check(&[(60, true, None)], 50, Verdict::Wait);
        check(&[(60, false, Some(1)), (30, true, Some(2))], 40, Verdict::Evict(1));
        check(&[(60, false, Some(1))], 50, Verdict::Never);
        check(&[], 101, Verdict::Never);
    }

    #[test]
    fn what_is_on_its_way_out_is_waited_for() {
        let mut ledger = Ledger::new(100);
        let since = Instant::now();
        let [first, second] = [50, 50].map(|bytes| ledger.take(&"m".into(), &"1".into(), bytes, true));
        let idle = [(first, since), (second, since)];
        assert_eq!(ledger.decide(40, &idle), Verdict::Evict(first));
        assert_eq!(ledger.leaves(first), 50);
        assert_eq!(ledger.decide(40, &idle), Verdict::Wait);
        assert_eq!(ledger.decide(90, &idle), Verdict::Evict(second));
        assert_eq!(ledger.give_back(first), 50);
        assert_eq!(ledger.decide(40, &idle), Verdict::Fits);
    }

    #[test]
    fn a_shortage_says_what_is_needed_and_who_has_it() {
        let mut ledger = Ledger::new(10 << 20);
        ledger.take(&"small".into(), &"1".into(), 1 << 20, true);
        ledger.take(&"large".into(), &"1".into(), 8 << 20, true);
        assert_eq!(
            ledger.shortage(4 << 20),
            "it needs about 4.0 MiB of memory; 9.0 MiB of 10.0 MiB are taken, by `large` (8.0 MiB), `small` (1.0 MiB)"
        );
    }
}
