//! What must be so by the promises alone: the queue and the runs of each model, followed event by event.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use unruffled_model::Priority;

use crate::error::ErrorKind;
use crate::simulation::trace::{At, Event, Facts, Id, Kind, Micros, RunFacts, Trace};

/// A request without a deadline counts as due so long after its arrival.
const PATIENCE: Micros = 1_000_000;

/// A request in the queue.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) facts: Facts,
    pub(super) due: Micros,
    /// It was in a run that failed: it runs with others of that run only.
    pub(super) suspect: bool,
}

/// A run that goes on.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) ids: Vec<Id>,
    pub(super) began: Micros,
}

/// One model as it must be.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) waiting: BTreeMap<Id, Waiting>,
    pub(super) running: HashMap<usize, Running>,
    /// Instances that somebody has for himself, by slot; one that is forgotten is here until somebody else has it.
    pub(super) leased: BTreeMap<usize, Id>,
    /// Calls that wait for a leased instance.
    pub(super) calls: BTreeMap<Id, Facts>,
    /// Since when each class has had work and given no batch.
    pub(super) passed_over: BTreeMap<Priority, Micros>,
    /// The longest run so far.
    pub(super) longest: Micros,
    pub(super) runs: usize,
    pub(super) closed: bool,
}

impl Expected {
    pub(super) fn bytes(&self) -> usize {
        self.waiting.values().map(|waiting| waiting.facts.footprint.bytes).sum()
    }

    /// The calls that wait for the instance of this lease, the first one first.
    pub(super) fn line_of(&self, lease: Id) -> impl Iterator<Item = (Id, &Facts)> {
        self.calls
            .iter()
            .filter(move |(_, facts)| facts.lease() == Some(lease))
            .map(|(id, facts)| (*id, facts))
    }

    /// Classes without work have not been passed over.
    fn note_classes(&mut self, at: Micros) {
        for class in Priority::ALL {
            if self.waiting.values().any(|waiting| waiting.facts.class == class) {
                self.passed_over.entry(class).or_insert(at);
            } else {
                self.passed_over.remove(&class);
            }
        }
    }
}

