//! Who asks when: bursty arrivals with deadlines, the same for everybody who plays them.

use fastrand::Rng;

use crate::cost::Cost;

const MS: f64 = 1e6;

/// How long a burst lasts, in milliseconds.
const BURST_MS: std::ops::Range<f64> = 20.0..200.0;

/// How long a caller waits, in milliseconds, by class. A full batch takes 20 ms.
const TIGHT_MS: std::ops::Range<f64> = 20.0..40.0;
const LOOSE_MS: std::ops::Range<f64> = 60.0..100.0;
const TIGHT_SHARE: f64 = 0.4;

/// One request: instants in nanoseconds from the beginning of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) arrival: u64,
    pub(crate) deadline: u64,
    pub(crate) class: Class,
}

/// How much patience a caller has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Tight,
    Loose,
}

/// Poisson arrivals whose rate jumps between calm and burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    /// Arrivals while it is calm, as a multiple of the capacity.
    calm: f64,
    /// Arrivals in a burst, as a multiple of the capacity.
    burst: f64,
    /// How long it is calm, on average, in milliseconds.
    calm_ms: f64,
}

/// About half of the capacity on average, about all of it, and about twice as much.
pub(crate) const SETTINGS: [Setting; 3] = [
    Setting { name: "light", calm: 0.25, burst: 3.0, calm_ms: 1_000.0 },
    Setting { name: "near capacity", calm: 0.5, burst: 3.0, calm_ms: 450.0 },
    Setting { name: "overload", calm: 0.8, burst: 3.0, calm_ms: 100.0 },
];

impl Setting {
    /// The requests of so many seconds, in the order of their arrival.
    pub(crate) fn trace(&self, cost: &Cost, seconds: f64, seed: u64) -> Vec<Request> {
        let mut rng = Rng::with_seed(seed);
        let end = seconds * 1e9;
        let (mut requests, mut phase_end, mut bursting) = (Vec::new(), 0.0, true);
        let mut now = 0.0;
        while now < end {
            if now >= phase_end {
                bursting = !bursting;
                phase_end = now
                    + MS * if bursting {
                        between(&mut rng, BURST_MS)
                    } else {
                        self.calm_ms * exponential(&mut rng)
                    };
            }
            let rate = cost.capacity() * if bursting { self.burst } else { self.calm };
            now += exponential(&mut rng) * 1e9 / rate;
            // Poisson arrivals have no memory: what falls behind the end of a phase is drawn anew from there.
            if now >= phase_end {
                now = phase_end;
            } else if now < end {
                requests.push(request(&mut rng, now));
            }
        }
        requests
    }
}

fn request(rng: &mut Rng, arrival: f64) -> Request {
    let class = if rng.f64() < TIGHT_SHARE { Class::Tight } else { Class::Loose };
    let patience = match class {
        Class::Tight => between(rng, TIGHT_MS),
        Class::Loose => between(rng, LOOSE_MS),
    };
    Request { arrival: arrival as u64, deadline: (arrival + patience * MS) as u64, class }
}

fn between(rng: &mut Rng, range: std::ops::Range<f64>) -> f64 {
    range.start + rng.f64() * (range.end - range.start)
}

/// Exponentially distributed around one.
fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

#[cfg(test)]
mod tests {
    use super::{Class, SETTINGS};
    use crate::cost::Cost;

    const COST: Cost = Cost { base: 4_000_000, row: 500_000, max_batch: 32 };

    #[test]
    fn a_seed_gives_one_trace() {
        for setting in SETTINGS {
            assert_eq!(setting.trace(&COST, 2.0, 7), setting.trace(&COST, 2.0, 7));
            assert_ne!(setting.trace(&COST, 2.0, 7), setting.trace(&COST, 2.0, 8));
        }
    }

    #[test]
    fn traces_are_in_order_and_as_dense_as_they_say() {
        for (setting, load) in SETTINGS.iter().zip([0.52, 0.99, 1.95]) {
            let trace = setting.trace(&COST, 400.0, 1);
            assert!(trace.is_sorted_by_key(|request| request.arrival));
            let offered = trace.len() as f64 / 400.0 / COST.capacity();
            assert!((offered / load - 1.0).abs() < 0.1, "{}: {offered}", setting.name);
            let tight = trace.iter().filter(|request| request.class == Class::Tight).count();
            assert!((tight as f64 / trace.len() as f64 - 0.4).abs() < 0.01);
            for request in &trace {
                let patience = (request.deadline - request.arrival) / 1_000_000;
                assert!(if request.class == Class::Tight { 19..=40 } else { 59..=100 }.contains(&patience));
            }
        }
    }
}
