//! What a model has answered, and who waits for the same: plain data that takes `now` as an argument.
//!
//! Requests with equal inputs fly together. The queue and the run know their *carrier*, which is nobody's own; those who wait
//! for it are its *members*, each with a deadline and a context of its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use unruffled_model::{Kept, MemoKey, Provenance};

use super::options::CacheOptions;
use crate::metrics::CacheMetrics;
use crate::reply::Ticket;

/// What an answer takes beside its input and its output: its places in four maps, and its provenance.
const OVERHEAD: usize = 512;

/// Names one input among those that are known.
pub(super) type Place = u64;

/// By what the answer to a request might be found.
pub(super) struct Sought {
    pub(super) hash: u64,
    pub(super) key: Arc<MemoKey>,
    /// Where its input is known.
    pub(super) place: Option<Place>,
}

/// What was remembered: dropping it runs the callers' code.
#[expect(dead_code, reason = "it is held only to be dropped in the right place")]
pub(super) enum Forgotten<O> {
    Output(Kept<O>),
    Key(Arc<MemoKey>),
}

/// What a request is to others with the same input.
pub(super) enum Role<O> {
    /// It has nothing to do with them.
    Single,
    /// It stood for these.
    Carrier(Vec<Arc<Ticket<O>>>),
    /// It waited for another, and was the last to do so or not.
    Member { carrier: Arc<Ticket<O>>, is_last: bool },
}

/// An answer that may be given again.
pub(super) struct Answer<O> {
    pub(super) output: Kept<O>,
    pub(super) provenance: Option<Provenance>,
}

/// Answers by their inputs, and requests under way by theirs.
pub(super) struct Cache<O> {
    options: CacheOptions,
    slots: HashMap<Place, Slot<O>>,
    by_hash: HashMap<u64, Vec<Place>>,
    /// Answers, the one that was not used for longest first.
    by_use: BTreeMap<u64, Place>,
    /// By the arrival of a carrier.
    carriers: HashMap<u64, Place>,
    /// By the arrival of a member: the arrival of its carrier.
    members: HashMap<u64, u64>,
    places: Place,
    uses: u64,
    metrics: CacheMetrics,
}

/// All that there is about one input.
struct Slot<O> {
    hash: u64,
    key: Arc<MemoKey>,
    answer: Option<Stored<O>>,
    flights: Vec<Flight<O>>,
}

struct Stored<O> {
    answer: Answer<O>,
    bytes: usize,
    at: Instant,
    used: u64,
}

/// Those who wait for one carrier.
pub(super) struct Flight<O> {
    pub(super) carrier: Arc<Ticket<O>>,
    pub(super) members: Vec<Arc<Ticket<O>>>,
}

impl<O> Cache<O> {
    pub(super) fn new(options: CacheOptions) -> Self {
        Self {
            options,
            slots: HashMap::new(),
            by_hash: HashMap::new(),
            by_use: BTreeMap::new(),
            carriers: HashMap::new(),
            members: HashMap::new(),
            places: 0,
            uses: 0,
            metrics: CacheMetrics::default(),
        }
    }

    pub(super) fn metrics(&self) -> CacheMetrics {
        CacheMetrics { answers: self.by_use.len(), ..self.metrics }
    }

    /// How many requests wait for others, and have no place in the queue.
    pub(super) fn joined(&self) -> usize {
        self.members.len().saturating_sub(self.carriers.len())
    }

