//! The queue of one model, as plain data: who goes next, what may go along, and how much may wait.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use unruffled_model::{Caller, Footprint, Name, Priority};

use crate::urgency::Next;

/// A request without a deadline is ordered as if it were due so long after its arrival, so that requests with later
/// deadlines cannot starve it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Deadlines that lie further ahead count less and less, so that those without one cannot starve them.
const FAR: Duration = Duration::from_secs(10);

/// How many rows, by its weight, a caller may be ahead of the others before they go first.
const LEAD: f64 = 8.0;

/// The shape of a request for an instance of its own, which no run has: it weighs nothing and shares nothing.
pub(crate) const WHOLE: u64 = u64::MAX;

/// How many callers of a class that have nothing to wait for just now are remembered for having been ahead.
const DEBTORS: usize = 1024;

/// The place of a request in the queue: class, then due time, then arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    class: Priority,
    due: Instant,
    arrival: u64,
}

impl Key {
    pub(crate) fn new(class: Priority, deadline: Option<Instant>, arrived: Instant, arrival: u64) -> Self {
        let ahead = deadline.map_or(PATIENCE, |deadline| deadline.saturating_duration_since(arrived));
        let due = if ahead > FAR {
            arrived + FAR + Duration::from_secs_f64((ahead.as_secs_f64() / FAR.as_secs_f64()).log2())
        } else {
            arrived + ahead
        };
        Self { class, due, arrival }
    }

    pub(crate) fn arrival(&self) -> u64 {
        self.arrival
    }

    pub(crate) fn class(&self) -> Priority {
        self.class
    }

    pub(crate) fn due(&self) -> Instant {
        self.due
    }
}

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Requests.
    pub items: usize,
    /// Bytes of their inputs, as [`Footprint::bytes`](unruffled_model::Footprint::bytes) counts them.
    pub bytes: usize,
}

impl Default for QueueLimits {
    /// 1,024 requests and 256 MiB.
    fn default() -> Self {
        Self { items: 1024, bytes: 256 << 20 }
    }
}

/// Why a request was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Items,
    Bytes,
}

/// A request in the queue.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) key: Key,
    pub(crate) deadline: Option<Instant>,
    pub(crate) footprint: Footprint,
    /// Those that a failed run left under suspicion are run again among themselves: 0 is nobody's cohort.
    pub(crate) cohort: u64,
    pub(crate) caller: Option<Caller>,
    pub(crate) item: T,
}

impl<T> Entry<T> {
    fn may_join(&self, company: Option<(u64, u64)>) -> bool {
        company.is_none_or(|company| company == (self.footprint.bucket, self.cohort))
    }
}

/// A batch that is being put together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft {
    pub(crate) bucket: u64,
    pub(crate) requests: usize,
    pub(crate) rows: usize,
    /// The rows among them of the class that the first has.
    pub(crate) own_rows: usize,
    /// The class that the first has.
    pub(crate) class: Priority,
    /// The earliest deadline in it.
    pub(crate) deadline: Option<Instant>,
}

impl Draft {
    fn with<T>(draft: Option<Draft>, entry: &Entry<T>) -> Self {
        let Footprint { rows, bucket, .. } = entry.footprint;
        let class = entry.key.class;
        let none = Draft { bucket, requests: 0, rows: 0, own_rows: 0, class, deadline: None };
        let mut draft = draft.unwrap_or(none);
        draft.requests += 1;
        draft.rows += rows;
        draft.own_rows += if draft.class == class { rows } else { 0 };
        draft.deadline = [draft.deadline, entry.deadline].into_iter().flatten().min();
        draft
    }
}

/// Says which batches make sense.
pub(crate) trait Rule {
    /// Whether a request cannot make its deadline any more, even if it ran alone and at once.
    fn is_hopeless(&self, alone: Draft) -> bool;

    /// Whether a batch of more than one request is one that should run.
    fn allows(&self, draft: Draft) -> bool;
}

