//! [`Meters`]: how much each client asks, and whether that is too much.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;

use crate::keys::{ClientLimits, RateLimit};
use crate::refusal::Refusal;

/// How many clients are told apart; those beyond share one meter, so that memory stays bounded and nobody gets around
/// a limit by coming from ever new addresses.
const CLIENTS: usize = 4096;

/// How often it is looked for clients that can be forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// Who is counted as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// The bearers of a key. There are as many as the file has keys.
    Key(Arc<str>),
    /// An address, or a network.
    Peer(IpAddr),
    /// All others.
    Others,
}

/// A meter for each client that has limits and has asked lately.
#[derive(Default)]
pub(super) struct Meters(Mutex<State>);

#[derive(Default)]
struct State {
    meters: HashMap<Client, Arc<Meter>>,
    swept: Option<Instant>,
}

struct Meter {
    limits: ClientLimits,
    rate: Option<(RateLimit, DefaultDirectRateLimiter)>,
    in_flight: AtomicUsize,
    seen: Mutex<Instant>,
}

/// A place among a client's requests in flight; given back when dropped.
pub(crate) struct Place(Arc<Meter>);

impl Meters {
    /// Counts a request of this client, and refuses it if it is too much.
    pub(super) fn enter(&self, client: Client, limits: ClientLimits, now: Instant) -> Result<Place, Refusal> {
        self.meter(client, limits, now).enter(now)
    }

    fn meter(&self, client: Client, limits: ClientLimits, now: Instant) -> Arc<Meter> {
        let mut state = self.0.lock();
        if let Some(meter) = state.meters.get(&client)
            // A file of keys that was read again may say otherwise.
            && meter.limits == limits
        {
            return Arc::clone(meter);
        }
        let is_new_peer = matches!(client, Client::Peer(_)) && !state.meters.contains_key(&client);
        let client = if is_new_peer && !state.has_room(now) { Client::Others } else { client };
        let meters = &mut state.meters;
        if client == Client::Others
            && let Some(meter) = meters.get(&client)
        {
            return Arc::clone(meter);
        }
        let meter = Arc::new(Meter::new(limits, now));
        meters.insert(client, Arc::clone(&meter));
        meter
    }
}

impl State {
    /// Whether one more can be told apart, if need be after forgetting those that have rested.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.meters.len() >= CLIENTS && self.swept.is_none_or(|swept| now >= swept + SWEEP) {
            self.swept = Some(now);
            self.meters.retain(|_, meter| !meter.has_rested(now));
        }
        self.meters.len() < CLIENTS
    }
}

impl Meter {
    fn new(limits: ClientLimits, now: Instant) -> Self {
        let limiter = |rate: RateLimit| {
            let quota = Quota::with_period(rate.interval()).expect("the interval is not 0");
            (rate, RateLimiter::direct(quota.allow_burst(rate.burst())))
        };
        Self { limits, rate: limits.rate.map(limiter), in_flight: AtomicUsize::new(0), seen: Mutex::new(now) }
    }

    fn enter(self: Arc<Self>, now: Instant) -> Result<Place, Refusal> {
        *self.seen.lock() = now;
        // Relaxed: the number guards no other memory.
        let others = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Place(self);
        let meter = &place.0;
        if let Some(most) = meter.limits.concurrency.filter(|most| others >= most.get()) {
            let message =
                format!("{most} requests of this client are in flight, as many as may be; await one");
            return Err(Refusal::too_many(message, Duration::ZERO));
        }
        if let Some((rate, limiter)) = &meter.rate
            && let Err(until) = limiter.check()
        {
            let wait = until.wait_time_from(DefaultClock::default().now());
            let message = format!("this client asks too often: it may ask {rate}; try again in {wait:.0?}");
            return Err(Refusal::too_many(message, wait));
        }
        Ok(place)
    }

    /// Whether forgetting it changes nothing.
    fn has_rested(&self, now: Instant) -> bool {
        let memory = self.limits.rate.map_or(Duration::ZERO, |rate| rate.memory());
        let is_idle = self.in_flight.load(Ordering::Relaxed) == 0;
        is_idle && now.saturating_duration_since(*self.seen.lock()) >= memory
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::num::NonZeroUsize;
    use std::time::{Duration, Instant};

    use super::{CLIENTS, Client, Meters};
    use crate::keys::ClientLimits;

    fn peer(number: usize) -> Client {
        Client::Peer(Ipv4Addr::from(u32::try_from(number).unwrap()).into())
    }

    fn hourly() -> ClientLimits {
        ClientLimits { rate: Some("1/h".parse().unwrap()), concurrency: None }
    }

    #[test]
    fn each_client_has_a_rate_of_its_own() {
        let (meters, now) = (Meters::default(), Instant::now());
        let ask = |client| {
            meters.enter(client, hourly(), now).map(drop).map_err(|refusal| refusal.status().as_u16())
        };
        assert_eq!(ask(peer(1)), Ok(()));
        assert_eq!(ask(peer(1)), Err(429));
        assert_eq!(ask(peer(2)), Ok(()));
        assert_eq!(ask(Client::Key("a".into())), Ok(()));
        assert_eq!(ask(Client::Key("a".into())), Err(429));
    }

    #[test]
    fn places_come_back() {
        let (meters, now) = (Meters::default(), Instant::now());
        let limits = ClientLimits { rate: None, concurrency: NonZeroUsize::new(2) };
        let ask = || meters.enter(peer(1), limits, now);
        let (one, other) = (ask().unwrap(), ask().unwrap());
        assert!(ask().is_err() && ask().is_err());
        drop(one);
        let again = ask().unwrap();
        assert!(ask().is_err());
        drop((other, again));
        assert!(ask().is_ok());
    }

    #[test]
    fn other_limits_count_at_once() {
        let (meters, now) = (Meters::default(), Instant::now());
        let key = || Client::Key("a".into());
        assert!(meters.enter(key(), hourly(), now).is_ok());
        assert!(meters.enter(key(), hourly(), now).is_err());
        let more = ClientLimits { rate: Some("9/h".parse().unwrap()), concurrency: None };
        assert!(meters.enter(key(), more, now).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_nobody_gets_around() {
        let (meters, now) = (Meters::default(), Instant::now());
        let asks = |range: std::ops::Range<usize>, now| {
            range.filter(|number| meters.enter(peer(*number), hourly(), now).is_ok()).count()
        };
        assert_eq!(asks(0..CLIENTS, now), CLIENTS);
        assert_eq!(asks(CLIENTS..2 * CLIENTS, now), 1, "all others share one meter");
        assert_eq!(meters.0.lock().meters.len(), CLIENTS + 1);
        // After their hour they can be forgotten.
        let later = now + Duration::from_secs(3600);
        assert_eq!(asks(CLIENTS..CLIENTS + 10, later), 10);
        assert_eq!(meters.0.lock().meters.len(), 10);
        // Keys are told apart however many addresses there are.
        assert_eq!(asks(CLIENTS..2 * CLIENTS, later), CLIENTS - 10);
        assert!(meters.enter(Client::Key("a".into()), hourly(), later).is_ok());
    }
}
