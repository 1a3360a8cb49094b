//! [`Trial`]: runs a test on a backend and judges what comes.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use unruffled_model::{
    Backend, BackendOptions, CancelToken, LoadContext, ModelError, ModelErrorKind, Support, TensorModel,
    Tensors,
};

use super::case::{Case, Set};
use super::compare::{compare, compare_form};
use super::outcome::{Outcome, Verdict};
use crate::run::run_one;

/// No test takes nearly as long.
const TEST_TIME_MAX: Duration = Duration::from_secs(60);

/// A backend that is put to the tests.
pub struct Trial {
    backend: Arc<dyn Backend>,
    random: BTreeSet<String>,
}

impl Trial {
    /// A trial of this backend.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, random: BTreeSet::new() }
    }

    /// Says which tests have answers that are drawn at random: of these, only type and shape are compared.
    #[must_use]
    pub fn with_random(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.random.extend(names);
        self
    }

    /// Runs one test. A panic, or a run that does not come to an end, is a wrong answer.
    ///
    /// # Panics
    ///
    /// If the operating system gives no thread.
    pub fn judge(&self, case: &Case) -> Outcome {
        let (backend, is_random) = (Arc::clone(&self.backend), self.random.contains(case.name()));
        let case = case.clone();
        let (answer, outcome) = mpsc::channel();
        let thread = thread::Builder::new().name(case.name().into());
        let run = move || {
            let judged = catch_unwind(AssertUnwindSafe(|| judge(&*backend, &case, is_random)));
            let outcome = judged.unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                Outcome::new(Verdict::Wrong, format!("panicked: {}", text.unwrap_or("without words")))
            });
            // Nobody waits for one that took too long.
            let _ = answer.send(outcome);
        };
        thread.spawn(run).expect("a thread starts");
        outcome
            .recv_timeout(TEST_TIME_MAX)
            .unwrap_or_else(|_| Outcome::new(Verdict::Wrong, format!("did not end within {TEST_TIME_MAX:?}")))
    }
}

fn judge(backend: &dyn Backend, case: &Case, is_random: bool) -> Outcome {
    let model = match load(backend, case) {
        Ok(model) => model,
        Err(outcome) => return outcome,
    };
    for set in case.sets() {
        let set = match set {
            Ok(set) => set,
            Err(error) => return Outcome::new(Verdict::Wrong, error.to_string()),
        };
        let outcome = judge_set(&model, case, set, is_random);
        if outcome.verdict != Verdict::Passed {
            return outcome;
        }
    }
    Outcome::passed()
}

/// The loaded model, or what it means that there is none.
fn load(backend: &dyn Backend, case: &Case) -> Result<TensorModel, Outcome> {
    let source = case.source();
    let support = backend.supports(&source);
    let cancel = CancelToken::new();
    let loaded = backend.load(&source, &BackendOptions::default(), &LoadContext::new(&cancel, &|_| ()));
    match (support, loaded) {
        (Ok(Support::Yes), Ok(model)) => Ok(model),
        (Ok(Support::No(reasons)), Err(error)) if error.kind() == ModelErrorKind::Unsupported => {
            Err(Outcome::new(Verdict::Unsupported, reasons.join("; ")))
        }
        // What a model needs may only show when it is loaded fully.
        (Ok(Support::Yes), Err(error)) if error.kind() == ModelErrorKind::Unsupported => {
            Err(Outcome::new(Verdict::Unsupported, error.to_string()))
        }
        (Ok(_), Err(error)) => Err(Outcome::new(Verdict::Wrong, format!("cannot be loaded: {error}"))),
        (Ok(Support::No(reasons)), Ok(_)) => {
            Err(Outcome::new(Verdict::Wrong, format!("is loaded in spite of: {}", reasons.join("; "))))
        }
        (Err(error), _) => Err(Outcome::new(Verdict::Wrong, format!("cannot be read: {error}"))),
    }
}

fn judge_set(model: &TensorModel, case: &Case, set: Set, is_random: bool) -> Outcome {
    let unfit = |name: &str, what: String| Outcome::new(Verdict::Unfit, format!("`{name}` is {what}"));
    let (mut inputs, mut expected) = (Tensors::new(), Tensors::new());
    for (values, tensors) in [(set.inputs, &mut inputs), (set.outputs, &mut expected)] {
        for (name, value) in values {
            match value.into_tensor() {
                Ok(tensor) => tensors.insert(name, tensor),
                Err(what) => return unfit(&name, what),
            }
        }
    }
    let given = match run_one(model, &inputs) {
        Ok(given) => given,
        Err(error) => return refusal(&error),
    };
    for (name, expected) in expected.iter() {
        let Some(given) = given.get(name) else {
            return Outcome::new(Verdict::Wrong, format!("`{name}` is missing"));
        };
        let compared = match is_random {
            true => compare_form(expected, given),
            false => compare(expected, given, case.tolerance),
        };
        if let Err(difference) = compared {
            return Outcome::new(Verdict::Wrong, format!("`{name}`: {difference}"));
        }
    }
    Outcome::passed()
}

fn refusal(error: &ModelError) -> Outcome {
    let verdict = match error.kind() {
        ModelErrorKind::InvalidInput | ModelErrorKind::Unsupported => Verdict::Refused,
        _ => Verdict::Failed,
    };
    Outcome::new(verdict, error.to_string())
}