/// What was taken out of the queue.
pub(crate) struct Taken<T> {
    /// What is to run, the most urgent first.
    pub(crate) batch: Vec<Entry<T>>,
    /// What cannot make its deadline any more.
    pub(crate) hopeless: Vec<Entry<T>>,
}

/// What stands before a place in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ahead {
    pub(crate) requests: usize,
    pub(crate) rows: usize,
    /// Those of the same class and caller among them.
    pub(crate) own: usize,
    /// The rows of all others.
    pub(crate) others_rows: usize,
}

/// Requests in the order in which they are to run: by class, fairly between the callers of a class, and by due time.
///
/// A class that has been passed over for the ageing time gives the next batch, once.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    limits: QueueLimits,
    ageing: Duration,
    lanes: [Lane<T>; Priority::ALL.len()],
    len: usize,
    rows: usize,
    bytes: usize,
    /// Those among them that want an instance for themselves.
    wholes: usize,
}

/// One class: a line for each caller that has something to wait for.
#[derive(Debug)]
struct Lane<T> {
    lines: Vec<Line<T>>,
    /// What a caller that comes in is taken to have had already: no more than the one that was served last.
    clock: f64,
    /// Callers who had more than their share and have nothing to wait for just now.
    debtors: HashMap<Option<Name>, f64>,
    /// Since when it has had work and given no batch.
    passed_over_since: Option<Instant>,
}

/// One caller's requests of one class.
///
/// Requests mostly arrive in the order in which they are due, so that both ends are where they come in and go out.
/// Elsewhere, entering and leaving costs a move of what stands behind.
#[derive(Debug)]
struct Line<T> {
    caller: Option<Caller>,
    /// Rows that it was given so far, by its weight.
    served: f64,
    rows: usize,
    entries: VecDeque<Entry<T>>,
    /// The first entry that the batch in the making has not passed over.
    cursor: usize,
}

impl<T> Line<T> {
    fn weight(&self) -> f64 {
        self.caller.as_ref().map_or(1.0, |caller| f64::from(caller.weight.get()))
    }

    /// The entries before this place, and about how many rows they have.
    fn ahead_of(&self, key: &Key) -> Ahead {
        let requests = self.entries.partition_point(|entry| entry.key < *key);
        let rows = (self.rows * requests).div_ceil(self.entries.len().max(1));
        Ahead { requests, rows, own: requests, others_rows: 0 }
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { lines: Vec::new(), clock: 0.0, debtors: HashMap::new(), passed_over_since: None }
    }
}

impl<T> Lane<T> {
    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn line_of(&self, caller: Option<&Caller>) -> Option<usize> {
        self.lines.iter().position(|line| {
            line.caller.as_ref().map(|caller| &*caller.key) == caller.map(|caller| &*caller.key)
        })
    }

    fn insert(&mut self, now: Instant, entry: Entry<T>) {
        self.passed_over_since.get_or_insert(now);
        let at = self.line_of(entry.caller.as_ref()).unwrap_or_else(|| {
            let caller = entry.caller.clone();
            let debt = match self.debtors.is_empty() {
                true => None,
                false => self.debtors.remove(&caller.as_ref().map(|caller| caller.key.clone())),
            };
            let served = debt.map_or(self.clock, |debt| debt.max(self.clock));
            self.lines.push(Line { caller, served, rows: 0, entries: VecDeque::new(), cursor: 0 });
            self.lines.len() - 1
        });
        let line = &mut self.lines[at];
        line.rows += entry.footprint.rows;
        match line.entries.back() {
            Some(last) if last.key > entry.key => {
                let at = line.entries.partition_point(|known| known.key < entry.key);
                line.entries.insert(at, entry);
            }
            _ => line.entries.push_back(entry),
        }
    }

    fn remove(&mut self, line: usize, at: usize) -> Option<Entry<T>> {
        let own = &mut self.lines[line];
        let entry = own.entries.remove(at)?;
        own.rows -= entry.footprint.rows;
        if own.entries.is_empty() {
            let gone = self.lines.swap_remove(line);
            self.remember(gone);
        }
        if self.lines.is_empty() {
            self.passed_over_since = None;
        }
        Some(entry)
    }