    /// How many requests wait for others or carry them.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.members.len() + self.carriers.len()
    }

    /// The inputs of this hash, to be compared without the lock.
    pub(super) fn of_hash(&self, hash: u64) -> Vec<(Place, Arc<MemoKey>)> {
        let places = self.by_hash.get(&hash).into_iter().flatten();
        places.map(|place| (*place, Arc::clone(&self.slots[place].key))).collect()
    }

    /// Whether this input is still known.
    pub(super) fn knows(&self, place: Place) -> bool {
        self.slots.contains_key(&place)
    }

    /// Whether all inputs of this hash are among these.
    pub(super) fn has_no_other(&self, hash: u64, known: &[(Place, Arc<MemoKey>)]) -> bool {
        let mut places = self.by_hash.get(&hash).into_iter().flatten();
        places.all(|place| known.iter().any(|(known, _)| known == place))
    }

    /// The answer to an input, if there is one that is still good.
    pub(super) fn recall(
        &mut self,
        place: Place,
        now: Instant,
        forgotten: &mut Vec<Forgotten<O>>,
    ) -> Option<(Kept<O>, Option<Provenance>)> {
        let ttl = self.options.ttl;
        let stored = self.slots.get_mut(&place)?.answer.as_mut()?;
        if ttl.is_some_and(|ttl| now.saturating_duration_since(stored.at) >= ttl) {
            self.forget(place, forgotten);
            return None;
        }
        self.by_use.remove(&stored.used);
        self.uses += 1;
        stored.used = self.uses;
        self.by_use.insert(self.uses, place);
        self.metrics.hits += 1;
        Some((stored.answer.output.clone(), stored.answer.provenance.clone()))
    }

    /// Those under way with an input.
    pub(super) fn flights(&self, place: Place) -> &[Flight<O>] {
        self.slots.get(&place).map_or(&[], |slot| &slot.flights)
    }

    /// A request waits for what this one carries.
    pub(super) fn join(&mut self, carrier: &Ticket<O>, member: &Arc<Ticket<O>>) {
        let flight = self.flight_mut(carrier).expect("looked up just now, under the lock");
        flight.members.push(Arc::clone(member));
        self.members.insert(member.key().arrival(), carrier.key().arrival());
        self.metrics.joined += 1;
    }

    /// The first request with an input, or one that cannot wait for those under way: `carrier` carries `member`.
    pub(super) fn set_out(&mut self, sought: Sought, carrier: &Arc<Ticket<O>>, member: &Arc<Ticket<O>>) {
        let Sought { hash, key, place } = sought;
        let place = place.filter(|place| self.slots.contains_key(place)).unwrap_or_else(|| {
            self.places += 1;
            self.by_hash.entry(hash).or_default().push(self.places);
            self.slots.insert(self.places, Slot { hash, key, answer: None, flights: Vec::new() });
            self.places
        });
        let flight = Flight { carrier: Arc::clone(carrier), members: vec![Arc::clone(member)] };
        self.slots.get_mut(&place).expect("put there just now").flights.push(flight);
        self.carriers.insert(carrier.key().arrival(), place);
        self.members.insert(member.key().arrival(), carrier.key().arrival());
        self.metrics.misses += 1;
    }

    /// A request leaves, whatever it was to the others.
    pub(super) fn part(&mut self, ticket: &Ticket<O>, forgotten: &mut Vec<Forgotten<O>>) -> Role<O> {
        if let Some(flight) = self.fall(ticket, forgotten) {
            return Role::Carrier(flight.members);
        }
        let arrival = ticket.key().arrival();
        let Some(carried_by) = self.members.get(&arrival).copied() else { return Role::Single };
        let place = self.carriers[&carried_by];
        let slot = self.slots.get_mut(&place).expect("a carrier has a place");
        let flight = slot.flights.iter_mut().find(|flight| flight.carrier.key().arrival() == carried_by);
        let flight = flight.expect("a carrier is under way");
        // A carrier has the arrival of the first whom it carries.
        let Some(at) = flight.members.iter().position(|member| std::ptr::eq(&**member, ticket)) else {
            return Role::Single;
        };
        flight.members.remove(at);
        self.members.remove(&arrival);
        let (carrier, is_last) = (Arc::clone(&flight.carrier), flight.members.is_empty());
        if is_last {
            self.fall(&carrier, forgotten);
        }
        Role::Member { carrier, is_last }
    }

    /// Those for whom a request stands, who then wait for it no more. `None`: it stands for nobody else.
    pub(super) fn fall(
        &mut self,
        ticket: &Ticket<O>,
        forgotten: &mut Vec<Forgotten<O>>,
    ) -> Option<Flight<O>> {
        let arrival = ticket.key().arrival();
        let place = *self.carriers.get(&arrival)?;
        let slot = self.slots.get_mut(&place)?;
        let at = slot.flights.iter().position(|flight| std::ptr::eq(&*flight.carrier, ticket))?;
        let flight = slot.flights.remove(at);
        self.carriers.remove(&arrival);
        for member in &flight.members {
            self.members.remove(&member.key().arrival());
        }
        self.tidy(place, forgotten);
        Some(flight)
    }

    /// The answer is there for those under way with the input of `ticket`: all of them, whoever carries them. It is
    /// remembered as well, if there is room for it.
    pub(super) fn land(
        &mut self,
        ticket: &Ticket<O>,
        now: Instant,
        answer: Option<Answer<O>>,
        forgotten: &mut Vec<Forgotten<O>>,
    ) -> Vec<Flight<O>> {
        let place = self.carriers.get(&ticket.key().arrival()).copied();
        let input_bytes = ticket.footprint().bytes;
        let (Some(place), Some(answer)) = (place, answer) else {
            return self.fall(ticket, forgotten).into_iter().collect();
        };
        if self.flights(place).iter().all(|flight| !std::ptr::eq(&*flight.carrier, ticket)) {
            return Vec::new();
        }
        let others = self.flights(place).iter().map(|flight| Arc::clone(&flight.carrier)).collect::<Vec<_>>();
        self.store(place, now, answer, input_bytes, forgotten);
        let mut flights: Vec<_> = others.iter().filter_map(|carrier| self.fall(carrier, forgotten)).collect();
        flights.sort_by_key(|flight| !std::ptr::eq(&*flight.carrier, ticket));
        flights
    }

    fn store(
        &mut self,
        place: Place,
        now: Instant,
        answer: Answer<O>,
        input_bytes: usize,
        forgotten: &mut Vec<Forgotten<O>>,
    ) {
        let bytes = input_bytes.saturating_add(answer.output.bytes()).saturating_add(OVERHEAD);
        self.forget(place, forgotten);
        if bytes > self.options.bytes {
            forgotten.push(Forgotten::Output(answer.output));
            return;
        }
        while self.metrics.bytes + bytes > self.options.bytes {
            let (_, oldest) = self.by_use.first_key_value().expect("bytes are taken by answers");
            let oldest = *oldest;
            self.metrics.evicted += 1;
            self.forget(oldest, forgotten);
        }
        self.uses += 1;
        self.by_use.insert(self.uses, place);
        self.metrics.bytes += bytes;
        let slot = self.slots.get_mut(&place).expect("its carrier is under way");
        slot.answer = Some(Stored { answer, bytes, at: now, used: self.uses });
    }

    /// Forgets an answer, and the input with it if nobody is under way.
    fn forget(&mut self, place: Place, forgotten: &mut Vec<Forgotten<O>>) {
        if let Some(stored) = self.slots.get_mut(&place).and_then(|slot| slot.answer.take()) {
            self.by_use.remove(&stored.used);
            self.metrics.bytes -= stored.bytes;
            forgotten.push(Forgotten::Output(stored.answer.output));
        }
        self.tidy(place, forgotten);
    }

    /// An input of which there is nothing to say any more is not known any more.
    fn tidy(&mut self, place: Place, forgotten: &mut Vec<Forgotten<O>>) {
        let is_empty = |slot: &Slot<O>| slot.answer.is_none() && slot.flights.is_empty();
        if !self.slots.get(&place).is_some_and(is_empty) {
            return;
        }
        let Some(slot) = self.slots.remove(&place) else { return };
        if let Some(places) = self.by_hash.get_mut(&slot.hash) {
            places.retain(|known| *known != place);
            if places.is_empty() {
                self.by_hash.remove(&slot.hash);
            }
        }
        forgotten.push(Forgotten::Key(slot.key));
    }

    /// Those who wait for this carrier.
    pub(super) fn carried_by(&self, carrier: &Ticket<O>) -> Option<&[Arc<Ticket<O>>]> {
        let place = self.carriers.get(&carrier.key().arrival())?;
        let flight = self.flights(*place).iter().find(|flight| std::ptr::eq(&*flight.carrier, carrier))?;
        Some(&flight.members)
    }

    fn flight_mut(&mut self, carrier: &Ticket<O>) -> Option<&mut Flight<O>> {
        let place = self.carriers.get(&carrier.key().arrival())?;
        let slot = self.slots.get_mut(place)?;
        slot.flights.iter_mut().find(|flight| std::ptr::eq(&*flight.carrier, carrier))
    }
}
