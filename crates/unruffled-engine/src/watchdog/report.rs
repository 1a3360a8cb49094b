//! What a watch has found.

use std::fmt;
use std::time::Duration;

use unruffled_model::Name;

use super::lateness::Lateness;
use super::stall::Stall;

/// How an event loop has been doing since its watch began. Its `Display` is a report of a few lines.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoopReport {
    /// The name of the watch.
    pub name: Name,
    /// How long the loop may be kept before that is a stall.
    pub limit: Duration,
    /// How often the loop beat. Zero without a [`Heartbeat`](super::Heartbeat) on it.
    pub beats: u64,
    /// How many beats did not take place because the loop was late for the one before.
    pub missed: u64,
    /// How late the loop was for its beats: from when a beat was due until the loop polled it. It holds the lateness of the
    /// timer and of whatever else the machine did meanwhile. Missed beats count as late as they would have been.
    pub lateness: Lateness,
    /// How late the watch's own timer was for the same beats, counted alike: when the loop is no later than this, it is the
    /// machine that is late.
    pub timer_lateness: Lateness,
    /// How many stalls there were.
    pub stalls_total: u64,
    /// The newest of them, newest last.
    pub stalls: Vec<Stall>,
}

impl fmt::Display for LoopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, limit, beats, missed, stalls_total, .. } = self;
        writeln!(f, "event loop `{name}`: {beats} beats, {missed} missed")?;
        writeln!(f, "  loop late by: {}", self.lateness)?;
        writeln!(f, "  timer late by: {}", self.timer_lateness)?;
        write!(f, "  stalls of {limit:?} or more: {stalls_total}")?;
        let forgotten = stalls_total.saturating_sub(self.stalls.len() as u64);
        if forgotten > 0 {
            write!(f, ", the newest {}", self.stalls.len())?;
        }
        for stall in &self.stalls {
            write!(f, "\n    {}. {stall}", stall.number)?;
        }
        Ok(())
    }
}