    /// Who leaves with more than his share is not owed as much when he comes back at once.
    fn remember(&mut self, gone: Line<T>) {
        let is_alone = self.lines.is_empty() && self.debtors.is_empty();
        if is_alone || gone.served <= self.clock {
            return;
        }
        if self.debtors.len() >= DEBTORS {
            let clock = self.clock;
            self.debtors.retain(|_, served| *served > clock);
        }
        if self.debtors.len() < DEBTORS {
            self.debtors.insert(gone.caller.map(|caller| caller.key), gone.served);
        }
    }

    /// Who goes next among those that may join: the earliest due of the callers that are not too far ahead of the others.
    fn next(&mut self, company: Option<(u64, u64)>) -> Option<(usize, usize)> {
        let mut least = f64::INFINITY;
        for line in &mut self.lines {
            while line.entries.get(line.cursor).is_some_and(|entry| !entry.may_join(company)) {
                line.cursor += 1;
            }
            if line.cursor < line.entries.len() {
                least = least.min(line.served);
            }
        }
        let candidates = self.lines.iter().enumerate().filter(|(_, line)| line.served <= least + LEAD);
        candidates
            .filter_map(|(at, line)| Some((line.entries.get(line.cursor)?.key, at, line.cursor)))
            .min()
            .map(|(_, line, entry)| (line, entry))
    }

    /// Takes one out to be run, on its caller's account.
    fn take(&mut self, line: usize, at: usize) -> Option<Entry<T>> {
        let own = &mut self.lines[line];
        self.clock = self.clock.max(own.served);
        own.served += own.entries.get(at)?.footprint.rows.max(1) as f64 / own.weight();
        self.remove(line, at)
    }

    fn rewind(&mut self) {
        self.lines.iter_mut().for_each(|line| line.cursor = 0);
    }
}

