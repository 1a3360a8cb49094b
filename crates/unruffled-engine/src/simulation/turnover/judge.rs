//! What must hold while models come and go, as far as it is not looked at where it happens: who may answer whom, and how often.

use std::collections::BTreeMap;

use crate::error::ErrorKind;

/// A request, as its caller knows it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) model: usize,
    pub(super) version: Option<String>,
    pub(super) has_deadline: bool,
    pub(super) was_given_up: bool,
}

/// A version that was once in memory.
#[derive(Clone, Debug)]
pub(super) struct Born {
    pub(super) model: usize,
    pub(super) version: String,
}

/// What has happened, for checks that need more than the moment.
#[derive(Default)]
pub(super) struct Judge {
    pub(super) asked: BTreeMap<u64, Asked>,
    pub(super) born: BTreeMap<u64, Born>,
    /// Requests without a wish since the share was set: how many went to the canary, and how many there were.
    shares: BTreeMap<usize, Share>,
    pub(super) census: Census,
}

struct Share {
    canary: String,
    percent: u64,
    hits: u64,
    answered: u64,
    /// Those of whom nobody knows where they went.
    lost: u64,
}

impl Judge {
    /// The share of a canary was set, or taken away.
    pub(super) fn share(&mut self, model: usize, canary: Option<(String, u8)>) {
        self.shares.remove(&model);
        if let Some((canary, percent)) = canary {
            let share = Share { canary, percent: percent.into(), hits: 0, answered: 0, lost: 0 };
            self.shares.insert(model, share);
        }
    }

    /// A request has ended: once, and not otherwise than it may.
    pub(super) fn ended(
        &mut self,
        id: u64,
        outcome: Result<((u64, u64), Option<String>), ErrorKind>,
    ) -> Result<(), String> {
        let asked = self.asked.remove(&id).ok_or_else(|| format!("request {id} has ended twice"))?;
        let share = self.shares.get_mut(&asked.model).filter(|_| asked.version.is_none());
        let ((number, echo), told) = match outcome {
            Ok(answer) => answer,
            Err(kind) => {
                if let Some(share) = share {
                    share.lost += 1;
                }
                return self.failed(&asked, id, kind);
            }
        };
        let born = self.born.get(&number).ok_or("an answer comes from nowhere")?;
        if echo != id || born.model != asked.model {
            return Err(format!("request {id} to model {} was answered {number}, {echo}", asked.model));
        }
        if asked.version.as_ref().is_some_and(|version| *version != born.version) {
            return Err(format!(
                "request {id} was for version {:?}, and {} answered",
                asked.version, born.version
            ));
        }
        if told.is_some_and(|told| told != born.version) {
            return Err(format!("request {id} was told another version than {}", born.version));
        }
        self.census.answered += 1;
        let Some(share) = share else { return Ok(()) };
        share.answered += 1;
        share.hits += u64::from(born.version == share.canary);
        // Those on their way when the share was set, and those of whom nothing is known, may be on either side.
        let slack = share.lost + 40;
        let due = share.answered * share.percent / 100;
        if share.hits > due + slack || share.hits + slack < due {
            return Err(format!(
                "{} of {} went to a canary of {}",
                share.hits, share.answered, share.percent
            ));
        }
        self.census.shared += 1;
        Ok(())
    }

    fn failed(&mut self, asked: &Asked, id: u64, kind: ErrorKind) -> Result<(), String> {
        let may = match kind {
            ErrorKind::DeadlineExceeded => asked.has_deadline,
            ErrorKind::Cancelled => asked.was_given_up,
            // A version that is asked for may be none, or be taken out.
            ErrorKind::NotFound => asked.version.is_some(),
            ErrorKind::NotReady => asked.version.is_some() || self.census.ends > 0,
            // The load has failed, there is no room, or too many wait.
            ErrorKind::ModelFailed | ErrorKind::Overloaded => true,
            _ => false,
        };
        *self.census.failed.entry(format!("{kind:?}")).or_default() += 1;
        if may { Ok(()) } else { Err(format!("request {id}, {asked:?}, has failed: {kind:?}")) }
    }
}

/// How often the cases came up that matter.
#[derive(Clone, Debug, Default)]
pub(super) struct Census {
    pub(super) answered: u64,
    pub(super) failed: BTreeMap<String, u64>,
    pub(super) shared: u64,
    pub(super) loads: u64,
    pub(super) failed_loads: u64,
    pub(super) idle_loads: u64,
    pub(super) evictions: u64,
    pub(super) swaps: u64,
    pub(super) removed: u64,
    pub(super) parked: u64,
    pub(super) busy_while_looked_at: u64,
    pub(super) ends: u64,
}

impl Census {
    pub(super) fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.shared += other.shared;
        self.loads += other.loads;
        self.failed_loads += other.failed_loads;
        self.idle_loads += other.idle_loads;
        self.evictions += other.evictions;
        self.swaps += other.swaps;
        self.removed += other.removed;
        self.parked += other.parked;
        self.busy_while_looked_at += other.busy_while_looked_at;
        for (kind, count) in &other.failed {
            *self.failed.entry(kind.clone()).or_default() += count;
        }
    }

    /// A simulation that never meets the hard cases proves nothing about them.
    pub(super) fn assert_varied(&self) {
        let all = [
            self.answered,
            self.shared,
            self.loads,
            self.failed_loads,
            self.idle_loads,
            self.evictions,
            self.swaps,
            self.removed,
            self.parked,
            self.busy_while_looked_at,
        ];
        assert!(all.iter().all(|count| *count > 100), "{self:?}");
        for kind in ["Overloaded", "DeadlineExceeded", "ModelFailed", "NotFound"] {
            assert!(self.failed.get(kind).is_some_and(|count| *count > 20), "{kind}: {self:?}");
        }
    }
}