/// All models, and all requests that came.
pub(super) struct Ledger<'a> {
    pub(super) trace: &'a Trace,
    pub(super) models: Vec<Expected>,
    pub(super) facts: HashMap<Id, Facts>,
    /// Nobody waits for these any more.
    pub(super) gone: BTreeSet<Id>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(trace: &'a Trace) -> Self {
        let models = trace.models.iter().map(|_| Expected::default()).collect();
        Self { trace, models, facts: HashMap::new(), gone: BTreeSet::new() }
    }

    /// Reads a history: `judge` sees each event before it counts.
    pub(super) fn read(
        trace: &'a Trace,
        mut judge: impl FnMut(&Self, Micros, &Event) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut ledger = Self::new(trace);
        for (at, event) in &trace.events {
            judge(&ledger, *at, event).map_err(|violation| format!("at {at} us: {violation}"))?;
            ledger.follow(*at, event);
        }
        Ok(())
    }

    pub(super) fn expected_of(&self, id: Id) -> Option<&Expected> {
        self.facts.get(&id).map(|facts| &self.models[facts.model])
    }

    /// The run that a request is in.
    pub(super) fn run_of(&self, id: Id) -> Option<&Running> {
        self.expected_of(id)?.running.values().find(|running| running.ids.contains(&id))
    }

    /// Whether nobody waits for this request, by the clock too.
    pub(super) fn is_gone(&self, id: Id, at: Micros) -> bool {
        let late = |facts: &Facts| facts.deadline.is_some_and(|deadline| deadline <= at);
        self.gone.contains(&id) || self.facts.get(&id).is_some_and(late)
    }

    fn leave(&mut self, at: Micros, id: Id) {
        self.gone.insert(id);
        if let Some(facts) = self.facts.get(&id) {
            let expected = &mut self.models[facts.model];
            expected.waiting.remove(&id);
            expected.calls.remove(&id);
            expected.note_classes(at);
        }
    }

    /// A lease is over, if it ever was: its calls with it.
    fn end_lease(&mut self, at: Micros, lease: Id) {
        self.models.iter_mut().for_each(|expected| expected.leased.retain(|_, known| *known != lease));
        let calls = self.facts.iter().filter(|(_, facts)| facts.lease() == Some(lease));
        let calls: Vec<Id> = calls.map(|(id, _)| *id).collect();
        calls.into_iter().for_each(|call| self.leave(at, call));
    }

    /// Whoever is let in with a key takes the older one's place.
    fn supersede(&mut self, at: Micros, facts: &Facts, refused: Option<ErrorKind>) {
        let older = |waiting: &Waiting| facts.key.is_some() && waiting.facts.key == facts.key;
        let waiting = self.models[facts.model].waiting.iter();
        if refused.is_none()
            && let Some((id, _)) = waiting.into_iter().find(|(_, waiting)| older(waiting))
        {
            let id = *id;
            self.leave(at, id);
        }
    }

    pub(super) fn follow(&mut self, at: Micros, event: &Event) {
        if let Event::Submitted(_, facts, refused) = event {
            self.supersede(at, facts, *refused);
        }
        match event {
            Event::Planned(id, facts) => {
                self.facts.insert(*id, facts.clone());
            }
            Event::Submitted(id, facts, None) => {
                self.facts.insert(*id, facts.clone());
                if facts.lease().is_some() {
                    self.models[facts.model].calls.insert(*id, facts.clone());
                    return;
                }
                let due = facts.deadline.unwrap_or(at + PATIENCE);
                let waiting = Waiting { facts: facts.clone(), due, suspect: false };
                let expected = &mut self.models[facts.model];
                expected.waiting.insert(*id, waiting);
                expected.note_classes(at);
            }
            Event::Dropped(id) | Event::Stopping(id) | Event::Answered(id, _) | Event::Inline(id) => {
                self.leave(at, *id);
                let is_lease = self.facts.get(id).is_some_and(|facts| facts.kind == Kind::Lease);
                if is_lease && !matches!(event, Event::Answered(_, Ok(_))) {
                    self.end_lease(at, *id);
                }
            }
            Event::Leased { model, slot, id } => {
                let expected = &mut self.models[*model];
                if let Some(waiting) = expected.waiting.remove(id) {
                    expected.passed_over.insert(waiting.facts.class, at);
                }
                expected.leased.insert(*slot, *id);
                expected.note_classes(at);
            }
            Event::Released(id) => self.end_lease(at, *id),
            Event::Taken { model, slot, ids } => {
                let expected = &mut self.models[*model];
                if let Some(head) = ids.first().and_then(|id| expected.waiting.get(id)) {
                    expected.passed_over.insert(head.facts.class, at);
                }
                expected.waiting.retain(|id, _| !ids.contains(id));
                expected.calls.retain(|id, _| !ids.contains(id));
                // Taken by somebody else: the lease was forgotten.
                let is_call = ids.first().is_some_and(|id| self.facts[id].lease().is_some());
                if !is_call {
                    expected.leased.remove(slot);
                }
                expected.running.insert(*slot, Running { ids: ids.clone(), began: at });
                expected.note_classes(at);
            }
            Event::Ended(run) => self.end_run(at, run),
            Event::Abandoned { model, slot } => {
                let expected = &mut self.models[*model];
                expected.running.remove(slot);
                expected.leased.remove(slot);
            }
            Event::BuildFailed { model, others: false } => {
                let waiting: Vec<Id> = self.models[*model].waiting.keys().copied().collect();
                waiting.into_iter().for_each(|id| self.leave(at, id));
            }
            Event::Closed(model) => {
                let expected = &mut self.models[*model];
                expected.closed = true;
                let running = expected.running.values().flat_map(|running| running.ids.iter().copied());
                let waiting = expected.waiting.keys().chain(expected.calls.keys()).copied();
                let all: Vec<Id> = waiting.chain(running).collect();
                expected.leased.clear();
                all.into_iter().for_each(|id| self.leave(at, id));
            }
            _ => {}
        }
    }

    /// Rows that a run has left go back to the queue, where the promises say so.
    fn end_run(&mut self, at: Micros, run: &RunFacts) {
        let back = self.goes_back(at, run);
        let facts = &self.trace.models[run.model];
        let expected = &mut self.models[run.model];
        let Some(running) = expected.running.remove(&run.slot) else { return };
        debug_assert!(facts.instances_max > run.slot);
        if run.panicked {
            expected.leased.remove(&run.slot);
        }
        // As long as a long run of its class goes on, a class is not passed over.
        if (at - running.began) * 8 >= self.trace.ageing
            && let Some(class) =
                running.ids.first().and_then(|id| self.facts.get(id)).map(|facts| facts.class)
            && expected.passed_over.contains_key(&class)
        {
            expected.passed_over.insert(class, at);
        }
        expected.longest = expected.longest.max(at - running.began);
        expected.runs += 1;
        // Who waits for a scoped model, nobody sees.
        let back = if facts.scoped { Vec::new() } else { back };
        for id in back {
            let facts = self.facts[&id].clone();
            // Its due time is what it was; it need not be exact beyond order.
            let due = facts.deadline.unwrap_or(PATIENCE);
            expected.waiting.insert(id, Waiting { facts, due, suspect: true });
        }
        expected.note_classes(at);
    }

    /// Who is put back into the queue when this run ends.
    pub(super) fn goes_back(&self, at: Micros, run: &RunFacts) -> Vec<Id> {
        let facts = &self.trace.models[run.model];
        let wanted = |id: &&Id| !self.is_gone(**id, at);
        if !facts.reruns_leftovers() || !(run.failed || run.yielding) || self.models[run.model].closed {
            return Vec::new();
        }
        // Who failed alone is to blame.
        let alone = !run.yielding && run.left.len() == 1 && !run.culprit;
        if alone { Vec::new() } else { run.left.iter().filter(wanted).copied().collect() }
    }

    /// Whether anything interactive waits, in any model.
    pub(super) fn is_urgent(&self) -> bool {
        let waiting = self.models.iter().flat_map(|expected| expected.waiting.values());
        let calls = self.models.iter().flat_map(|expected| expected.calls.values());
        let mut all = waiting.map(|waiting| &waiting.facts).chain(calls);
        all.any(|facts| facts.class == Priority::Interactive)
    }

    pub(super) fn model_of(&self, id: Id) -> At {
        self.facts.get(&id).map_or(At::MAX, |facts| facts.model)
    }
}