impl<T> Queue<T> {
    pub(crate) fn new(limits: QueueLimits, ageing: Duration) -> Self {
        Self { limits, ageing, lanes: Default::default(), len: 0, rows: 0, bytes: 0, wholes: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many requests of a class wait.
    pub(crate) fn waiting(&self, class: Priority) -> usize {
        self.lanes[class as usize].lines.iter().map(|line| line.entries.len()).sum()
    }

    /// Whether there is room for one more, once another has left.
    pub(crate) fn has_room(&self, footprint: &Footprint, leaving: Option<&Footprint>) -> Result<(), Full> {
        if self.len - usize::from(leaving.is_some()) >= self.limits.items {
            return Err(Full::Items);
        }
        let bytes = self.bytes - leaving.map_or(0, |leaving| leaving.bytes);
        match bytes.checked_add(footprint.bytes) {
            Some(bytes) if bytes <= self.limits.bytes => Ok(()),
            _ => Err(Full::Bytes),
        }
    }

    /// Takes a request in. For a new one the caller has asked [`has_room`](Self::has_room); those that come back from a run
    /// that was stopped or split have had their place, and may exceed the limits by what was running.
    pub(crate) fn push(&mut self, now: Instant, entry: Entry<T>) {
        self.len += 1;
        self.rows += entry.footprint.rows;
        self.bytes += entry.footprint.bytes;
        self.wholes += usize::from(entry.footprint.bucket == WHOLE);
        self.lanes[entry.key.class as usize].insert(now, entry);
    }

    /// Whether a request is in it.
    pub(crate) fn contains(&self, key: &Key, caller: Option<&Caller>) -> bool {
        let lane = &self.lanes[key.class as usize];
        let line = lane.line_of(caller).map(|at| &lane.lines[at].entries);
        line.is_some_and(|entries| entries.binary_search_by(|known| known.key.cmp(key)).is_ok())
    }

    /// Takes one request out, wherever it stands.
    pub(crate) fn remove(&mut self, key: &Key, caller: Option<&Caller>) -> Option<T> {
        let lane = &mut self.lanes[key.class as usize];
        let line = lane.line_of(caller)?;
        let at = lane.lines[line].entries.binary_search_by(|known| known.key.cmp(key)).ok()?;
        let entry = lane.remove(line, at)?;
        self.forget(&entry.footprint);
        Some(entry.item)
    }

    /// What runs before a request of this place.
    pub(crate) fn ahead_of(&self, key: &Key, caller: Option<&Caller>) -> Ahead {
        let mut ahead = Ahead::default();
        let (before, own_lane) = (&self.lanes[..key.class as usize], &self.lanes[key.class as usize]);
        for line in before.iter().flat_map(|lane| &lane.lines) {
            ahead.requests += line.entries.len();
            ahead.rows += line.rows;
        }
        let own = own_lane.line_of(caller);
        let mine = own.map(|at| own_lane.lines[at].ahead_of(key)).unwrap_or_default();
        let weight = caller.map_or(1.0, |caller| f64::from(caller.weight.get()));
        for (at, line) in own_lane.lines.iter().enumerate() {
            let mut share = line.ahead_of(key);
            if Some(at) != own {
                // Another caller goes before this one only as far as its share goes.
                let fair = (mine.rows as f64 / weight + LEAD) * line.weight();
                let rows = share.rows.min(fair as usize);
                share.requests = (share.requests * rows).div_ceil(share.rows.max(1));
                share.rows = rows;
            }
            ahead.requests += share.requests;
            ahead.rows += share.rows;
        }
        ahead.own = mine.requests;
        ahead.others_rows = ahead.rows - mine.rows;
        ahead
    }

    /// The requests of one caller and class from a place on, in order.
    pub(crate) fn line_from(
        &self,
        class: Priority,
        caller: Option<&Caller>,
        place: usize,
    ) -> impl Iterator<Item = &Entry<T>> {
        let lane = &self.lanes[class as usize];
        let line = lane.line_of(caller).map(|at| &lane.lines[at].entries);
        line.into_iter().flat_map(move |entries| entries.range(place.min(entries.len())..))
    }

    /// How many instances those want for themselves that come before a place, or before all that may come.
    pub(crate) fn wholes_before(&self, key: Option<&Key>) -> usize {
        let Some(key) = key.filter(|_| self.wholes > 0) else { return self.wholes };
        let lines = self.lanes.iter().flat_map(|lane| &lane.lines);
        let before = |entry: &&Entry<T>| entry.footprint.bucket == WHOLE && entry.key < *key;
        lines.flat_map(|line| &line.entries).filter(before).count()
    }

    /// Which lane gives the next batch, and whether it does because it was passed over for too long.
    fn next_lane(&self, now: Instant) -> Option<(usize, bool)> {
        let passed_over = |lane: &Lane<T>| {
            let since = lane.passed_over_since?;
            (now.saturating_duration_since(since) >= self.ageing).then_some(since)
        };
        let aged = (0..self.lanes.len()).filter_map(|at| Some((passed_over(&self.lanes[at])?, at))).min();
        match aged {
            Some((_, at)) => Some((at, true)),
            None => self.lanes.iter().position(|lane| !lane.is_empty()).map(|at| (at, false)),
        }
    }

    /// How urgent the next batch is.
    pub(crate) fn urgency(&mut self, now: Instant) -> Option<Next> {
        let aged = self.next_lane(now)?.1;
        let lane = self.lanes.iter_mut().find(|lane| !lane.is_empty())?;
        lane.rewind();
        let (line, at) = lane.next(None)?;
        let key = lane.lines[line].entries[at].key;
        Some(Next { class: key.class, due: key.due, aged })
    }

    /// A run of this class has ended: as long as it went on, the class was not passed over.
    pub(crate) fn served(&mut self, class: Priority, now: Instant) {
        let since = &mut self.lanes[class as usize].passed_over_since;
        *since = since.map(|_| now);
    }

    /// Takes out the most urgent request, and after it those that may share its run, in order, as far as the rule allows.
    ///
    /// The first is taken whatever its size. One that is not allowed ends the batch, so that small late-comers do not
    /// overtake it for ever.
    pub(crate) fn take(&mut self, now: Instant, rule: &impl Rule) -> Taken<T> {
        let mut taken = Taken { batch: Vec::new(), hopeless: Vec::new() };
        let Some((first, entry)) = self.take_head(now, rule, &mut taken.hopeless) else {
            self.count_out(&taken);
            return taken;
        };
        let company = Some((entry.footprint.bucket, entry.cohort));
        let mut draft = Draft::with(None, &entry);
        taken.batch.push(entry);
        let others = (0..self.lanes.len()).filter(|lane| *lane != first);
        for lane in std::iter::once(first).chain(others) {
            while let Some((line, at)) = self.lanes[lane].next(company) {
                let entry = &self.lanes[lane].lines[line].entries[at];
                if rule.is_hopeless(Draft::with(None, entry)) {
                    taken.hopeless.extend(self.lanes[lane].remove(line, at));
                    continue;
                }
                let grown = Draft::with(Some(draft), entry);
                if !rule.allows(grown) {
                    self.count_out(&taken);
                    return taken;
                }
                draft = grown;
                taken.batch.extend(self.lanes[lane].take(line, at));
            }
        }
        self.count_out(&taken);
        taken
    }

    /// Takes out the one that goes next, and tells its lane.
    fn take_head(
        &mut self,
        now: Instant,
        rule: &impl Rule,
        hopeless: &mut Vec<Entry<T>>,
    ) -> Option<(usize, Entry<T>)> {
        self.lanes.iter_mut().for_each(Lane::rewind);
        // Whose turn it is may depend on those that are given up.
        loop {
            let (at, _) = self.next_lane(now)?;
            let lane = &mut self.lanes[at];
            let (line, entry) = lane.next(None)?;
            if rule.is_hopeless(Draft::with(None, &lane.lines[line].entries[entry])) {
                hopeless.extend(lane.remove(line, entry));
                continue;
            }
            let head = lane.take(line, entry)?;
            lane.passed_over_since = lane.passed_over_since.map(|_| now);
            return Some((at, head));
        }
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        (self.len, self.rows, self.bytes, self.wholes) = (0, 0, 0, 0);
        let lanes = std::mem::take(&mut self.lanes);
        let lines = lanes.into_iter().flat_map(|lane| lane.lines);
        lines.flat_map(|line| line.entries).map(|entry| entry.item)
    }

    fn count_out(&mut self, taken: &Taken<T>) {
        for entry in taken.batch.iter().chain(&taken.hopeless) {
            self.forget(&entry.footprint);
        }
    }

    fn forget(&mut self, footprint: &Footprint) {
        self.len -= 1;
        self.rows -= footprint.rows;
        self.bytes -= footprint.bytes;
        self.wholes -= usize::from(footprint.bucket == WHOLE);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use unruffled_model::{Caller, Footprint, Priority};

    use super::{Ahead, Draft, Entry, Key, Queue, QueueLimits, Rule};

    struct AtMost(usize);

    impl Rule for AtMost {
        fn is_hopeless(&self, _: Draft) -> bool {
            false
        }

        fn allows(&self, draft: Draft) -> bool {
            draft.rows <= self.0
        }
    }

    /// A queue of numbered requests on a clock that stands still.
    struct Scene(Queue<u64>, Instant);

    impl Scene {
        fn new() -> Self {
            let limits = QueueLimits { items: 1000, bytes: 1000 };
            Self(Queue::new(limits, Duration::from_secs(1)), Instant::now())
        }

        fn push(&mut self, class: Priority, caller: Option<&Caller>, item: u64) {
            let entry = Entry {
                key: Key::new(class, None, self.1, item),
                deadline: None,
                footprint: Footprint::single(0),
                cohort: 0,
                caller: caller.cloned(),
                item,
            };
            self.0.push(self.1, entry);
        }

        fn take(&mut self, after: Duration, rows: usize) -> Vec<u64> {
            let taken = self.0.take(self.1 + after, &AtMost(rows));
            taken.batch.into_iter().map(|entry| entry.item).collect()
        }
    }

    #[test]
    fn callers_share_in_proportion_to_their_weights() {
        let (greedy, modest) = (Caller::new("greedy"), Caller::new("modest").with_weight(3));
        let mut scene = Scene::new();
        for item in 0..200 {
            scene.push(Priority::Normal, Some(&greedy), item);
        }
        for item in 200..400 {
            scene.push(Priority::Normal, Some(&modest), item);
        }
        let first: Vec<u64> = (0..100).flat_map(|_| scene.take(Duration::ZERO, 1)).collect();
        let modest_share = first.iter().filter(|item| **item >= 200).count();
        assert!((65..=76).contains(&modest_share), "3 of 4, less the lead: {modest_share}");
        let own: Vec<_> = first.iter().filter(|item| **item < 200).collect();
        assert!(own.is_sorted(), "a caller's own requests keep their order");
    }

    #[test]
    fn who_comes_late_is_not_owed_the_past() {
        let (old, new) = (Caller::new("old"), Caller::new("new"));
        let mut scene = Scene::new();
        for item in 0..100 {
            scene.push(Priority::Normal, Some(&old), item);
        }
        scene.take(Duration::ZERO, 50);
        for item in 100..200 {
            scene.push(Priority::Normal, Some(&new), item);
        }
        let next = scene.take(Duration::ZERO, 50);
        let fresh = next.iter().filter(|item| **item >= 100).count();
        assert!((17..=33).contains(&fresh), "half, more or less the lead: {fresh}");
    }

    #[test]
    fn a_class_that_was_passed_over_goes_first_once() {
        let mut scene = Scene::new();
        scene.push(Priority::Bulk, None, 0);
        scene.push(Priority::Bulk, None, 1);
        for item in 2..6 {
            scene.push(Priority::Interactive, None, item);
        }
        let ms = Duration::from_millis;
        assert_eq!(scene.take(ms(999), 1), [2]);
        assert_eq!(scene.take(ms(1000), 1), [0], "a second has passed");
        assert_eq!(scene.take(ms(1001), 1), [3], "and then the usual order again");
        assert_eq!(scene.take(ms(2000), 1), [1]);
    }

    #[test]
    fn what_is_ahead_is_the_part_before_the_place() {
        let (other, own) = (Caller::new("other"), Caller::new("own"));
        let mut scene = Scene::new();
        for item in 0..5 {
            scene.push(Priority::Bulk, None, item);
        }
        for item in 5..105 {
            scene.push(Priority::Normal, Some(&other), item);
        }
        scene.push(Priority::Interactive, None, 105);
        let ahead = |class, caller| {
            let Ahead { requests, rows, own, others_rows } =
                scene.0.ahead_of(&Key::new(class, None, scene.1, 200), caller);
            (requests, rows, own, others_rows)
        };
        assert_eq!(ahead(Priority::Interactive, None), (1, 1, 1, 0));
        assert_eq!(ahead(Priority::Normal, Some(&other)), (101, 101, 100, 1));
        assert_eq!(ahead(Priority::Normal, Some(&own)), (9, 9, 0, 9), "a fair share of it");
        assert_eq!(ahead(Priority::Bulk, None), (106, 106, 5, 101));
    }

    #[test]
    fn suspects_run_among_themselves() {
        let mut scene = Scene::new();
        for (item, cohort) in [(0, 7), (1, 0), (2, 7), (3, 8)] {
            scene.push(Priority::Normal, None, item);
            scene.0.lanes[1].lines[0].entries.back_mut().unwrap().cohort = cohort;
        }
        assert_eq!(scene.take(Duration::ZERO, 10), [0, 2]);
        assert_eq!(scene.take(Duration::ZERO, 10), [1]);
        assert_eq!(scene.take(Duration::ZERO, 10), [3]);
        assert!(scene.0.is_empty());
    }
}
