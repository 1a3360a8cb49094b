//! What one request of a chain does next: plain data that takes `now` as an argument.

use std::time::Instant;

use unruffled_model::{Degraded, Name};

use crate::error::{Error, ErrorKind};

/// What the last resort of a chain is called where an answer says who gave it.
pub(super) const DEFAULT: &str = "default";

/// In which order the links of a chain are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// One after the other has failed, or is late.
    InTurn,
    /// As [`InTurn`](Self::InTurn), and those are passed over that cannot be expected to be in time.
    BySlack,
    /// All at once.
    AtOnce,
}

/// Where one link stands.
#[derive(Clone, Debug)]
enum Stage {
    /// It has not been asked.
    Ahead,
    /// It has been asked; the next begins then, if it has not answered.
    Running { hedge: Option<Instant> },
    /// It was asked in vain, or not at all, for this reason.
    Out(Name),
}

/// What to do.
#[derive(Debug)]
pub(super) enum Next {
    /// Ask this link.
    Begin(usize),
    /// Wait for those that were asked, but not beyond this.
    Wait(Option<Instant>),
    /// Give the default.
    Default,
    /// It has failed.
    Fail(Error),
}

/// One request on its way through a chain.
#[derive(Debug)]
pub(super) struct Course {
    order: Order,
    names: Vec<Name>,
    stages: Vec<Stage>,
    deadline: Option<Instant>,
    has_default: bool,
    /// The first that was asked.
    first: Option<usize>,
    /// Nobody else is asked: what it ends with, if those fail that were.
    verdict: Option<Error>,
    /// Why the last one failed.
    last: Option<Error>,
}

impl Course {
    pub(super) fn new(order: Order, names: Vec<Name>, deadline: Option<Instant>, has_default: bool) -> Self {
        let stages = vec![Stage::Ahead; names.len()];
        Self { order, names, stages, deadline, has_default, first: None, verdict: None, last: None }
    }

    /// What to do now.
    pub(super) fn next(&self, now: Instant) -> Next {
        let is_late = self.deadline.is_some_and(|deadline| deadline <= now);
        let ahead = self.stages.iter().position(|stage| matches!(stage, Stage::Ahead));
        let newest = self.stages.iter().rev().find_map(|stage| match stage {
            Stage::Running { hedge } => Some(*hedge),
            Stage::Ahead | Stage::Out(_) => None,
        });
        match (newest, ahead, &self.verdict) {
            (None, _, Some(verdict)) => Next::Fail(verdict.clone()),
            (None, ..) if is_late => Next::Fail(self.late()),
            (None, Some(at), None) => Next::Begin(at),
            (None, None, None) if self.has_default => Next::Default,
            (None, None, None) => Next::Fail(self.failed()),
            (Some(_), _, Some(_)) | (Some(_), None, None) => Next::Wait(None),
            (Some(_), ..) if is_late => Next::Wait(None),
            (Some(_), Some(at), None) if self.order == Order::AtOnce => Next::Begin(at),
            (Some(Some(hedge)), Some(at), None) if hedge <= now => Next::Begin(at),
            (Some(hedge), Some(_), None) => Next::Wait(hedge),
        }
    }

    /// Whether a link is the last resort among the models.
    pub(super) fn is_last(&self, at: usize) -> bool {
        at + 1 == self.stages.len()
    }

    /// Whether those are passed over that cannot be expected to be in time.
    pub(super) fn minds_slack(&self) -> bool {
        self.order == Order::BySlack
    }

    /// This one has been asked.
    pub(super) fn began(&mut self, at: usize, hedge: Option<Instant>) {
        debug_assert!(matches!(self.stages[at], Stage::Ahead), "each link is asked once");
        self.stages[at] = Stage::Running { hedge };
        self.first.get_or_insert(at);
    }

    /// This one is not asked, for this reason.
    pub(super) fn passed_over(&mut self, at: usize, error: Error) {
        self.stages[at] = Stage::Out(error.message().into());
        self.last = Some(error);
    }

    /// The input is wrong, as the first would have said if it had been asked.
    pub(super) fn refuse(&mut self, error: Error) {
        self.verdict = Some(error);
    }

    /// This one has failed. `Some`: the whole has, and whoever else was asked is to be stopped.
    pub(super) fn failed_at(&mut self, at: usize, error: Error) -> Option<Error> {
        self.stages[at] = Stage::Out(error.message().into());
        match error.kind() {
            // Nobody wants an answer any more, or nobody can give one.
            ErrorKind::Cancelled | ErrorKind::ShuttingDown => return Some(error),
            // The first speaks for the input. That of a later one may not be the caller's fault: the others go on.
            ErrorKind::InvalidInput if self.first == Some(at) => return Some(error),
            ErrorKind::InvalidInput => self.verdict = Some(error),
            _ => self.last = Some(error),
        }
        None
    }

    /// What is to be said of an answer from this one; `None`: it is the one that was asked for.
    pub(super) fn degraded(&self, by: usize) -> Option<Degraded> {
        (by > 0).then(|| self.tried_before(Degraded::new(self.names[by].clone()), by))
    }

    /// What is to be said of the default.
    pub(super) fn degraded_to_default(&self) -> Degraded {
        self.tried_before(Degraded::new(DEFAULT), self.stages.len())
    }

    fn tried_before(&self, degraded: Degraded, end: usize) -> Degraded {
        let before = self.names.iter().zip(&self.stages).take(end);
        before.fold(degraded, |degraded, (name, stage)| match stage {
            Stage::Out(reason) => degraded.after(name.clone(), reason.clone()),
            Stage::Running { .. } => degraded.after(name.clone(), "had not answered yet"),
            Stage::Ahead => degraded,
        })
    }

