//! What is done about a run that has failed: plain decisions.

use std::time::Duration;

use super::queue::Release;
use super::status::{JobFailure, JobOutcome};
use crate::error::{Error, ErrorKind};

/// How long jobs wait that are tried again: longer each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backoff {
    pub(super) first: Duration,
    pub(super) max: Duration,
}

impl Backoff {
    /// The wait after this many returns; `chance`, from 0 to 1, spreads those that failed together over the second half.
    pub(super) fn after(self, returned: u32, chance: f64) -> Duration {
        let doubled = self.first.saturating_mul(1 << returned.min(30)).min(self.max);
        doubled.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }
}

/// What becomes of a job after a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Settled {
    /// It has ended.
    Ended(JobOutcome),
    /// It goes back.
    Back(Release),
}

/// What becomes of a job whose run has failed. Only what may pass by itself is tried again: another run of a wrong input, or of
/// what somebody cancelled, would end the same way.
pub(super) fn settle(error: &Error, returned: u32, backoff: Backoff, chance: f64) -> Settled {
    let failure = JobFailure::from(error);
    let after = backoff.after(returned, chance);
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::ModelFailed | ErrorKind::DeadlineExceeded => {
            Settled::Ended(JobOutcome::Failed(failure))
        }
        ErrorKind::Cancelled => Settled::Ended(JobOutcome::Cancelled),
        ErrorKind::ModelCrashed => Settled::Back(Release::Retry { after, failure }),
        // It has not been tried: the model is being loaded, mended or let go, or has enough to do.
        ErrorKind::NotFound | ErrorKind::NotReady | ErrorKind::Overloaded | ErrorKind::ShuttingDown => {
            let after = after.max(error.retry_after().unwrap_or_default().min(backoff.max));
            Settled::Back(Release::Postpone { after, failure })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, Settled, settle};
    use crate::error::{Error, ErrorKind};
    use crate::job::{JobOutcome, Release};

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(3) };

    fn settled(kind: ErrorKind) -> Settled {
        settle(&Error::new(kind, "why"), 0, BACKOFF, 1.0)
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for &kind in ErrorKind::ALL {
            let again = match settled(kind) {
                Settled::Ended(JobOutcome::Failed(_)) => "failed",
                Settled::Ended(JobOutcome::Cancelled) => "cancelled",
                Settled::Ended(JobOutcome::Done(_)) => "done",
                Settled::Back(Release::Retry { .. }) => "retry",
                Settled::Back(Release::Postpone { .. }) => "postpone",
                Settled::Back(Release::Return) => "return",
            };
            let expected = match kind {
                ErrorKind::InvalidInput | ErrorKind::ModelFailed | ErrorKind::DeadlineExceeded => "failed",
                ErrorKind::Cancelled => "cancelled",
                ErrorKind::ModelCrashed => "retry",
                ErrorKind::NotFound
                | ErrorKind::NotReady
                | ErrorKind::Overloaded
                | ErrorKind::ShuttingDown => "postpone",
            };
            assert_eq!(again, expected, "{kind:?}");
        }
    }

    #[test]
    fn the_wait_doubles_up_to_a_limit_and_is_spread() {
        let ms = |returned, chance| BACKOFF.after(returned, chance).as_millis();
        assert_eq!([0, 1, 2, 5, 1_000].map(|returned| ms(returned, 1.0)), [100, 200, 400, 3_000, 3_000]);
        assert_eq!([0.0, 0.5, 1.0].map(|chance| ms(1, chance)), [100, 150, 200]);
    }

    #[test]
    fn a_queue_that_says_how_long_is_believed_within_the_limit() {
        let after = |wait| {
            let error = Error::new(ErrorKind::Overloaded, "full").retry_after_wait(Some(wait));
            match settle(&error, 0, BACKOFF, 1.0) {
                Settled::Back(Release::Postpone { after, .. }) => after,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(after(Duration::from_secs(1)), Duration::from_secs(1));
        assert_eq!(after(Duration::from_secs(60)), BACKOFF.max);
        assert_eq!(after(Duration::ZERO), BACKOFF.first);
    }
}