    fn late(&self) -> Error {
        let message = match self.tried() {
            tried if tried.is_empty() => "the deadline had passed on arrival".to_owned(),
            tried => format!("the deadline passed; {tried}"),
        };
        Error::new(ErrorKind::DeadlineExceeded, message)
    }

    /// All have failed: as the last of them did.
    fn failed(&self) -> Error {
        let (kind, wait) = match &self.last {
            Some(last) => (last.kind(), last.retry_after()),
            None => (ErrorKind::NotReady, None),
        };
        Error::new(kind, self.tried()).retry_after_wait(wait)
    }

    fn tried(&self) -> String {
        let all = self.names.iter().zip(&self.stages).filter_map(|(name, stage)| match stage {
            Stage::Out(reason) => Some(format!("`{name}`: {reason}")),
            Stage::Ahead | Stage::Running { .. } => None,
        });
        all.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Course, Next, Order};
    use crate::error::{Error, ErrorKind};

    const MS: Duration = Duration::from_millis(1);

    fn course(order: Order, deadline: Option<Instant>, has_default: bool) -> Course {
        Course::new(order, ["large", "small", "tiny"].map(Into::into).to_vec(), deadline, has_default)
    }

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, kind.code())
    }

    /// Begins whatever is to begin now.
    #[track_caller]
    fn begin(course: &mut Course, now: Instant, expected: &[usize]) {
        let mut begun = Vec::new();
        while let Next::Begin(at) = course.next(now) {
            course.began(at, None);
            begun.push(at);
        }
        assert_eq!(begun, expected);
    }

    #[test]
    fn one_after_the_other() {
        let (mut course, now) = (course(Order::InTurn, None, false), Instant::now());
        for at in 0..3 {
            begin(&mut course, now, &[at]);
            assert!(course.failed_at(at, error(ErrorKind::ModelFailed)).is_none());
        }
        let Next::Fail(error) = course.next(now) else { panic!("all have failed") };
        assert_eq!(error.to_string(), "`large`: model_failed; `small`: model_failed; `tiny`: model_failed");
    }

    #[test]
    fn some_failures_are_final() {
        let now = Instant::now();
        for &kind in ErrorKind::ALL {
            let mut course = course(Order::InTurn, None, true);
            begin(&mut course, now, &[0]);
            let is_final = course.failed_at(0, error(kind)).is_some();
            let expected = [ErrorKind::InvalidInput, ErrorKind::Cancelled, ErrorKind::ShuttingDown];
            assert_eq!(is_final, expected.contains(&kind), "{kind:?}");
        }
    }

    #[test]
    fn what_a_later_one_has_against_the_input_ends_it_unless_another_answers() {
        let (mut course, now) = (course(Order::AtOnce, None, true), Instant::now());
        begin(&mut course, now, &[0, 1, 2]);
        assert!(course.failed_at(1, error(ErrorKind::InvalidInput)).is_none());
        assert!(matches!(course.next(now), Next::Wait(None)));
        course.failed_at(0, error(ErrorKind::ModelFailed));
        course.failed_at(2, error(ErrorKind::ModelFailed));
        let Next::Fail(error) = course.next(now) else { panic!("no default for a bad input") };
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn nobody_is_asked_after_the_deadline() {
        let now = Instant::now();
        let mut course = course(Order::InTurn, Some(now + MS), true);
        begin(&mut course, now, &[0]);
        course.failed_at(0, error(ErrorKind::DeadlineExceeded));
        assert!(
            matches!(course.next(now), Next::Begin(1)),
            "its budget was used up, the deadline is to come"
        );
        let Next::Fail(error) = course.next(now + MS) else { panic!("too late, for the default too") };
        assert_eq!(error.to_string(), "the deadline passed; `large`: deadline_exceeded");
    }

    #[test]
    fn a_hedge_begins_when_the_newest_is_late() {
        let (mut course, now) = (course(Order::InTurn, None, true), Instant::now());
        course.began(0, Some(now + MS));
        assert!(matches!(course.next(now), Next::Wait(Some(at)) if at == now + MS));
        assert!(matches!(course.next(now + MS), Next::Begin(1)));
        course.began(1, Some(now + 3 * MS));
        assert!(matches!(course.next(now + 2 * MS), Next::Wait(Some(at)) if at == now + 3 * MS));
        // The newest is out: the one before has been late for long.
        course.failed_at(1, error(ErrorKind::ModelFailed));
        assert!(matches!(course.next(now + 2 * MS), Next::Begin(2)));
        let degraded = course.degraded(1).expect("not the first");
        assert_eq!((&*degraded.by, &*degraded.why[0].1), ("small", "had not answered yet"));
        assert!(course.degraded(0).is_none());
    }

    #[test]
    fn the_default_comes_last() {
        let (mut course, now) = (course(Order::BySlack, None, true), Instant::now());
        course.passed_over(0, error(ErrorKind::Overloaded));
        begin(&mut course, now, &[1]);
        course.failed_at(1, error(ErrorKind::ModelCrashed));
        begin(&mut course, now, &[2]);
        course.failed_at(2, error(ErrorKind::NotReady));
        assert!(matches!(course.next(now), Next::Default));
        let degraded = course.degraded_to_default();
        assert_eq!((&*degraded.by, degraded.why.len()), ("default", 3));
    }
}
